"""A model set's folder: what is in it, what may be missing, and which one is the default."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import s2v_core
from s2v_core.errors import CheckpointError
from s2v_core.models import model_set
from s2v_core.models.model_set import ModelSet, StoredClip, default_model, write_stored_clips
from s2v_core.networks.syncnet import SyncNet

CLIPS = [StoredClip("b", "Female", "HAP"), StoredClip("a, the first", "Male", "NEU")]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    students = tmp_path / "students"
    students.mkdir()
    write_stored_clips(students, CLIPS)
    assert ModelSet(tmp_path).stored_clips() == CLIPS
    with (students / "remembered.csv").open(newline="") as file:
        assert [StoredClip(**row) for row in csv.DictReader(file)] == CLIPS


def test_an_empty_set_has_no_judges_and_lists_no_clips(tmp_path: Path) -> None:
    empty = ModelSet(tmp_path / "mine")
    assert empty.name == "mine"
    assert empty.syncnet() is None
    assert empty.stored_clips() is None


def test_the_shipped_set_is_complete() -> None:
    shipped = ModelSet(default_model())
    assert shipped.portrait.is_file()
    assert isinstance(shipped.syncnet(), SyncNet)
    clips = shipped.stored_clips() or []
    assert len(clips) == shipped.read_networks()["students"].config.memory


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (("checkout", "packed"), "checkout"),
        (("checkout",), "checkout"),
        (("packed",), "packed"),
        ((), "checkout"),
    ],
)
def test_the_default_is_the_checkouts_set_or_else_the_packed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], expected: str
) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(model_set, "CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(model_set, "PACKED", tmp_path / "packed")
    assert default_model() == tmp_path / expected


def test_a_missing_set_is_one_line_that_says_where_sets_come_from(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        s2v_core.load(tmp_path / "nowhere")
    message = str(caught.value)
    assert "\n" not in message
    for word in ("nowhere", "path", "USER/NAME@REVISION", str(default_model())):
        assert word in message


def test_the_default_model_loads_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert s2v_core.load(device="cpu").name == "avatars"


def test_a_set_without_the_encoder_of_its_motion_is_refused_by_name(tmp_path: Path) -> None:
    for network in default_model().iterdir():
        if network.is_dir() and network.name != "phonetic":
            (tmp_path / network.name).symlink_to(network)
    with pytest.raises(CheckpointError, match=r"phonetic is missing, and .*motion reads its"):
        ModelSet(tmp_path).read_networks()
