from __future__ import annotations

import numpy as np
import pytest
import torch

from s2v_core.errors import UserError
from s2v_core.face.align import TEMPLATE
from training.data import in_memory
from training.data.alignment import Aligned
from training.data.in_memory import InMemoryClips

LANDMARKS = "checkpoints/avatars/landmarks"


def test_clips_in_memory_are_read_as_prepared_ones(clips):
    """The same arrays by way of files and by way of memory."""
    n = clips.rows[0].frames
    frames = ((clips.frames(0) + 1) * 127.5).round().byte().movedim(1, -1).numpy()
    speech = (clips.speech(0) * 32768).round().short().reshape(n, -1).numpy()
    here = InMemoryClips.of(one=Aligned(frames, speech, clips.points(0), 25.0))
    assert (len(here), here.rows[0].frames, here.rows[0].name) == (1, n, "one")
    for which in (slice(None), 3, np.array([0, 2, 2])):
        assert torch.equal(here.frames(0, which), clips.frames(0, which))
    assert torch.equal(here.speech(0), clips.speech(0))
    assert torch.equal(here.pose(0), clips.pose(0))
    assert torch.equal(here.mean_poses(), clips.mean_poses()[:1])


def test_a_real_file_is_aligned(corpus):
    path = sorted((corpus / "VideoFlash").glob("*.flv"))[200]
    clip = in_memory.read(path, LANDMARKS)
    assert clip.frames.shape[1:] == (128, 96, 3)
    assert clip.speech.shape == (len(clip.frames), 640)
    exact = np.load(corpus / "landmarks" / f"{path.stem}.npz")["landmarks"]
    assert abs(len(exact) - len(clip.frames)) <= 2
    eyes_and_nose = clip.points[:, :5].mean(0)
    assert np.abs(eyes_and_nose - TEMPLATE).max() < 3  # pixels


@pytest.mark.parametrize("lacks", ["face", "sound", "file"])
def test_a_file_that_cannot_be_trained_on_is_refused_in_a_line(tmp_path, ffmpeg, lacks):
    path = tmp_path / "clip.mp4"
    sound = [] if lacks == "sound" else ["-f", "lavfi", "-i", "sine=duration=1"]
    if lacks != "file":
        picture = ["-f", "lavfi", "-i", "color=gray:size=320x240:rate=25:duration=1"]
        assert ffmpeg(*picture, *sound, "-shortest", path).returncode == 0
    with pytest.raises(UserError, match=r"clip\.mp4") as refused:
        in_memory.read(path, LANDMARKS)
    assert "\n" not in str(refused.value)


def test_noise_has_the_shapes_of_a_clip():
    clip = in_memory.noise(7, 64, 32, np.random.default_rng(0))
    assert (clip.frames.shape, clip.speech.shape, clip.points.shape) == (
        (7, 64, 32, 3),
        (7, 640),
        (7, 13, 2),
    )
    assert clip.speech.dtype == np.int16
