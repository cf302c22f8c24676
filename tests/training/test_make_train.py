"""`make train`, whole: from a corpus's files to a video by networks that were trained on them, two steps each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import s2v_core
from s2v_core.media import video
from training import train_all
from training.prepare import prepare

ROOT = Path(__file__).parents[2]
# Networks that no step of train_all makes: the one is imported, the other trained with a corpus of readers.
BY_HAND = {"voice_activity", "voice_matcher"}
SHIPPED = ROOT / "training" / "configs" / "avatars"
SPEECH = ROOT / "demo" / "examples" / "sad_woman_german.wav"
SPLITS = {"A01": "train", "A02": "train", "A07": "val", "A04": "test"}
ACTORS = ("2003", "2008")
SHORT = {"steps": 2, "batch": 2, "save_every": 2}


def few(corpus: Path, root: Path) -> None:
    """Link two actors' clips of four sentences, neutral and angry, and write their splits."""
    shutil.copy(corpus / "VideoDemographics.csv", root)
    lines = ["Filename,Split"]
    for clip in sorted((corpus / "VideoFlash").glob("*.flv")):
        actor, sentence, emotion, _ = clip.stem.split("_")
        if actor not in ACTORS or sentence not in SPLITS or emotion not in ("NEU", "ANG"):
            continue
        lines.append(f"{clip.stem},{SPLITS[sentence]}")
        for folder, suffix in (("VideoFlash", "flv"), ("AudioWAV", "wav"), ("landmarks", "npz")):
            (root / folder).mkdir(exist_ok=True)
            (root / folder / f"{clip.stem}.{suffix}").symlink_to(
                corpus / folder / f"{clip.stem}.{suffix}"
            )
    (root / "splits.csv").write_text("\n".join(lines) + "\n")


def shortened(settings: dict) -> dict:
    """The shipped settings, but for how long and on how much they train."""
    changed = {
        key: {**value, **SHORT} if key.endswith("schedule") else value
        for key, value in settings.items()
    }
    if "identity" in changed:
        changed["identity"] = {**changed["identity"], "classes": len(ACTORS)}
    return changed


@pytest.mark.corpus
def test_a_corpus_becomes_a_model_set_that_makes_a_video(corpus, tmp_path):
    root, data, run, out = (tmp_path / name for name in ("corpus", "data", "run", "out"))
    root.mkdir()
    few(corpus, root)
    prepare("crema_d", root, data, ROOT / "checkpoints" / "avatars" / "landmarks", workers=1)
    configs = tmp_path / "configs"
    configs.mkdir()
    for path in SHIPPED.glob("*.yaml"):
        settings = shortened(yaml.safe_load(path.read_text()))
        if path.stem in ("features", "motion"):
            settings["copies"] = 1
        if path.stem == "motion":
            # From the prepared clips alone: it encodes hours of other speech otherwise.
            settings["shares"] = {}
        (configs / path.name).write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "training.train_all", "--configs", configs]
    command += ["--data", data, "--run", run, "--out", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = {*train_all.NETWORKS, *train_all.JUDGES} - BY_HAND
    assert {path.name for path in out.iterdir()} == expected
    shutil.copy(ROOT / "checkpoints" / "avatars" / "portrait.png", out)
    for made in s2v_core.load(out, "cpu").generate(SPEECH, tmp_path / "videos"):
        frames = list(video.read(made.path))
        assert len(frames) == made.frames == 49
        assert frames[0].shape == (128, 96, 3)
