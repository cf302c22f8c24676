"""What `make demo` and a Hugging Face Space start: the shipped models, one page."""

from __future__ import annotations

import os
import sys

import s2v_core
from demo import page
from s2v_core.command import run_command
from s2v_core.models import hub, model_set


def serve() -> None:
    """Serve the page until it is stopped, on the model sets in S2V_MODEL or else on the shipped ones."""
    names = os.environ.get("S2V_MODEL", "").split() or model_set.shipped_models()
    models = [s2v_core.load(hub.located(name)) for name in names]
    page.build(*models).launch(**page.settings())


def main() -> int:
    """Run the demo; 2 when a model cannot be loaded."""
    return run_command("speech2video", serve)


if __name__ == "__main__":
    sys.exit(main())
