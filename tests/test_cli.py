from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import s2v_core
from s2v_core.__main__ import main
from s2v_core.errors import AudioError, FaceError, MicrophoneError
from s2v_core.media import audio, microphone, video

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "demo" / "examples" / "calm_woman_english.wav"


@dataclass(frozen=True)
class FakeGeneration:
    method: str
    path: Path
    frames: int
    fps: int
    seconds: float
    realtime_factor: float


class FakeModel:
    """Writes no video, notes how it was called, and fails on the speech that it should."""

    def __init__(self) -> None:
        self.calls: list[dict] = []
        self.failures: dict[str, BaseException] = {}
        self.loaded_with: tuple = ()

    def generate_each(self, speech, out, *, methods, progress, **options):
        self.calls.append({"speech": speech, "out": out, "methods": methods, **options})
        if speech.name in self.failures:
            raise self.failures[speech.name]
        for method in methods:
            for done in range(1, 4):
                progress(method, done, 3)
            yield FakeGeneration(method, out / f"{speech.stem}.{method}.mp4", 3, 25, 0.12, 2.5)


@pytest.fixture
def model(monkeypatch) -> FakeModel:
    fake = FakeModel()

    def load(*arguments) -> FakeModel:
        fake.loaded_with = arguments
        return fake

    monkeypatch.setattr(s2v_core, "load", load)
    return fake


def test_generate_prints_a_line_of_json_for_each_method(model, capsys):
    assert main(["generate", "a.wav", "--out", "videos"]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["method"] for line in lines] == list(s2v_core.METHODS)
    assert lines[0] == {
        "method": "speech2video",
        "path": str(Path("videos", "a.speech2video.mp4")),
        "frames": 3,
        "fps": 25,
        "seconds": 0.12,
        "realtime_factor": 2.5,
    }
    assert err == ""  # a bar belongs on a terminal, not in a log


def test_generate_hands_its_options_on(model):
    options = "--methods sdfa s2f_sdfa sdfa --model m --reference f.jpg --device cpu --precision bfloat16 --no-label"
    assert main(["generate", "a.wav", "--out", "videos", *options.split()]) == 0
    assert model.loaded_with == (Path("m"), "cpu", "bfloat16")
    assert model.calls == [
        {
            "speech": Path("a.wav"),
            "out": Path("videos"),
            "methods": ("sdfa", "s2f_sdfa"),
            "reference": Path("f.jpg"),
            "label": False,
        }
    ]


def test_generate_labels_every_method_by_default(model):
    main(["generate", "a.wav", "--out", "videos"])
    assert model.loaded_with == (None, "auto", "auto")
    assert model.calls[0]["label"] is True
    assert model.calls[0]["reference"] is None
    assert model.calls[0]["methods"] == s2v_core.METHODS


def test_a_bad_file_is_reported_and_the_others_are_done(model, capsys):
    model.failures["b.wav"] = AudioError("b.wav is silent:\n  speak up")
    command = ["generate", "a.wav", "b.wav", "c.wav", "--out", "videos", "--methods", "sdfa"]
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert [Path(json.loads(line)["path"]).name for line in out.splitlines()] == [
        "a.sdfa.mp4",
        "c.sdfa.mp4",
    ]
    assert err.splitlines() == [
        "speech2video: b.wav is silent: speak up",
        "3 files: 2 videos made, 0 there before, 1 files unusable",
    ]


def test_an_error_that_every_file_would_meet_is_reported_once(model, capsys):
    model.failures = {name: FaceError("no face in f.jpg") for name in ("a.wav", "b.wav")}
    assert main(["generate", "a.wav", "b.wav", "--out", "videos"]) == 2
    assert capsys.readouterr() == ("", "speech2video: no face in f.jpg\n")


def test_an_interruption_is_quiet(model, capsys):
    model.failures["a.wav"] = KeyboardInterrupt()
    assert main(["generate", "a.wav", "b.wav", "--out", "videos"]) == 130
    assert capsys.readouterr() == ("", "")
    assert len(model.calls) == 1


def test_a_defect_keeps_its_traceback(model):
    model.failures["a.wav"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        main(["generate", "a.wav", "--out", "videos"])


def test_what_is_there_is_not_made_again(model, tmp_path, capsys):
    folder, out = tmp_path / "talks", tmp_path / "videos"
    folder.mkdir(), out.mkdir()
    for name in ("a.wav", "b.wav"):
        (folder / name).touch()
    (out / "a.sdfa.mp4").touch()
    command = ["generate", str(folder), "--out", str(out), "--methods", "sdfa", "s2f_sdfa"]
    assert main([*command, "--resume"]) == 0
    called = [(call["speech"].name, call["methods"]) for call in model.calls]
    assert called == [("a.wav", ("s2f_sdfa",)), ("b.wav", ("sdfa", "s2f_sdfa"))]
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "2 files: 3 videos made, 1 there before, 0 files unusable"


def test_when_all_is_there_no_model_is_loaded(model, tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "a.sdfa.mp4").touch()
    command = ["generate", str(tmp_path), "--out", str(tmp_path), "--methods", "sdfa", "--resume"]
    assert main(command) == 0
    assert not model.loaded_with


@pytest.mark.parametrize("second", ["two/talk.wav", "one/talk.mp3", "Talk.wav", "one/talk.wav"])
def test_speech_that_would_overwrite_other_speech_is_refused_at_the_start(model, capsys, second):
    assert main(["generate", "one/talk.wav", second, "--out", "videos"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(Path("one/talk.wav")) in err
    assert second in err
    assert not model.loaded_with


def test_a_terminal_shows_a_bar_that_leaves_stdout_clean(model, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["generate", "a.wav", "--out", "videos"]) == 0
    for method in s2v_core.METHODS:
        assert f"a.wav {method}" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
    assert all(json.loads(line) for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("", "required"),
        ("sing", "invalid choice"),
        ("generate --out videos", "SPEECH"),
        ("generate a.wav", "--out"),
        ("generate a.wav --out videos --methods wav2lip", "invalid choice: 'wav2lip'"),
        ("generate a.wav --out videos --methods", "expected at least one"),
        ("record", "--out"),
        ("record --out me.wav --seconds soon", "invalid duration value: 'soon'"),
        ("record --out me.wav --seconds 0", "more than 0"),
        ("record --out me.wav --seconds -1", "more than 0"),
        ("record --out me.wav --seconds nan", "more than 0"),
        ("record --out me.wav --seconds inf", "at most 600"),
    ],
)
def test_a_wrong_command_names_what_is_wrong(model, capsys, command, reason):
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


def test_record_writes_the_microphones_sound(tmp_path, monkeypatch, capsys, tone):
    speech = torch.from_numpy(tone(1.5)).float()
    asked = []
    monkeypatch.setattr(microphone, "record", lambda seconds: asked.append(seconds) or speech)
    path = tmp_path / "me.wav"
    assert main(["record", "--seconds", "1.5", "--out", str(path)]) == 0
    assert asked == [1.5]
    assert json.loads(capsys.readouterr().out) == {"path": str(path), "seconds": 1.5}
    assert torch.allclose(audio.load(path), speech, atol=1 / 32_768)


def test_a_muted_microphone_is_reported_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(microphone, "record", lambda seconds: torch.zeros(80_000))
    assert main(["record", "--out", str(tmp_path / "me.wav")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("speech2video: the recording is sil")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_microphone_is_reported(tmp_path, monkeypatch, capsys):
    def record(seconds: float) -> torch.Tensor:
        raise MicrophoneError("connect a microphone")

    monkeypatch.setattr(microphone, "record", record)
    assert main(["record", "--out", str(tmp_path / "me.wav")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "speech2video: connect a microphone"


def run(*arguments: str | Path, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    command = [sys.executable, *python, "-m", "s2v_core", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("command", [[], ["generate"], ["record"]])
def test_help_comes_with_examples_and_without_the_heavy_imports(command):
    done = run(*command, "--help", python=("-X", "importtime"))
    assert done.returncode == 0
    assert "examples:\n" in done.stdout
    assert f"python -m s2v_core {' '.join(command)}" in done.stdout
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & {"torch", "numpy", "gradio", "moviepy", "cv2", "soundfile", "tqdm"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.wav", "no such file"),
        ("text.wav", "cannot be read as audio"),
        ("silent.wav", "is silent"),
    ],
)
def test_speech_that_cannot_be_used_ends_in_one_plain_line(tmp_path, name, reason):
    (tmp_path / "text.wav").write_text("Hello. " * 999)
    soundfile.write(tmp_path / "silent.wav", np.zeros(32_000), 16_000)
    out = tmp_path / "videos"
    out.mkdir()
    done = run("generate", tmp_path / name, "--out", out)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("speech2video: ")
    assert name in done.stderr
    assert reason in done.stderr
    assert list(out.iterdir()) == []


def test_a_missing_model_ends_in_one_plain_line(tmp_path, capfd, tone):
    soundfile.write(tmp_path / "tone.wav", tone(1), 16_000)
    model, out = tmp_path / "no_such_model", tmp_path / "videos"
    speech = str(tmp_path / "tone.wav")
    assert main(["generate", speech, "--out", str(out), "--model", str(model)]) == 2
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert stderr.count("\n") == 1, stderr
    assert stderr.startswith("speech2video: ")
    assert "no_such_model" in stderr
    assert not out.exists()


def calm_speech() -> torch.Tensor:
    return audio.load(EXAMPLE)


def test_where_nobody_speaks_it_ends_in_one_plain_line(tmp_path, monkeypatch, capfd, tone):
    monkeypatch.chdir(ROOT)
    soundfile.write(tmp_path / "tone.wav", tone(2), 16_000)
    out = tmp_path / "videos"
    assert main(["generate", str(tmp_path / "tone.wav"), "--out", str(out)]) == 2
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert stderr.count("\n") == 1, stderr
    assert stderr.startswith("speech2video: Nobody seems to speak in tone.wav")
    assert not out.exists()


def test_generate_makes_every_video(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    audio.save(tmp_path / "calm.wav", calm_speech()[: round(1.16 * 16_000)])
    out = tmp_path / "videos"
    speech = str(tmp_path / "calm.wav")
    assert main(["generate", speech, "--out", str(out), "--device", "cpu"]) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["method"] for line in lines] == list(s2v_core.METHODS)
    for line in lines:
        assert set(line) == {"method", "path", "frames", "fps", "seconds", "realtime_factor"}
        assert Path(line["path"]) == out / f"calm.{line['method']}.mp4"
        assert line["frames"] == video.probe(line["path"]).n_frames == round(1.16 * line["fps"])
        assert line["realtime_factor"] > 0
    assert len(list(out.iterdir())) == len(lines)


def test_a_folder_that_cannot_be_written_ends_in_one_plain_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    (tmp_path / "file").write_text("not a folder")
    command = ["generate", str(EXAMPLE), "--out", str(tmp_path / "file")]
    assert main(command) == 2
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert stderr.count("\n") == 1, stderr
    assert stderr.startswith("speech2video: ")
    assert (tmp_path / "file").read_text() == "not a folder"
