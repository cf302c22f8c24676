"""Names that users give: any bytes, any length."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from s2v_core.paths import is_file, is_folder, short, target
from s2v_core.vocabulary import METHODS

# What a file system takes: any bytes but a slash and a zero.
NAMES = st.one_of(
    st.text(min_size=1, max_size=300).map(lambda text: text.encode(errors="surrogateescape")),
    st.binary(min_size=1, max_size=400),
    st.builds(lambda one, n: one * n, st.sampled_from([b"a", "ü".encode(), b"\xfc"]), st.integers(190, 255)),
).map(lambda data: os.fsdecode(data.replace(b"/", b"_").replace(b"\0", b"_")))  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(name=st.text("aü%:-. \n", min_size=1, max_size=400), method=st.sampled_from(METHODS))
def test_a_videos_name_fits_and_begins_as_its_speechs(name: str, method: str) -> None:
    path = target(Path(f"{name}.wav"), Path("out"), method)
    assert path.parent == Path("out")
    assert len(os.fsencode(path.name)) <= 255
    assert path.name.endswith(f".{method}.mp4")
    assert path.name.startswith(name[:100])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(start=st.binary(max_size=300), ends=st.sets(st.binary(max_size=9), min_size=2, max_size=2))
def test_other_names_stay_other_names(start: bytes, ends: set[bytes]) -> None:
    one, other = (os.fsdecode(start + end) for end in ends)
    assert short(one) != short(other)
    assert short(one) == one or len(os.fsencode(one)) > 200


@settings(max_examples=300, deadline=None, derandomize=True)
@given(name=st.one_of(NAMES, st.text(max_size=5_000)))
def test_any_name_is_a_file_or_not(name: str) -> None:
    path = Path("nowhere", name)
    assert not is_file(path)
    assert is_folder(path) == (path.parts in ((), ("nowhere",)) and path.is_dir())
