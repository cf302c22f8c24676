"""What is shipped is what the list says: every weight file with its size and sha256."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
LISTED = re.findall(
    r"\| `(\S+\.safetensors)` \| ([\d,]+) \| `([0-9a-f]{64})` \|",
    (CHECKPOINTS / "README.md").read_text(encoding="utf-8"),
)


def test_every_weight_file_is_listed_with_its_size_and_sha256() -> None:
    shipped = [
        (
            path.relative_to(CHECKPOINTS).as_posix(),
            f"{path.stat().st_size:,}",
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(CHECKPOINTS.rglob("*.safetensors"))
    ]
    assert shipped == sorted(LISTED)
    assert shipped


def test_the_files_are_small_enough_for_git() -> None:
    sizes = [path.stat().st_size for path in CHECKPOINTS.rglob("*.safetensors")]
    assert max(sizes) < 25_000_000
    assert sum(sizes) < 120_000_000
