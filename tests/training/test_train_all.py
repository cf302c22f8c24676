"""Which steps `make train` runs, and where a network comes from that it does not train."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2v_core.errors import UserError
from training import train_all
from training.train_all import STEPS


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """The settings files of the steps that were started, none of which does anything."""
    started: list[str] = []

    def run(command: list[str]) -> int:
        started.append(Path(command[command.index("--config") + 1]).stem)
        return 0

    monkeypatch.setattr(train_all, "run_step", run)
    return started


def network(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(str(folder))


def configs(folder: Path, *left_out: str) -> Path:
    folder.mkdir()
    for _, name, _ in STEPS:
        if name not in left_out:
            (folder / f"{name}.yaml").touch()
    return folder


def test_a_step_whose_networks_are_there_is_skipped(tmp_path, ran):
    run = tmp_path / "run"
    for name in ("cpc", "teacher_identity"):
        network(run / "export" / name)
    train_all.train(tmp_path, run, configs(tmp_path / "configs"), tmp_path / "base")
    assert ran == [name for _, name, _ in STEPS if name != "cpc"]  # one teacher is missing


def test_a_network_without_settings_is_the_bases_but_never_a_classifier_or_an_optional_one(
    tmp_path, ran
):
    run, base = tmp_path / "run", tmp_path / "base"
    left_out = ("landmarks", "lips", "motion", "speaker")
    for name in ("landmarks", "judge_lips", "motion", "speaker"):
        network(base / name)
    train_all.train(tmp_path, run, configs(tmp_path / "configs", *left_out), base)
    assert {path.name for path in (run / "export").iterdir()} == {"landmarks"}
    assert not set(ran) & set(left_out) and len(ran) == len(STEPS) - len(left_out)


def test_without_its_folder_of_settings_nothing_is_copied_or_trained(tmp_path, ran):
    network(tmp_path / "base" / "cpc")
    with pytest.raises(UserError, match="mistyped: no such folder of settings"):
        train_all.train(tmp_path, tmp_path / "run", tmp_path / "mistyped", tmp_path / "base")
    assert not ran and not (tmp_path / "run").exists()


def test_a_step_that_fails_stops_the_others_and_the_command_ends_with_2(
    tmp_path, monkeypatch, capsys
):
    started = []

    def run(command: list[str]) -> int:
        started.append(command)
        return 1

    monkeypatch.setattr(train_all, "run_step", run)
    line = ["train_all", "--data", "d", "--run", str(tmp_path / "run"), "--out", "o"]
    line += ["--configs", str(configs(tmp_path / "configs")), "--base", str(tmp_path)]
    monkeypatch.setattr("sys.argv", line)
    assert train_all.main() == 2
    assert len(started) == 1
    assert capsys.readouterr().err.startswith(f"train_all: {STEPS[0][1]} stopped")


def test_classifiers_and_optional_networks_that_were_not_trained_are_not_exported(tmp_path):
    names = {name for _, _, exports in STEPS for name in exports}
    trained = names - {"judge_lips", "motion"}
    for name in trained:
        network(tmp_path / "run" / "export" / name)
    train_all.export(tmp_path / "run", tmp_path / "out")
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == trained - {"teacher_identity", "teacher_emotion"}
    (tmp_path / "run" / "export" / "composer" / "model.safetensors").unlink()
    (tmp_path / "run" / "export" / "composer").rmdir()
    with pytest.raises(FileNotFoundError):
        train_all.export(tmp_path / "run", tmp_path / "other")
