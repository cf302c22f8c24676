"""Model sets on the Hugging Face Hub: published as they are loaded, fetched at one fixed revision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from s2v_core.errors import CheckpointError, UserError
from s2v_core.paths import is_folder

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PATTERNS = (
    "portrait.png",
    "README.md",
    "curves.png",
    "failures.jpg",
    "*/config.json",
    "*/model.safetensors",
    "*/LICENSE",
    "*/*.csv",
)
REFUSALS = {
    401: "log in with: hf auth login",
    403: "this account may not write there",
    404: "no such repository",
}
CARD = """---
library_name: speech2video
tags:
- talking-head
- speech
- safetensors
---

# Speech2Video: {name}

Talking faces from a voice alone (Si et al. 2021, [arXiv 2107.04806](https://arxiv.org/abs/2107.04806)), with the
baselines SDFA and S2F+SDFA, in one model set. Pictures are {width}x{height} pixels at {fps} frames a second.

```python
import s2v_core

model = s2v_core.from_pretrained("{repo}", revision="main")  # better: the commit that you tried
model.generate("speech.wav", "videos")
```

Every picture it makes carries the mark SYNTHETIC, and the file says so in its metadata. Use voices and faces of people
who agreed to it, and do not pass the videos off as recordings.

| network | tensors |
|---|---|
{networks}

Each folder holds one network: `model.safetensors` beside the `config.json` that describes it.

{notes}
"""


def located(model: str | Path) -> Path:
    """Return the folder of a model set given as a folder, or as ``USER/NAME@REVISION`` on the Hub."""
    repo, at, revision = str(model).partition("@")
    if not at or is_folder(Path(model)):
        return Path(model)
    return fetch(repo, revision)


def fetch(repo: str, revision: str, api: HfApi | None = None) -> Path:
    """Return the local copy of a published model set at a branch, tag or, best, commit.

    Only the files that a model set is made of are fetched. Raises CheckpointError when there is no
    such repository or revision, or no way to it.
    """
    # It imports slowly, and only this needs it.
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    api = api or HfApi()
    try:
        return Path(api.snapshot_download(repo, revision=revision, allow_patterns=list(PATTERNS)))
    except (HfHubHTTPError, HFValidationError) as error:
        raise CheckpointError(
            f"{repo} at {revision} is no model on the Hub that can be read: check the name, the "
            "revision and, for a private one, hf auth login."
        ) from error
    # httpx raises the last two for a proxy of a kind that it does not know, such as SOCKS.
    except (LocalEntryNotFoundError, OSError, ImportError, ValueError) as error:
        raise CheckpointError(
            f"{repo} at {revision} is neither on this machine nor can the Hub be reached: connect, or "
            "name a folder."
        ) from error


def files(model: Path) -> list[str]:
    """Return the files of a model set, in the form the Hub names them; README.md is written anew."""
    found = {path for pattern in PATTERNS for path in model.glob(pattern)}
    return sorted(path.relative_to(model).as_posix() for path in found if path.name != "README.md")


def card(model: Path, repo: str) -> str:
    """Return the model card: how to load it, its networks, and the model set's own README."""
    from safetensors import safe_open

    networks = []
    for path in sorted(model.glob("*/model.safetensors")):
        with safe_open(path, "pt") as weights:
            networks.append(f"| {path.parent.name} | {len(list(weights.keys()))} |")
    config = json.loads((model / "composer" / "config.json").read_text())
    notes = model / "README.md"
    return CARD.format(
        name=model.name,
        repo=repo,
        networks="\n".join(networks),
        notes=notes.read_text(encoding="utf-8") if notes.is_file() else "",
        **{key: config[key] for key in ("width", "height", "fps")},
    )


def publish(model: Path, repo: str, private: bool = False, api: HfApi | None = None) -> str:
    """Upload a model set with its card into one commit; return the commit's hash.

    Raises CheckpointError when ``model`` is no model set, UserError when the Hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if not (model / "composer" / "model.safetensors").is_file():
        raise CheckpointError(
            f"{model} is no model set: name a folder such as checkpoints/avatars."
        )
    api = api or HfApi()
    operations = [CommitOperationAdd(name, model / name) for name in files(model)]
    operations.append(CommitOperationAdd("README.md", card(model, repo).encode()))
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        return api.create_commit(repo, operations, commit_message=f"Publish {model.name}").oid
    except (HfHubHTTPError, HFValidationError) as error:
        raise refused(repo, error) from error


def refused(repo: str, error: Exception) -> UserError:
    """Return the Hub's refusal as an error for the user."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    why = REFUSALS.get(status, " ".join(str(error).split())[:200])
    return UserError(f"The Hub does not take {repo}: {why}.")
