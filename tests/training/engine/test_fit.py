"""A trainer's command line, and how it ends."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from s2v_core.errors import UserError
from s2v_core.models import checkpoint
from s2v_core.networks.speech2face import Speech2Face, Speech2FaceConfig
from tests.training.test_speech2face import FACES, SETTINGS
from training.data.clips import Clips
from training.engine.fit import fit, seeded, start
from training.speech2face import Speech2FaceTrainer

LINE = "x --config c.yaml --data d --run r"


def test_an_error_to_fix_is_one_line_and_exit_status_2(monkeypatch, capsys):
    def train(arguments: argparse.Namespace) -> None:
        raise UserError("c.yaml: no such settings file.")

    monkeypatch.setattr(sys, "argv", LINE.split())
    assert start("what it does", train) == 2
    assert capsys.readouterr().err == "x: c.yaml: no such settings file.\n"


def test_the_command_line(monkeypatch):
    given: list[argparse.Namespace] = []
    monkeypatch.setattr(sys, "argv", f"{LINE} --set a.b=1 --set c=2".split())
    assert start("what it does", given.append) == 0
    (arguments,) = given
    assert (arguments.config, arguments.data, arguments.run) == (
        Path("c.yaml"),
        Path("d"),
        Path("r"),
    )
    assert arguments.overrides == ["a.b=1", "c=2"]
    assert not arguments.dry_run


@pytest.fixture
def trainer(clips: Clips) -> Speech2FaceTrainer:
    torch.manual_seed(0)
    return Speech2FaceTrainer(SETTINGS, clips, FACES, Accelerator(cpu=True))


def test_it_trains_and_exports_under_its_name(trainer, tmp_path):
    assert fit(trainer, argparse.Namespace(run=tmp_path, dry_run=False), "voice")
    assert (tmp_path / "voice" / "stats.jsonl").exists()
    made = checkpoint.load_network(tmp_path / "export" / "voice", Speech2Face, Speech2FaceConfig)
    for name, weight in trainer.network.state_dict().items():
        torch.testing.assert_close(made.state_dict()[name], weight, rtol=1e-3, atol=1e-6)


def test_a_dry_run_trains_and_exports_nothing(trainer, tmp_path, capsys):
    assert not fit(trainer, argparse.Namespace(run=tmp_path, dry_run=True), "voice")
    assert list(tmp_path.iterdir()) == []
    assert "voice on cpu" in capsys.readouterr().out


def test_a_network_made_after_the_seed_is_the_same_every_time():
    weights = []
    for _ in range(2):
        seeded(SETTINGS.schedule)
        weights.append(Speech2Face(SETTINGS.model).state_dict())
    for first, again in zip(*(w.values() for w in weights), strict=True):
        assert torch.equal(first, again)
