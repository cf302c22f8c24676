"""app.py, without its model."""

from __future__ import annotations

import gradio as gr
import pytest

import app
import s2v_core
from s2v_core.errors import CheckpointError
from s2v_core.models import model_set


def test_missing_weights_are_one_line_and_exit_2(monkeypatch, capsys):
    def load(*_: object) -> None:
        raise CheckpointError("checkpoints/avatars has no speech2video.safetensors.")

    monkeypatch.setattr(s2v_core, "load", load)
    assert app.main() == 2
    assert (
        capsys.readouterr().err
        == "speech2video: checkpoints/avatars has no speech2video.safetensors.\n"
    )


def test_the_page_is_launched_on_the_model(monkeypatch, fake_model):
    launched = {}
    monkeypatch.setattr(s2v_core, "load", lambda *_: fake_model)
    monkeypatch.setattr(gr.Blocks, "launch", lambda _, **settings: launched.update(settings))
    assert app.main() == 0
    assert launched["run_history"] is False


@pytest.mark.parametrize(
    ("environment", "folders", "expected"),
    [
        ("", ["grid/composer", "avatars/composer", "unfinished"], ["avatars", "grid"]),
        ("a/b c", ["avatars/composer"], ["b", "c"]),
        ("", [], ["avatars"]),  # which then says in words that it is missing
    ],
)
def test_the_page_offers_what_is_named_or_else_what_is_there(
    monkeypatch, tmp_path, fake_model, environment, folders, expected
):
    for folder in folders:
        (tmp_path / "checkpoints" / folder).mkdir(parents=True)
    loaded = []
    monkeypatch.setattr(s2v_core, "load", lambda name: loaded.append(name.name) or fake_model)
    monkeypatch.setattr(gr.Blocks, "launch", lambda *_, **settings: None)
    monkeypatch.setattr(model_set, "CHECKOUT", tmp_path / "checkpoints" / "avatars")
    monkeypatch.setattr(model_set, "PACKED", tmp_path / "nowhere")
    monkeypatch.setenv("S2V_MODEL", environment)
    assert app.main() == 0
    assert loaded == expected
