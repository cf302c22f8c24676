from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from s2v_core import checkpoint, face, video
from s2v_core.face import LandmarkConfig, LandmarkNet
from training import prepare as preparing
from training.data import Clips
from training.prepare import UnusableError, prepare, read_frames

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
    reasons = {row["name"]: row["reason"] for row in table(out / "dropped.csv")}
    assert set(reasons) == {CUT, STUB, SILENT}
    assert "s of picture" in reasons[CUT]
    assert "video" in reasons[STUB]
    assert "silent" in reasons[SILENT]


@pytest.mark.corpus
def test_every_frame_of_a_clip_is_kept_with_its_speech(out, corpus, sources):
    clips = Clips.read(out)
    for name, source in zip(GOOD, sources, strict=True):
        n = len(np.load(corpus / "landmarks" / f"{source}.npz")["landmarks"])
        place = [row.name for row in clips.rows].index(name)
        assert clips.rows[place].frames == n
        assert clips.frames(place).shape == (n, 3, 128, 96)
        assert clips.points(place).shape == (n, 9, 2)
        speech, rate = soundfile.read(corpus / "AudioWAV" / f"{source}.wav")
        assert rate == 16_000
        assert len(clips.speech(place)) == n * 640
        np.testing.assert_allclose(clips.speech(place), speech[: n * 640], atol=2e-4)


@pytest.mark.corpus
def test_the_stored_points_lie_on_the_template(out):
    clips = Clips.read(out)
    for place, row in enumerate(clips.rows):
        if row.name in GOOD:
            distance = np.linalg.norm(clips.points(place)[:, :5] - face.TEMPLATE, axis=-1)
            assert distance.mean() < 2.5
            mouth = clips.points(place)[:, 5:7].mean((0, 1))  # its corners, below the nose
            assert abs(mouth[0] - 48) < 5
            assert 80 < mouth[1] < 110


@pytest.mark.corpus
def test_the_crops_show_what_the_points_say(out, corpus, sources):
    """Crop frames that OpenCV decodes by a least-squares fit of numpy's, and compare."""
    clips = Clips.read(out)
    place = [row.name for row in clips.rows].index(GOOD[0])
    points = np.load(corpus / "landmarks" / f"{sources[0]}.npz")["landmarks"][:, face.POINTS[:5]]
    frames = list(video.read(corpus / "VideoFlash" / f"{sources[0]}.flv"))
    for k in (0, len(frames) // 2, len(frames) - 1):
        rows = np.reshape([[[x, -y, 1, 0], [y, x, 0, 1]] for x, y in points[k]], (10, 4))
        a, b, x, y = np.linalg.lstsq(rows.astype(float), face.TEMPLATE.ravel())[0]
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


@pytest.mark.corpus
def test_a_second_run_touches_nothing_that_is_done(out, root, weights, monkeypatch):
    files = [*(out / "frames").iterdir(), *(out / "clips").iterdir()]
    before = {path: path.stat().st_mtime_ns for path in files}
    tables = [(out / name).read_bytes() for name in ("clips.csv", "dropped.csv")]
    prepare("crema_d", root, out, weights, workers=1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {*(out / "frames").iterdir(), *(out / "clips").iterdir()} == set(files)
    assert [(out / name).read_bytes() for name in ("clips.csv", "dropped.csv")] == tables


@pytest.mark.corpus
def test_a_lost_record_is_made_again(out, root, weights):
    record = out / "clips" / f"{GOOD[0]}.npz"
    before = dict(np.load(record))
    record.unlink()
    prepare("crema_d", root, out, weights, workers=1)
    for name, values in np.load(record).items():
        np.testing.assert_array_equal(values, before[name])


def numbered(ffmpeg, path: Path, n_frames: int, fps: int) -> None:
    """Write a video whose frame k is grey of level 4 k."""
    source = f"color=black:s=64x48:r={fps},format=gray,geq=lum='4*N':cb=128:cr=128"
    arguments = ["-frames:v", n_frames, "-c:v", "flv", "-q:v", "1", path]
    done = ffmpeg("-f", "lavfi", "-i", source, *arguments)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize("fps", [25, 30])
def test_frames_are_those_of_their_time(ffmpeg, tmp_path, fps):
    path = tmp_path / "grey.flv"
    numbered(ffmpeg, path, 2 * fps, fps)
    frames = read_frames(path)
    assert abs(len(frames) - 50) <= 1
    shown = np.array([frame.mean() / 4 for frame in frames[:50]])
    drift = shown / fps - np.arange(len(shown)) / 25
    assert np.abs(drift - drift.mean()).max() < 1 / fps
    assert np.abs(drift).max() < 1.2 / 25


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
    assert "28" in table(root / "out" / "dropped.csv")[0]["reason"]


def test_missing_landmark_weights_stop_the_run(exact_clip):
    """All clips of a corpus without landmarks would be dropped, one by one, for one cause."""
    root = exact_clip(30)
    shutil.rmtree(root / "landmarks")
    with pytest.raises(preparing.UserError, match="landmarks"):
        prepare("crema_d", root, root / "out", root / "none", workers=1)


def test_a_half_written_file_never_has_its_final_name(tmp_path):
    def fail(file) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preparing._save(tmp_path / "a.npy", fail)
    assert not (tmp_path / "a.npy").exists()


@pytest.mark.parametrize("data", [b"", b"no video"])
def test_what_is_no_video_is_unusable(tmp_path, data):
    path = tmp_path / "a.flv"
    path.write_bytes(data)
    with pytest.raises(UnusableError):
        read_frames(path)


def test_two_processes_prepare_what_one_does(out, root, weights, tmp_path):
    """In workers of their own: forked ones hung where torch had started threads before."""
    prepare("crema_d", root, tmp_path, weights, workers=2)
    for name in ("clips.csv", "dropped.csv"):
        assert (tmp_path / name).read_text() == (out / name).read_text()
