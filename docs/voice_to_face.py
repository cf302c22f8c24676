"""Make the README's moving picture: voices, and the face that each method makes of them.

.venv/bin/python -m docs.voice_to_face
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import s2v_core
from s2v_core.engine import Speech2Video
from s2v_core.media import audio
from s2v_core.media.pixels import to_pictures
from s2v_core.rates import SAMPLE_RATE

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).with_suffix(".webp")
VOICES = {
    "angry_man_german": "an angry man, in German",
    "sad_woman_german": "a sad woman, in German",
    "calm_woman_english": "a calm woman, in English",
}
CAPTIONS = {
    "speech2video": ("Speech2Video", "from the voice alone"),
    "sdfa": ("SDFA", "from the voice and a picture of a face"),
    "s2f_sdfa": ("S2F+SDFA", "from the voice alone"),
}
# Pixels: the picture, the waveform's rows, and the top of the faces, each twice as large as it is made.
WIDTH, HEIGHT, WAVE, FACES = 720, 440, (40, 100), 120
INK, PLAYED, AHEAD = "#1c1917", "#0d9488", "#d6d3d1"


def main() -> None:
    """Write the picture beside this file."""
    model = s2v_core.load(ROOT / "checkpoints" / "avatars", "cpu")
    first, *others = (frame for voice in VOICES for frame in scenes(model, voice))
    milliseconds = 1000 // model.fps
    settings = {"quality": 80, "method": 4, "loop": 0, "duration": milliseconds}
    first.save(OUT, save_all=True, append_images=others, **settings)
    print(f"{OUT}: {1 + len(others)} frames, {OUT.stat().st_size:,} bytes")


@torch.inference_mode()
def scenes(model: Speech2Video, voice: str) -> Iterator[Image.Image]:
    """Yield one picture a video frame of ``voice``: its waveform up to there, and every method's face."""
    speech = audio.load(ROOT / "demo" / "examples" / f"{voice}.wav")
    videos = {}
    for method in s2v_core.METHODS:
        chunks = model.frames(method, speech)
        videos[method] = [face for chunk in chunks for face in to_pictures(chunk, label=True)]
    for k, faces in enumerate(zip(*videos.values(), strict=True)):
        scene = Image.new("RGB", (WIDTH, HEIGHT), "white")
        draw_voice(scene, speech.numpy(), VOICES[voice], (k + 1) / model.fps)
        for place, (method, face) in enumerate(zip(videos, faces, strict=True)):
            draw_face(scene, face, CAPTIONS[method], (2 * place + 1) * WIDTH // 6)
        yield scene


def draw_voice(scene: Image.Image, speech: np.ndarray, caption: str, seconds: float) -> None:
    """Draw the waveform, played up to ``seconds``, below its caption."""
    draw = ImageDraw.Draw(scene)
    font = ImageFont.load_default(18)
    draw.text((WIDTH // 2, 20), f"The voice: {caption}", INK, font, anchor="mm")
    top, bottom = WAVE
    middle, scale = (top + bottom) / 2, (bottom - top) / 2 / np.abs(speech).max()
    for x, part in enumerate(np.array_split(speech, WIDTH)):
        colour = PLAYED if x / WIDTH < seconds * SAMPLE_RATE / len(speech) else AHEAD
        draw.line((x, middle - scale * part.max(), x, middle - scale * part.min()), colour)


def draw_face(scene: Image.Image, face: np.ndarray, caption: tuple[str, str], x: int) -> None:
    """Draw a face (H, W, 3) uint8 centred at ``x``, twice as large, and its caption below it."""
    picture = Image.fromarray(face)
    picture = picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.LANCZOS)
    scene.paste(picture, (x - picture.width // 2, FACES))
    draw = ImageDraw.Draw(scene)
    below = FACES + picture.height
    for line, size, y in zip(caption, (20, 13), (below + 22, below + 44), strict=True):
        draw.text((x, y), line, INK, ImageFont.load_default(size), anchor="mm")


if __name__ == "__main__":
    main()
