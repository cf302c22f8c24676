"""Put the demo on a Hugging Face Space: ``python -m demo.deploy --space USER/NAME``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from s2v_core.command import run_command
from s2v_core.models import hub

ROOT = Path(__file__).parents[1]
CODE = (
    "README.md",
    "LICENSE",
    "NOTICE",
    "app.py",
    "requirements.txt",
    "demo/**/*",
    "s2v_core/**/*",
    "docs/*",
)
WEIGHTS = "checkpoints/**/*"
EXAMPLES = """examples:
  what would go, and how large:   python -m demo.deploy --space you/speech2video --dry-run
  code and weights:               python -m demo.deploy --space you/speech2video
  weights from a model repo:      python -m demo.deploy --space you/speech2video \\
                                      --model you/speech2video-avatars@3f2c...

Log in first with: hf auth login. Running it again uploads what has changed.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Create or update a Space; 2 when the Hub refuses."""
    return run_command("speech2video", partial(run, build_parser().parse_args(argv)))


def run(arguments: argparse.Namespace) -> None:
    """List the files that a Space needs and, unless it is a dry run, upload them."""
    chosen = files(with_weights=arguments.model is None)
    for path in chosen:
        print(f"{path.stat().st_size:>12,}  {path.relative_to(ROOT).as_posix()}")
    print(f"{sum(path.stat().st_size for path in chosen):>12,}  in {len(chosen)} files")
    if not arguments.dry_run:
        options = arguments.hardware, arguments.model, arguments.private
        print(deploy(arguments.space, chosen, *options))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.deploy",
        description="Put the demo on a Hugging Face Space.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--space", required=True, metavar="USER/NAME", help="the Space; made if it is not there")
    add(
        "--hardware", help="zero-a10g (ZeroGPU), cpu-basic, t4-small ... (default: the Space's own)"
    )
    add(
        "--model",
        metavar="USER/NAME@REVISION",
        help="model repository to load, instead of uploading checkpoints/",
    )
    add("--private", action="store_true", help="make the Space a private one")
    add("--dry-run", action="store_true", help="only list the files that would go")
    return parser


def files(with_weights: bool = True) -> list[Path]:
    """Return every file that a Space needs, in order."""
    patterns = (*CODE, WEIGHTS) if with_weights else CODE
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.suffix != ".pyc")


def deploy(
    space: str,
    chosen: Sequence[Path],
    hardware: Any = None,
    model: str | None = None,
    private: bool = False,
    api: HfApi | None = None,
) -> str:
    """Upload ``chosen`` into one commit of a Space, made if need be; return the Space's address.

    ``hardware`` is a name that the Hub knows. Raises UserError when the Hub refuses.
    """
    api = api or HfApi()
    operations = [CommitOperationAdd(path.relative_to(ROOT).as_posix(), path) for path in chosen]
    try:
        address = api.create_repo(
            space,
            private=private,
            exist_ok=True,
            repo_type="space",
            space_sdk="gradio",
            space_hardware=hardware,
        )
        if model:
            api.add_space_variable(space, "S2V_MODEL", model)
        api.create_commit(space, operations, commit_message="Deploy the demo", repo_type="space")
    except (HfHubHTTPError, HFValidationError) as error:
        raise hub.refused(space, error) from error
    return str(address)


if __name__ == "__main__":
    sys.exit(main())
