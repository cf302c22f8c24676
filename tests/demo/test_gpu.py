"""Borrowing a ZeroGPU Space's GPU, on a stand-in of its decorator."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from demo import gpu
from demo.tabs.studio import Inputs, Panel, Studio


def test_elsewhere_the_task_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(gpu, "SPACES", None)
    assert gpu.borrow(len, speech=str) is len


def test_the_gpu_is_asked_for_as_long_as_the_clip_needs(monkeypatch, fake_model, sound):
    asked = {}

    def decorator(task, duration):
        asked["duration"] = duration
        return task

    monkeypatch.setattr(gpu, "SPACES", SimpleNamespace(GPU=decorator))
    task = Studio(fake_model).panels
    borrowed = gpu.borrow(task, speech=lambda _folder, inputs, _progress: inputs.sound)
    assert inspect.isgeneratorfunction(borrowed)  # Spaces looks at this
    short, long = sound(2, name="short"), sound(40, name="long")
    assert asked["duration"](Path(), Inputs(short), None) == gpu.SETUP_SECONDS + 1
    assert asked["duration"](Path(), Inputs(short, film=long), None) == gpu.SETUP_SECONDS + 20


@pytest.mark.parametrize(
    "value", [Path("folder"), Inputs("a.wav"), gr.Progress(), Panel("sdfa", "a.mp4", "took")]
)
def test_what_goes_to_the_gpus_process_and_comes_back_can_be_pickled(value):
    assert type(pickle.loads(pickle.dumps(value))) is type(value)
