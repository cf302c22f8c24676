"""Tables as people save them, against the rows that were saved."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v_core.errors import UserError
from training.data import corpora, tables

CELLS = st.text("abcÄé 19_-,;'\"", max_size=8).map(str.strip)
ROWS = st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=5)
HEADER = ["ActorID", "Age", "Sex"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "VideoDemographics.csv"


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    rows=ROWS,
    delimiter=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    around=st.sampled_from(["", " "]),
)
def test_a_table_comes_back_as_it_was_saved(
    path: Path, rows: list[list[str]], delimiter: str, encoding: str, end: str, around: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(
        [[f"{cell}{around}" for cell in row] for row in [HEADER, *rows]]
    )
    path.write_bytes(text.getvalue().encode(encoding))
    expected = [dict(zip(HEADER, row, strict=True)) for row in rows]
    assert tables.read(path, HEADER) == expected


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_any_other_file_is_refused_in_a_line_that_names_it(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"VideoDemographics\.csv"):
        tables.read(path, ("no such column",))


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        tables.read(tmp_path / "a.csv", ())


@pytest.mark.parametrize("column", ["ActorID", "Sex"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    (tmp_path / "VideoFlash").mkdir()
    (tmp_path / "VideoFlash" / "1001_DFA_ANG_XX.flv").touch()
    left = ",".join(name for name in HEADER if name != column)
    (tmp_path / "VideoDemographics.csv").write_text(f"{left}\n1001,30\n")
    with pytest.raises(UserError, match=f"has no column {column}; its first line holds {left[:3]}"):
        list(corpora.crema_d(tmp_path))


def test_hidden_files_and_folders_are_no_clips(tmp_path: Path) -> None:
    for name in ("id1/v/00001.mp4", "id1/v/._00001.mp4", ".id2/v/00001.mp4"):
        video = tmp_path / "dev" / "mp4" / name
        video.parent.mkdir(parents=True, exist_ok=True)
        video.touch()
    assert [clip.name for clip in corpora.voxceleb2(tmp_path)] == ["id1_v_00001"]
