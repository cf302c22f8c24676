"""Folders of living processes stay, those of dead ones go; nobody else can read them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v_core import temporary
from s2v_core.temporary import own_folder, sweep

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from s2v_core.temporary import own_folder
with own_folder(Path(sys.argv[1]), ".video-") as folder:
    (folder / "sound.wav").write_bytes(b"a voice")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has a folder with a recording."""
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        folder = Path(process.stdout.readline().strip())
        yield process, folder
        process.kill()


def age(folder: Path, seconds: float) -> None:
    os.utime(folder, (time.time() - seconds,) * 2)


def test_a_folder_is_private_and_goes_whatever_happens(tmp_path) -> None:
    old = os.umask(0)
    try:
        with pytest.raises(KeyboardInterrupt), own_folder(tmp_path, "x-") as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (folder / "part").touch()
            raise KeyboardInterrupt
    finally:
        os.umask(old)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_s_folder_goes_with_the_next_and_a_living_one_s_stays(
    tmp_path, holder
) -> None:
    process, folder = holder
    age(folder, 1e6)
    with own_folder(tmp_path, ".video-") as other:
        assert folder.is_dir()
        assert other != folder
    process.send_signal(signal.SIGKILL)
    process.wait()
    with own_folder(tmp_path, ".video-"):
        assert not folder.exists()


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    ages=st.lists(st.floats(0, 1e5), max_size=5), locked=st.booleans(), prefix=st.sampled_from("ab")
)
def test_only_old_unlocked_folders_of_the_prefix_go(tmp_path_factory, ages, locked, prefix) -> None:
    base = tmp_path_factory.mktemp("base")
    for number, seconds in enumerate(ages):
        folder = base / f"a{number}"
        folder.mkdir()
        if locked:
            (folder / temporary.LOCK).touch()
        age(folder, seconds)
    (base / "a file").touch()
    (base / "a link").symlink_to(base, target_is_directory=True)
    sweep(base, prefix)
    limit = temporary.GRACE if locked else temporary.UNLOCKED_GRACE
    # Those at the limit may go or stay: the clock runs.
    sure = {f"a{n}" for n, s in enumerate(ages) if prefix == "b" or s < limit - 1}
    gone = {f"a{n}" for n, s in enumerate(ages) if prefix == "a" and s > limit + 1}
    left = {path.name for path in base.iterdir()}
    assert sure | {"a file", "a link"} <= left
    assert not gone & left
