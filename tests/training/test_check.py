from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from s2v_core.media.pixels import from_uint8
from s2v_core.models import checkpoint
from s2v_core.networks.syncnet import SyncNet, SyncNetConfig
from training.check import COMPLAINTS, complaints, examine, face_share, loudness, main, movement
from training.data.clips import Clips
from training.prepare import prepare

ACTORS = {"2003": 4, "2009": 2, "2301": 2}  # good clips
COPY, CLIPPED, SOFT, STILL, OTHER, ASKEW = (
    "2003_C01_NEU_XX", "2003_C02_NEU_XX", "2003_C03_NEU_XX",
    "2003_C04_NEU_XX", "2009_C05_NEU_XX", "2003_C06_NEU_XX",
)  # fmt: skip
TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sick(corpus, ffmpeg, tmp_path_factory) -> tuple[Path, list[str]]:
    """Four real clips of an actor, two each of two others, and six with one fault each; the good ones."""
    root, out = tmp_path_factory.mktemp("corpus"), tmp_path_factory.mktemp("prepared")
    stems = sorted(path.stem for path in (corpus / "VideoFlash").glob("*.flv"))
    good = [s for actor, n in ACTORS.items() for s in [s for s in stems if s[:4] == actor][::3][:n]]
    (root / "VideoDemographics.csv").symlink_to(corpus / "VideoDemographics.csv")
    places = {"VideoFlash": "flv", "AudioWAV": "wav", "landmarks": "npz"}
    for folder in places:
        (root / folder).mkdir()

    def link(name: str, source: str, *but: str) -> None:
        for folder in set(places) - set(but):
            file = f"{folder}/{{}}.{places[folder]}"
            (root / file.format(name)).symlink_to(corpus / file.format(source))

    for name in good:
        link(name, name)
    link(COPY, good[0], "VideoFlash", "AudioWAV")  # the same take, coded again
    video, sound = corpus / "VideoFlash" / f"{good[0]}.flv", corpus / "AudioWAV" / f"{good[0]}.wav"
    ffmpeg("-i", video, "-c:v", "flv", "-q:v", "6", "-an", root / "VideoFlash" / f"{COPY}.flv")
    ffmpeg("-i", sound, "-b:a", "48k", root / "copy.m4a")
    ffmpeg("-i", root / "copy.m4a", "-af", "volume=0.7", root / "AudioWAV" / f"{COPY}.wav")
    for name, gain, source in ((CLIPPED, 20.0, good[1]), (SOFT, 0.02, good[2])):
        link(name, source, "AudioWAV")
        speech, rate = soundfile.read(corpus / "AudioWAV" / f"{source}.wav")
        speech = np.clip(gain * speech / np.abs(speech).max(), -1, 1)
        soundfile.write(root / "AudioWAV" / f"{name}.wav", speech, rate)
    link(STILL, good[3], "VideoFlash")
    ffmpeg("-i", corpus / "VideoFlash" / f"{good[3]}.flv", "-vf", "loop=-1:1,trim=end=9",
           "-frames:v", len(np.load(corpus / "landmarks" / f"{good[3]}.npz")["landmarks"]),
           "-c:v", "flv", "-q:v", "2", "-an", root / "VideoFlash" / f"{STILL}.flv")  # fmt: skip
    held = np.load(corpus / "landmarks" / f"{good[3]}.npz")["landmarks"]
    (root / "landmarks" / f"{STILL}.npz").unlink()
    np.savez(root / "landmarks" / f"{STILL}.npz", landmarks=np.repeat(held[:1], len(held), axis=0))
    link(OTHER, good[2])  # actor 2003's clip under 2009's name
    link(ASKEW, good[3], "landmarks")
    np.savez(root / "landmarks" / f"{ASKEW}.npz", landmarks=np.add(held, [60, 20]))
    prepare("crema_d", root, out, root / "none", workers=1)
    return out, good


@pytest.fixture(scope="module")
def records(sick) -> dict[str, dict]:
    return {record["name"]: record for record in examine(Clips.read(sick[0]), None, workers=0)}


@pytest.mark.corpus
def test_every_clip_is_examined(sick, records):
    assert len(records) == 14
    for row in Clips.read(sick[0]).rows:
        record = records[row.name]
        assert record["seconds"] == row.frames / 25
        assert record["fps"] == 25
        assert record["actor"] == row.actor


@pytest.mark.corpus
def test_faces_are_found_where_the_alignment_put_them_and_only_there(sick, records):
    assert min(records[name]["face"] for name in sick[1]) == 1
    assert records[ASKEW]["face"] == 0


@pytest.mark.corpus
def test_a_still_picture_does_not_move(sick, records):
    assert records[STILL]["movement"] < 0.5 < 2 < min(records[name]["movement"] for name in sick[1])


@pytest.mark.corpus
def test_clipped_and_soft_sound_stand_out(sick, records):
    assert records[CLIPPED]["clipped"] > 0.02 > max(records[name]["clipped"] for name in sick[1])
    assert records[SOFT]["level"] < -45 < min(records[name]["level"] for name in sick[1])


@pytest.mark.corpus
def test_a_take_that_was_coded_again_is_a_copy(sick, records):
    good = sick[1]
    assert records[COPY]["same_sound"] == records[COPY]["same_picture"] == good[0]
    assert records[good[0]]["same_sound"] == records[good[0]]["same_picture"] == COPY
    assert {records[name]["same_picture"] for name in (good[1], CLIPPED)} == {good[1], CLIPPED}
    assert records[good[4]]["same_sound"] == records[good[4]]["same_picture"] == ""


@pytest.mark.corpus
def test_a_clip_of_another_actor_is_found_by_its_face(sick, records):
    assert records[OTHER]["margin"] < 0
    assert records[OTHER]["resembles"] == "2003"
    assert min(records[name]["margin"] for name in sick[1]) > 0


@pytest.mark.corpus
def test_the_command_names_the_worst_and_writes_a_line_a_clip(
    sick, records, monkeypatch, capsys, tmp_path
):
    table = tmp_path / "table.csv"
    torch.manual_seed(0)
    config = SyncNetConfig(size=64, lips=(2, 3, 4, 4, 4, 5), voice=(2, 3, 4, 4, 4, 5), feature=6)
    checkpoint.save_network(tmp_path / "syncnet", SyncNet(config), config)
    arguments = ["--data", sick[0], "--out", table, "--syncnet", tmp_path / "syncnet"]
    monkeypatch.setattr("sys.argv", ["check", *map(str, arguments)])
    assert main() == 0
    printed = capsys.readouterr().out
    for fault, name in {
        "no face where it should be": ASKEW,
        "a still picture": STILL,
        "clipped": CLIPPED,
        "too soft (below -45 dBFS)": SOFT,
        "same sound as another clip": COPY,
        "looks like another actor": OTHER,
    }.items():
        lines = printed[printed.index(f"clips: {fault}\n") :].splitlines()[1:]
        named = [line for line in lines if line.startswith("    ")][:5]
        assert any(name in line for line in named), fault
    with table.open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert rows.keys() == records.keys()
    for name, record in records.items():
        assert float(rows[name]["level"]) == pytest.approx(record["level"], abs=1e-3)
        assert -15 <= int(rows[name]["offset"]) <= 15
        assert np.isfinite(float(rows[name]["confidence"]))


@pytest.mark.corpus
def test_planted_offsets_are_found_with_their_sign(sick, monkeypatch):
    """By the SyncNet that ships with the model."""
    folder = TOP / "checkpoints" / "avatars" / "syncnet"
    clips, good = Clips.read(sick[0]), sick[1]
    chosen = Clips(clips.root, tuple(row for row in clips.rows if row.name in good))
    original = Clips.speech
    monkeypatch.setattr(Clips, "speech", lambda self, index: original(self, index).roll(6 * 640))
    offsets = [record["offset"] for record in examine(chosen, folder, workers=0)]
    assert abs(np.median(offsets) - 6) <= 1


def test_a_folder_that_was_not_prepared_is_an_error_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["check", "--data", str(tmp_path)])
    assert main() == 2
    assert capsys.readouterr().err.startswith("check: ")


def test_loudness_in_closed_form(tone):
    """A sine of amplitude a: 20 log a - 3.01 dB; above 0.98 of its peak for 12.75 % of the time."""
    found = loudness(torch.from_numpy(tone(1.0, hz=1007.3, peak=0.25)).float())
    assert found["peak"] == pytest.approx(20 * np.log10(0.25), abs=0.01)
    assert found["level"] == pytest.approx(20 * np.log10(0.25) - 3.0103, abs=0.01)
    assert found["clipped"] == pytest.approx(1 - 2 * np.arcsin(0.98) / np.pi, abs=0.003)


def test_movement_in_closed_form():
    """Half of the pixels jump between two levels, 40 apart: 20 from their mean, 0 for the rest."""
    frames = np.full((10, 8, 6, 3), 100, np.uint8)
    frames[::2, :4] += 40
    assert movement(from_uint8(frames)) == pytest.approx(20 / 2**0.5, abs=1e-3)
    assert movement(from_uint8(frames[::2])) == pytest.approx(0, abs=1e-3)


def test_complaints_name_the_worst_first_and_no_others():
    margin = next(c for c in COMPLAINTS if c.column == "margin")
    records = [
        {"name": n, "margin": m} for n, m in (("twin", 0.003), ("own", 0.09), ("wrong", -0.2))
    ]
    assert [r["name"] for r in complaints(records, margin)] == ["wrong", "twin"]
    offset = next(c for c in COMPLAINTS if c.column == "offset")
    assert complaints([*records, {"name": "late", "offset": -5}, {"offset": 3}], offset) == [
        {"name": "late", "offset": -5}
    ]


def test_noise_is_no_face():
    noise = np.random.default_rng(0).integers(0, 256, (12, 128, 96, 3), np.uint8)
    assert face_share(from_uint8(noise)) == 0
