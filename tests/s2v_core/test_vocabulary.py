"""Names that are given from outside are checked by the library itself, not by argparse alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import s2v_core
from s2v_core.analysis.speakers import Speakers
from s2v_core.engine import Speech2Video
from s2v_core.vocabulary import EMOTIONS, METHODS, PRECISIONS, check_name, check_names
from training.data import corpora

ANYTHING = st.one_of(
    st.text(), st.none(), st.integers(), st.binary(), st.lists(st.sampled_from(METHODS))
)
NEARLY = st.sampled_from([METHODS[0].title(), METHODS[0] + " ", METHODS[1].upper(), "fp16", ""])
SPEECH = torch.zeros(16_000)


@settings(deadline=None, derandomize=True)
@given(ANYTHING | NEARLY)
def test_only_a_name_of_the_set_passes(name) -> None:
    if isinstance(name, str) and name in METHODS:
        check_name("method", name, METHODS)
        return
    with pytest.raises(ValueError, match=f"is no method: choose from {', '.join(METHODS)}"):
        check_name("method", name, METHODS)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(METHODS)), st.lists(NEARLY))
def test_only_a_list_of_names_of_the_set_passes(names, others) -> None:
    check_names("method", names, METHODS)
    check_names("method", tuple(names), METHODS)
    for wrong in ([*names, *others], "".join(names), set(names), iter(names)):
        if wrong != names:
            with pytest.raises(ValueError, match=METHODS[0]):
                check_names("method", wrong, METHODS)


@settings(deadline=None, derandomize=True)
@given(name=ANYTHING | NEARLY)
def test_every_door_of_the_library_names_the_choices(model: Speech2Video, name) -> None:
    if isinstance(name, list) or name in METHODS:
        return
    speakers = Speakers.of(model)
    doors = {
        METHODS: [
            lambda: model.generate("speech.wav", methods=[name]),
            lambda: model.generate("speech.wav", methods=name),
            lambda: model.stream(name),
            lambda: next(model.frames(name, SPEECH)),
        ],
        PRECISIONS: [
            lambda: s2v_core.load(device="cpu", precision=name),
            lambda: Speech2Video.load(model.model_set, "cpu", name),
            lambda: s2v_core.load("nobody/nothing@main", "cpu", name),
        ],
        tuple(EMOTIONS): [lambda: speakers.emotion(name)],
        tuple(corpora.CORPORA): [lambda: next(corpora.read(name, model.model_set.folder))],
    }
    for choices, calls in doors.items():
        for call in calls:
            with pytest.raises(ValueError, match=", ".join(choices)):
                call()
