"""The README's moving picture, and the script that makes it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image, ImageColor

from docs import voice_to_face
from docs.voice_to_face import OUT, PLAYED, ROOT, VOICES, WAVE, WIDTH, scenes

FPS = 25


def seconds(voice: str) -> float:
    return soundfile.info(ROOT / "demo" / "examples" / f"{voice}.wav").duration


class GreyModel:
    """A model whose every method shows a grey face; only the script's own work is tested."""

    fps = FPS

    def frames(self, method: str, speech: torch.Tensor) -> Iterator[torch.Tensor]:
        yield torch.zeros(round(len(speech) / 16_000 * FPS), 3, 128, 96)


def test_the_picture_is_small_and_shows_every_frame_of_every_voice() -> None:
    assert OUT.stat().st_size < 3_000_000
    with Image.open(OUT) as picture:
        assert picture.format == "WEBP"
        assert picture.n_frames == sum(round(FPS * seconds(voice)) for voice in VOICES)


@pytest.mark.parametrize("voice", VOICES)
def test_the_waveform_is_played_as_far_as_the_faces_are(voice: str) -> None:
    made = list(scenes(GreyModel(), voice))
    assert len(made) == round(FPS * seconds(voice))
    colour = ImageColor.getrgb(PLAYED)
    for k in (0, len(made) // 2, len(made) - 1):
        rows = np.asarray(made[k])[WAVE[0] : WAVE[1] + 1]
        played = (rows == colour).all(-1).any(0).sum()
        expected = min(WIDTH, WIDTH * (k + 1) / FPS / seconds(voice))
        assert played == pytest.approx(expected, abs=2)


def test_all_three_faces_stand_below_the_waveform() -> None:
    scene = np.asarray(next(iter(scenes(GreyModel(), next(iter(VOICES))))))
    top = voice_to_face.FACES
    grey = (np.abs(scene[top : top + 200].astype(int) - 128) <= 1).all(-1)
    assert grey.all(0).sum() == 3 * 2 * 96
