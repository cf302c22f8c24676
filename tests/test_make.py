"""The Makefile: what `make train` asks for, and paths with spaces."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell, without the variables that an outer make hands down."""
    handed_down = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "CORPUS")
    environment = {key: value for key, value in os.environ.items() if key not in handed_down}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_training_without_a_corpus_says_what_to_give_in_one_line_and_does_nothing() -> None:
    done = make("train", "VENV=nowhere")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "CORPUS=path/to/CREMA-D" in done.stderr
    assert not (ROOT / "nowhere").exists()


def test_paths_with_spaces_reach_the_trainer_whole() -> None:
    paths = {"CORPUS": "/a corpus/of mine", "DATA": "my data", "RUN": "my run"}
    paths |= {"CONFIGS": "my settings", "OUT": "my models", "BASE": "their models"}
    done = make("--dry-run", "train", *(f"{name}={path}" for name, path in paths.items()))
    assert done.returncode == 0, done.stderr
    prepare, train = (shlex.split(line) for line in done.stdout.splitlines()[-2:])
    assert prepare[2] == "training.prepare" and train[2] == "training.train_all"
    assert set(paths.values()) <= {*prepare, *train}
