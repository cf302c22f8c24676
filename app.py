"""What `make demo` and a Hugging Face Space start: the shipped models, one page."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import s2v_core
from demo import page
from s2v_core.errors import UserError
from s2v_core.models import hub


def main() -> int:
    """Serve the page until it is stopped; 2 when a model cannot be loaded."""
    shipped = sorted(part.parent for part in Path(__file__).parent.glob("checkpoints/*/composer"))
    try:
        names = os.environ.get("S2V_MODEL", "").split() or shipped or ["checkpoints/avatars"]
        models = [s2v_core.load(hub.located(name)) for name in names]
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    page.build(*models).launch(**page.settings())
    return 0


if __name__ == "__main__":
    sys.exit(main())
