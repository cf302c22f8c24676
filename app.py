"""What `make demo` and a Hugging Face Space start: the shipped models, one page."""

from __future__ import annotations

import os
import sys

import s2v_core
from demo.proxies import no_proxies
from demo.visitors import private_files
from s2v_core.command import run_command
from s2v_core.models import hub, model_set


def serve() -> None:
    """Serve the page until it is stopped, on the model sets in S2V_MODEL or else on the shipped ones."""
    with private_files():
        with no_proxies():
            # Gradio looks for proxies and makes its folders when it is imported.
            from demo import page
        names = os.environ.get("S2V_MODEL", "").split() or model_set.shipped_models()
        models = [s2v_core.load(hub.located(name)) for name in names]
        with no_proxies():
            page.build(*models).launch(**page.settings())


def main() -> int:
    """Run the demo; 2 when a model cannot be loaded."""
    return run_command("speech2video", serve)


if __name__ == "__main__":
    sys.exit(main())
