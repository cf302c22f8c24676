"""What the README shows people to type works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    page
    for room in (".", "docs", "training", "checkpoints", "checkpoints/*")
    for page in ROOT.glob(f"{room}/*.md")
)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_python_example_makes_three_videos(tmp_path: Path) -> None:
    code = next(block for block in PYTHON if "s2v_core" in block)
    for name in ("checkpoints", "demo"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    methods = [line.split()[0] for line in done.stdout.splitlines()]
    assert methods == ["speech2video", "sdfa", "s2f_sdfa"]
    assert len(list((tmp_path / "videos").glob("sad_woman_german.*.mp4"))) == 3


def test_every_command_line_option_it_shows_exists() -> None:
    from s2v_core.__main__ import build_parser

    commands = re.findall(r"(?:^speech2video|python -m s2v_core) ([^`\n]+)", README, re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        build_parser().parse_args(command.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_local_link_leads_somewhere_in_the_repository(page: Path) -> None:
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    assert found
    for target, _, section in (link.partition("#") for link in found if "://" not in link):
        path = (page.parent / target).resolve() if target else page
        assert path.exists() and path.is_relative_to(ROOT), target
        assert not section or section in {anchor(heading) for heading in headings(path)}, section


def test_every_section_that_the_code_cites_exists() -> None:
    code = [
        *ROOT.glob("s2v_core/**/*.py"),
        *ROOT.glob("demo/**/*.py"),
        *ROOT.glob("training/**/*.*"),
    ]
    texts = [path.read_text(encoding="utf-8") for path in code if path.suffix in (".py", ".yaml")]
    for page, section in re.findall(r'(docs/\w+\.md), "([^"]+)"', "\n".join(texts)):
        assert section in headings(ROOT / page), f"{page} has no section {section!r}"


def headings(page: Path) -> list[str]:
    """Return the headings of a Markdown page, of every level."""
    return re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def anchor(heading: str) -> str:
    """Return what GitHub makes of a heading in a link."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_make_target_it_shows_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test", "train"} <= shown
    assert shown <= targets
