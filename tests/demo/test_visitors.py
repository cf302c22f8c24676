"""Recordings lie in a private folder of the server's own, and none outlives it for long."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from pathlib import Path

import pytest

from demo import visitors
from s2v_core import temporary


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "base"))
    return tmp_path / "base"


def dead(folder: Path, locked: bool = True) -> Path:
    """Make what a killed server leaves."""
    (folder / "gradio").mkdir(parents=True)
    (folder / "gradio" / "voice.wav").touch()
    if locked:
        (folder / temporary.LOCK).touch()
    os.utime(folder, (time.time() - 4_000,) * 2)
    return folder


def test_all_temporary_files_are_private_and_go_with_the_server(base) -> None:
    before = tempfile.gettempdir(), dict(os.environ)
    with visitors.private_files() as folder:
        home = base / f"speech2video-{os.getuid()}"
        assert folder.parent == home
        assert [stat.S_IMODE(path.stat().st_mode) for path in (home, folder)] == [0o700, 0o700]
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(folder)
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        tempfile.mkdtemp(prefix="speech2video-study-")
    assert (tempfile.gettempdir(), dict(os.environ)) == before
    assert list(home.iterdir()) == []


def test_a_start_deletes_what_killed_servers_left_and_nothing_else(base) -> None:
    home = base / f"speech2video-{os.getuid()}"
    gone = [
        dead(home / "server-a"),
        dead(base / f"{home.name}-other" / "server-b"),
        dead(base / "speech2video-old12345", locked=False),
        dead(base / "speech2video-study-old", locked=False),
    ]
    kept = [dead(base / "gradio", locked=False), dead(base / "somebody-s", locked=False)]
    with visitors.private_files() as one, visitors.private_files() as two:
        assert one.is_dir()
        assert two.is_dir()
        assert [path for path in gone if path.exists()] == []
        assert all(path.is_dir() for path in kept)
        assert not gone[1].parent.exists()


@pytest.mark.parametrize("how", ["somebody else's", "a link", "a file", "loose"])
def test_a_name_that_is_taken_is_not_trusted(base, tmp_path, monkeypatch, how) -> None:
    base.mkdir()
    home = base / f"speech2video-{os.getuid()}"
    if how == "a link":
        (tmp_path / "trap").mkdir()
        home.symlink_to(tmp_path / "trap", target_is_directory=True)
    elif how == "a file":
        home.touch()
    else:
        home.mkdir(mode=0o777)
        home.chmod(0o777)
    if how == "somebody else's":
        ours = visitors._is_ours
        monkeypatch.setattr(visitors, "_is_ours", lambda path: path != home and ours(path))
    with visitors.private_files() as folder:
        (folder / "voice.wav").touch()
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
        assert (folder.parent == home) == (how == "loose")
        assert not any((tmp_path / "trap").glob("*"))
    assert not any(base.rglob("voice.wav"))
