from __future__ import annotations

import csv
import json
import resource
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from s2v_core.errors import UserError
from s2v_core.face.align import TEMPLATE
from s2v_core.face.landmarks import LandmarkConfig, LandmarkNet
from s2v_core.face.points import POINTS
from s2v_core.media import video
from s2v_core.models import checkpoint
from training.data import shards
from training.data.clips import Clips
from training.prepare import main, prepare

GOOD = ("2003_A01_ANG_XX", "2011_A02_HAP_XX", "2301_G01_NEU_XX")
CUT, STUB, SILENT, FAST = (
    "2003_A02_ANG_XX", "2003_A04_ANG_XX", "2003_A05_ANG_XX", "2003_A07_ANG_XX"
)  # fmt: skip


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def link(corpus: Path, root: Path, source: str, name: str) -> None:
    """Put a real clip into a copy of the corpus, under a name of its own, by links."""
    for folder, suffix in (("VideoFlash", "flv"), ("AudioWAV", "wav"), ("landmarks", "npz")):
        (root / folder).mkdir(exist_ok=True)
        (root / folder / f"{name}.{suffix}").symlink_to(corpus / folder / f"{source}.{suffix}")


def replaced(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


@pytest.fixture(scope="module")
def sources(corpus) -> list[str]:
    """Real clips: of a German actor, of another, and an English one."""
    stems = [path.stem for path in sorted((corpus / "VideoFlash").glob("*.flv"))]
    return [next(s for s in stems if s.startswith(actor)) for actor in ("2003", "2011", "2301")]


@pytest.fixture(scope="module")
def root(corpus, sources, ffmpeg, tmp_path_factory) -> Path:
    """Three good clips; a video cut in half, one that git-lfs left out, a silence, one of 30 fps."""
    root = tmp_path_factory.mktemp("corpus")
    (root / "VideoDemographics.csv").symlink_to(corpus / "VideoDemographics.csv")
    for name, source in zip(GOOD, sources, strict=True):
        link(corpus, root, source, name)
    for name in (CUT, STUB, SILENT, FAST):
        link(corpus, root, sources[0], name)
    flv = (corpus / "VideoFlash" / f"{sources[0]}.flv").read_bytes()
    replaced(root / "VideoFlash" / f"{CUT}.flv", flv[: len(flv) // 2])
    replaced(root / "VideoFlash" / f"{STUB}.flv", b"version https://git-lfs.github.com/spec/v1\n")
    wav = root / "AudioWAV" / f"{SILENT}.wav"
    n_samples = soundfile.info(wav).frames
    wav.unlink()
    soundfile.write(wav, np.zeros(n_samples), 16_000)
    (root / "landmarks" / f"{FAST}.npz").unlink()  # its points are found by the network
    faster = root / "VideoFlash" / f"{FAST}.flv"
    faster.unlink()
    source = corpus / "VideoFlash" / f"{sources[0]}.flv"
    ffmpeg("-i", source, "-r", "30", "-c:v", "flv", "-q:v", "2", "-an", faster)
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    folder, config = tmp_path_factory.mktemp("landmarks"), LandmarkConfig(width=2)
    checkpoint.save_network(folder, LandmarkNet(config), config)
    return folder


@pytest.fixture(scope="module")
def out(root, weights, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out")
    prepare("crema_d", root, out, weights, workers=1)
    return out


@pytest.mark.corpus
def test_usable_clips_have_rows_and_the_others_reasons(out):
    rows = {row["name"]: row for row in table(out / "clips.csv")}
    assert set(rows) == {*GOOD, FAST}
    assert rows[GOOD[1]]["actor"] == "2011"
    assert rows[GOOD[1]]["sentence"] == "A02"
    assert rows[GOOD[2]]["emotion"] == "NEU"
    assert rows[GOOD[0]]["sex"] == "Male"
    details = {row["name"]: row["detail"] for row in table(out / "dropped.csv")}
    assert set(details) == {CUT, STUB, SILENT}
    assert "s of picture" in details[CUT]
    assert "git lfs pull" in details[STUB]
    assert "silent" in details[SILENT]


@pytest.mark.corpus
def test_lids_are_known_where_the_corpus_has_landmarks_and_no_number_elsewhere(out):
    clips = Clips.read(out)
    names = [row.name for row in clips.rows]
    for name in (*GOOD, FAST):
        points = clips.points(names.index(name))
        assert np.isfinite(points[:, : len(POINTS)]).all()
        assert (np.isnan(points[:, len(POINTS) :]) == (name == FAST)).all()


@pytest.mark.corpus
def test_every_frame_of_a_clip_is_kept_with_its_speech(out, corpus, sources):
    clips = Clips.read(out)
    for name, source in zip(GOOD, sources, strict=True):
        n = len(np.load(corpus / "landmarks" / f"{source}.npz")["landmarks"])
        place = [row.name for row in clips.rows].index(name)
        assert clips.rows[place].frames == n
        assert clips.frames(place).shape == (n, 3, 128, 96)
        assert clips.points(place).shape == (n, 13, 2)
        speech, rate = soundfile.read(corpus / "AudioWAV" / f"{source}.wav")
        assert rate == 16_000
        assert len(clips.speech(place)) == n * 640
        np.testing.assert_allclose(clips.speech(place), speech[: n * 640], atol=2e-4)


@pytest.mark.corpus
def test_the_stored_points_lie_on_the_template(out):
    clips = Clips.read(out)
    for place, row in enumerate(clips.rows):
        if row.name in GOOD:
            distance = np.linalg.norm(clips.points(place)[:, :5] - TEMPLATE, axis=-1)
            assert distance.mean() < 2.5
            mouth = clips.points(place)[:, 5:7].mean((0, 1))  # its corners, below the nose
            assert abs(mouth[0] - 48) < 5
            assert 80 < mouth[1] < 110


@pytest.mark.corpus
def test_the_crops_show_what_the_points_say(out, corpus, sources):
    """Crop frames that OpenCV decodes by a least-squares fit of numpy's, and compare."""
    clips = Clips.read(out)
    place = [row.name for row in clips.rows].index(GOOD[0])
    points = np.load(corpus / "landmarks" / f"{sources[0]}.npz")["landmarks"][:, POINTS[:5]]
    frames = list(video.read(corpus / "VideoFlash" / f"{sources[0]}.flv"))
    for k in (0, len(frames) // 2, len(frames) - 1):
        rows = np.reshape([[[x, -y, 1, 0], [y, x, 0, 1]] for x, y in points[k]], (10, 4))
        a, b, x, y = np.linalg.lstsq(rows.astype(float), TEMPLATE.ravel())[0]
        back = np.linalg.inv([[a, -b, x], [b, a, y], [0, 0, 1]])[:2]
        middle = back @ [*np.mgrid[20:110:6, 20:76:6][::-1].reshape(2, -1), np.ones(150)]
        across, down = np.round(middle).astype(int)
        crop = ((clips.frames(place, k) + 1) * 127.5).movedim(0, -1).numpy()
        shown = crop[20:110:6, 20:76:6].reshape(-1, 3)
        assert np.abs(shown - frames[k][down, across]).mean() < 6


@pytest.mark.corpus
def test_thirty_frames_a_second_become_twenty_five(out, root):
    rows = {row["name"]: int(row["frames"]) for row in table(out / "clips.csv")}
    info = video.probe(root / "VideoFlash" / f"{FAST}.flv")
    assert info.fps == pytest.approx(30)
    assert abs(rows[FAST] - rows[GOOD[0]]) <= 1  # the same clip


def state(out: Path) -> dict[Path, tuple[int, bytes]]:
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted((out / "shards").iterdir())}


@pytest.mark.corpus
def test_a_second_run_touches_nothing_that_is_done(out, root, weights):
    before = state(out)
    tables = [(out / name).read_bytes() for name in ("clips.csv", "dropped.csv", "report.json")]
    prepare("crema_d", root, out, weights, workers=1)
    assert state(out) == before
    assert [
        (out / name).read_bytes() for name in ("clips.csv", "dropped.csv", "report.json")
    ] == tables


@pytest.mark.corpus
def test_a_lost_shard_is_made_again_and_the_others_are_not(out, root, weights):
    before = state(out)
    (out / "shards" / "2003.000.csv").unlink()  # as an interrupted run leaves it
    shards.path(out, "2003.000", "frames").write_bytes(b"half")
    prepare("crema_d", root, out, weights, workers=1)
    after = state(out)
    assert after.keys() == before.keys()
    for path, (written, data) in after.items():
        assert (written > before[path][0]) == path.name.startswith("2003")
        assert data == before[path][1] or path.suffix == ".csv"


@pytest.mark.corpus
def test_a_clip_that_was_fixed_is_tried_again(out, root, weights, corpus, sources, tmp_path):
    fixed = tmp_path / "root"
    shutil.copytree(root, fixed, symlinks=True)
    shutil.copytree(out, tmp_path / "out")
    flv = fixed / "VideoFlash" / f"{CUT}.flv"
    replaced(flv, (corpus / "VideoFlash" / f"{sources[0]}.flv").read_bytes())
    report = prepare("crema_d", fixed, tmp_path / "out", weights, workers=1)
    assert report["kept"] == len(GOOD) + 2
    assert CUT in {row["name"] for row in table(tmp_path / "out" / "clips.csv")}


@pytest.mark.corpus
def test_other_splits_need_no_frame_anew(out, root, weights, tmp_path):
    shutil.copytree(out, tmp_path / "out")
    before = state(tmp_path / "out")
    splits = {"2003": "train", "2011": "unobserved", "2301": "train"}
    (tmp_path / "root").mkdir()
    for path in root.iterdir():
        (tmp_path / "root" / path.name).symlink_to(path)
    lines = [f"{p.stem},{splits[p.stem[:4]]}" for p in (root / "VideoFlash").iterdir()]
    (tmp_path / "root" / "splits.csv").write_text("\n".join(["Filename,Split", *lines]))
    prepare("crema_d", tmp_path / "root", tmp_path / "out", weights, workers=1)
    assert state(tmp_path / "out") == before
    rows = table(tmp_path / "out" / "clips.csv")
    assert {row["actor"]: row["split"] for row in rows} == splits


@pytest.mark.corpus
def test_the_report_counts_what_is_there(out, root):
    report = json.loads((out / "report.json").read_text())
    rows = table(out / "clips.csv")
    assert (report["clips"], report["kept"]) == (7, len(rows)) == (7, 4)
    assert report["dropped"] == {
        "left out by git-lfs": 1,
        "sound and picture differ in length": 1,
        "the sound cannot be used": 1,
    }
    assert report["hours"] == pytest.approx(sum(int(r["frames"]) for r in rows) / 90_000, abs=1e-4)
    size = sum(path.stat().st_size for path in (out / "shards").glob("*.npy"))
    assert report["gigabytes"] == pytest.approx(size / 1e9, abs=1e-3)
    splits = {s: held["clips"] for s, held in report["splits"].items()}
    assert splits == Counter(row["split"] for row in rows)


def numbered(ffmpeg, path: Path, n_frames: int, fps: int) -> None:
    """Write a video whose frame k is grey of level 4 k."""
    source = f"color=black:s=64x48:r={fps},format=gray,geq=lum='4*N':cb=128:cr=128"
    arguments = ["-frames:v", n_frames, "-c:v", "flv", "-q:v", "1", path]
    done = ffmpeg("-f", "lavfi", "-i", source, *arguments)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.fixture
def exact_clip(ffmpeg, tone, tmp_path):
    """A clip of n frames with exact landmarks and sound that is exactly as long."""

    def make(n_frames: int) -> Path:
        for folder in ("VideoFlash", "AudioWAV", "landmarks"):
            (tmp_path / folder).mkdir()
        name = "1001_IEO_NEU_XX"
        numbered(ffmpeg, tmp_path / "VideoFlash" / f"{name}.flv", n_frames, 25)
        soundfile.write(tmp_path / "AudioWAV" / f"{name}.wav", tone(n_frames / 25), 16_000)
        points = np.random.default_rng(0).uniform(5, 40, (n_frames, 68, 2)).astype(np.float16)
        np.savez(tmp_path / "landmarks" / f"{name}.npz", landmarks=points)
        (tmp_path / "VideoDemographics.csv").write_text("ActorID,Sex\n1001,Male\n")
        return tmp_path

    return make


@pytest.mark.parametrize("n_frames", [29, 56, 57, 58])
def test_no_frame_is_lost_when_sound_and_picture_are_equally_long(exact_clip, n_frames):
    """57 / 25 * 25 is less than 57 in floating point."""
    root = exact_clip(n_frames)
    prepare("crema_d", root, root / "out", root / "none", workers=1)
    assert [row["frames"] for row in table(root / "out" / "clips.csv")] == [str(n_frames)]


def test_landmarks_of_another_video_are_refused(exact_clip):
    root = exact_clip(30)
    path = next((root / "landmarks").glob("*.npz"))
    np.savez(path, landmarks=np.zeros((28, 68, 2)))
    prepare("crema_d", root, root / "out", root / "none", workers=1)
    assert table(root / "out" / "clips.csv") == []
    assert "28" in table(root / "out" / "dropped.csv")[0]["detail"]


def test_missing_landmark_weights_stop_the_run(exact_clip):
    """All clips of a corpus without landmarks would be dropped, one by one, for one cause."""
    root = exact_clip(30)
    shutil.rmtree(root / "landmarks")
    with pytest.raises(UserError, match="landmarks"):
        prepare("crema_d", root, root / "out", root / "none", workers=1)


@pytest.mark.corpus
def test_two_processes_prepare_what_one_does(out, root, weights, tmp_path):
    """In workers of their own: forked ones hung where torch had started threads before."""
    prepare("crema_d", root, tmp_path, weights, workers=2)
    assert (tmp_path / "clips.csv").read_text() == (out / "clips.csv").read_text()
    assert (tmp_path / "dropped.csv").read_text() == (out / "dropped.csv").read_text()
    for path in (out / "shards").glob("*.npy"):
        assert (tmp_path / "shards" / path.name).read_bytes() == path.read_bytes()


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line; its exit status, what it printed, and what it said on stderr."""

    def run(root: Path, out: Path) -> tuple[int, str, str]:
        arguments = ["--corpus", "crema_d", "--root", root, "--out", out, "--workers", "1"]
        monkeypatch.setattr("sys.argv", ["prepare", *map(str, arguments)])
        return main(), *capsys.readouterr()

    return run


def test_the_command_prints_what_it_kept(exact_clip, command):
    root = exact_clip(30)
    status, printed, _ = command(root, root / "out")
    assert status == 0
    assert "1 of 1 clips" in printed
    assert "1 clips of 1 actors" in printed


def test_a_full_disk_is_an_error_and_nothing_half_written_stays(exact_clip, command):
    """A limit on the size of files, of 200 kB, fails the write as a full disk does, and as late."""
    root = exact_clip(30)
    none, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        status, _, said = command(root, root / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (none, hard))
    assert status == 2
    last = said.strip().splitlines()[-1]
    assert last.startswith("prepare: ")
    assert "Make room" in last
    assert [path for path in (root / "out").rglob("*") if path.is_file()] == []
    status, printed, _ = command(root, root / "out")
    assert (status, "1 of 1 clips" in printed) == (0, True)


def test_a_corpus_of_which_nothing_can_be_used_says_why(exact_clip, command):
    root = exact_clip(30)
    next((root / "AudioWAV").iterdir()).unlink()
    status, printed, _ = command(root, root / "out")
    assert status == 2
    assert "1 clips: no audio file" in printed


def test_an_empty_folder_is_an_error_in_one_line(tmp_path, command):
    status, _, said = command(tmp_path, tmp_path / "out")
    assert status == 2
    assert said.startswith("prepare: ")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_clip_that_fails_unexpectedly_is_left_out(exact_clip, monkeypatch):
    root = exact_clip(5)

    def fail(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("training.prepare.align_clip", fail)
    report = prepare("crema_d", root, root / "out", root / "none", workers=1)
    assert report["dropped"] == {"it failed": 1}
    assert "ZeroDivisionError: by nothing" in (root / "out" / "dropped.csv").read_text()
