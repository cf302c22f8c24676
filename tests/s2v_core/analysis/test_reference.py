"""A visitor's own video as the truth, on clips of the corpus whose exact crop is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from s2v_core.analysis import metrics, reference
from s2v_core.errors import FaceError, UserError
from s2v_core.face.align import align_still, crop
from s2v_core.face.landmarks import LandmarkConfig, LandmarkNet
from s2v_core.face.points import POINTS
from s2v_core.media import video
from s2v_core.models import checkpoint

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def net() -> LandmarkNet:
    folder = ROOT / "checkpoints" / "avatars" / "landmarks"
    return checkpoint.load_network(folder, LandmarkNet, LandmarkConfig)


@pytest.fixture(scope="module")
def clip(corpus) -> Path:
    return corpus / "VideoFlash" / "2008_A04_HAP_XX.flv"


def test_the_crop_is_the_one_by_exact_landmarks(clip, corpus, net) -> None:
    """Against the crop that the corpus's own landmarks give: the same but for a pixel or two."""
    read = reference.read(clip, net, 25, 128, 96)
    points = np.load(corpus / "landmarks" / f"{clip.stem}.npz")["landmarks"][:, POINTS]
    frames = list(video.read(clip))
    rate = video.probe(clip).fps
    for at in (0, len(read.frames) // 2, len(read.frames) - 1):
        source = min(len(frames) - 1, round(at * rate / 25))
        exact = crop(frames[source], points[source])
        apart = np.abs(read.frames[at].astype(int) - exact).mean()
        elsewhere = np.abs(np.roll(exact, 8, axis=0).astype(int) - exact).mean()
        assert apart < elsewhere / 2


def test_the_first_frame_serves_as_a_still(clip, net, tmp_path) -> None:
    read = reference.read(clip, net, 25, 128, 96)
    cv2.imwrite(str(tmp_path / "first.png"), read.first[..., ::-1])
    still = align_still(tmp_path / "first.png", net)
    assert np.abs(still.picture.astype(int) - read.frames[0]).mean() < 8


def test_scores_are_those_of_table_1_over_what_both_have() -> None:
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (6, 128, 96, 3), np.uint8)
    fake = rng.integers(0, 256, (4, 128, 96, 3), np.uint8)
    assert reference.scores(real, real)["ssim"] == pytest.approx(1)
    luma = [(frames[:4] @ np.array(metrics.LUMA)) for frames in (real, fake)]
    by_hand = 10 * np.log10(255**2 / np.square(luma[0] - luma[1]).mean())
    assert reference.scores(real, fake)["psnr"] == pytest.approx(by_hand, abs=1e-3)


def test_a_video_without_a_face_and_a_file_without_video_are_refused(net, tmp_path) -> None:
    import torch

    grey = tmp_path / "grey.mp4"
    video.write(grey, [np.full((96, 96, 3), 128, np.uint8)] * 5, 5, 25, torch.zeros(3200))
    with pytest.raises(FaceError, match=r"No face was found in grey\.mp4"):
        reference.read(grey, net, 25, 128, 96)
    letter = tmp_path / "letter.mp4"
    letter.write_text("Dear Sir or Madam,")
    sound = ROOT / "demo" / "examples" / "sad_woman_german.wav"
    for path in (letter, sound):
        with pytest.raises(UserError, match="cannot be read as a video"):
            reference.read(path, net, 25, 128, 96)


def test_a_playlist_does_not_lead_to_other_files(clip, net, tmp_path) -> None:
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"ffconcat version 1.0\nfile {clip}\n")
    with pytest.raises(UserError, match="cannot be read as a video"):
        reference.read(playlist, net, 25, 128, 96)
