"""What `make demo` and a Hugging Face Space start: one model, one page."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import s2v_core
from demo import page
from s2v_core import hub
from s2v_core.errors import UserError

CHECKPOINT = Path(__file__).parent / "checkpoints" / "avatars"


def main() -> int:
    """Serve the page until it is stopped; 2 when the model cannot be loaded."""
    try:
        model = s2v_core.load(hub.located(os.environ.get("S2V_MODEL", CHECKPOINT)))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    page.build(model).launch(**page.settings())
    return 0


if __name__ == "__main__":
    sys.exit(main())
