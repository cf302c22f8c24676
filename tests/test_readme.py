"""What the README shows people to type works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
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


def test_every_local_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_target_it_shows_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test", "train"} <= shown
    assert shown <= targets
