"""The former name of ``python -m training.import_weights``, which still works."""

from __future__ import annotations

from training.import_weights import main

if __name__ == "__main__":
    raise SystemExit(main())
