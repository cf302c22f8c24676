"""Put the demo on a Hugging Face Space: ``python -m demo.deploy --space USER/NAME``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from s2v_core.errors import UserError
from s2v_core.models import hub

ROOT = Path(__file__).parents[1]
CODE = ("README.md", "app.py", "requirements.txt", "demo/**/*", "s2v_core/**/*", "docs/*")
WEIGHTS = "checkpoints/**/*"
EXAMPLES = """examples:
  what would go, and how large:   python -m demo.deploy --space you/speech2video --dry-run
  code and weights:               python -m demo.deploy --space you/speech2video
  weights from a model repo:      python -m demo.deploy --space you/speech2video \\
                                      --model you/speech2video-avatars@3f2c...

Log in first with: hf auth login. Running it again uploads what has changed.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Create or update a Space; 2 for an error to mend."""
    arguments = build_parser().parse_args(argv)
    chosen = files(with_weights=arguments.model is None)
    for path in chosen:
        print(f"{path.stat().st_size:>12,}  {path.relative_to(ROOT).as_posix()}")
    print(f"{sum(path.stat().st_size for path in chosen):>12,}  in {len(chosen)} files")
    if arguments.dry_run:
        return 0
    try:
        address = deploy(
            arguments.space, chosen, arguments.hardware, arguments.model, arguments.private
        )
    except UserError as error:
        print("speech2video:", error, file=sys.stderr)
        return 2
    print(address)
    return 0


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
    hardware: str | None = None,
    model: str | None = None,
    private: bool = False,
    api: HfApi | None = None,
) -> str:
    """Upload ``chosen`` into one commit of a Space, made if need be; return the Space's address.

    Raises UserError when the Hub refuses.
    """
    api = api or HfApi()
    operations = [CommitOperationAdd(path.relative_to(ROOT).as_posix(), path) for path in chosen]
    kind = {"repo_type": "space"}
    try:
        address = api.create_repo(
            space,
            private=private,
            exist_ok=True,
            space_sdk="gradio",
            space_hardware=hardware,
            **kind,
        )
        if model:
            api.add_space_variable(space, "S2V_MODEL", model)
        api.create_commit(space, operations, commit_message="Deploy the demo", **kind)
    except (HfHubHTTPError, HFValidationError) as error:
        raise hub.refused(space, error) from error
    return str(address)


if __name__ == "__main__":
    sys.exit(main())
