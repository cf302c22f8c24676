"""Small files that failed once, each for a kind: what is right is in the README beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from s2v_core.analysis import reference
from s2v_core.errors import AudioError, FaceError
from s2v_core.face.align import align_still
from s2v_core.face.landmarks import LandmarkConfig, LandmarkNet
from s2v_core.media import audio
from s2v_core.models import checkpoint
from s2v_core.networks.syncnet import SyncNet, SyncNetConfig
from training.data import corpora, tables
from training.data.alignment import align_clip
from training.data.corpora import Clip

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"


@pytest.fixture(scope="module")
def net() -> LandmarkNet:
    return checkpoint.load_network(
        CHECKPOINTS / "avatars" / "landmarks", LandmarkNet, LandmarkConfig
    )


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("gsm.wav", 1.88), ("gsm.aiff", 1.88), ("nms_adpcm.wav", 1.88), ("chained.ogg", 3.77)],
)
def test_every_sample_of_a_rare_codec_is_read(cases: Path, name: str, seconds: float) -> None:
    """Against the same sentence without a codec: ``antiphase.wav``'s left channel."""
    read = audio.load(cases / name)
    assert len(read) / 16_000 == pytest.approx(seconds, abs=0.05)
    plain = audio.load(cases / "antiphase.wav")
    both = [torch.fft.rfft(x, 2**17) for x in (read, plain)]
    match = torch.fft.irfft(both[0] * both[1].conj()).max()
    assert match / (plain.norm() * read.norm()) > 0.6


def test_opposite_channels_give_the_voice_of_one(cases: Path) -> None:
    read = audio.load(cases / "antiphase.wav")
    assert len(read) == pytest.approx(1.88 * 16_000, abs=10)
    assert read.abs().max() > 0.1


def test_sound_that_starts_late_stays_in_step(cases: Path, net: LandmarkNet) -> None:
    film = cases / "sync_audio_late.mp4"
    sound = audio.load(film)
    assert sound[: 16_000 * 11 // 20].abs().max() < 0.01
    frames = torch.from_numpy(reference.read(film, net, 25, 128, 96).frames)
    syncnet = checkpoint.load_network(CHECKPOINTS / "grid" / "syncnet", SyncNet, SyncNetConfig)
    assert abs(syncnet.score(frames.permute(0, 3, 1, 2) / 127.5 - 1, sound).offset) <= 1


def test_pixels_that_are_not_square_are_shown_as_a_player_does(
    cases: Path, net: LandmarkNet
) -> None:
    """Against the film with square pixels, whose frames are the same."""
    square, wide = (
        reference.read(cases / name, net, 25, 128, 96).frames
        for name in ("noaudio.mp4", "sar43.mp4")
    )
    assert reference.scores(square, wide)["psnr"] > 25


@pytest.mark.parametrize("name", ["sync_audio_late.mp4", "sar43.mp4"])
def test_preparation_reads_films_as_the_page_does(cases: Path, net: LandmarkNet, name: str) -> None:
    film = cases / name
    ready = align_clip(Clip("a", film, film, None, "a", "", "a", "NEU"), net)
    sound = audio.load(film)[: ready.speech.size].numpy()
    assert np.abs(ready.speech.ravel() / 32767 - sound).max() < 1e-4
    page = reference.read(film, net, 25, 128, 96).frames[: len(ready.frames)]
    assert reference.scores(page, ready.frames)["psnr"] > 25


def test_a_film_without_sound_says_so(cases: Path) -> None:
    with pytest.raises(AudioError, match=r"This video has no sound\."):
        audio.load(cases / "noaudio.mp4")


def test_a_picture_of_one_column_shows_no_face(cases: Path, net: LandmarkNet) -> None:
    with pytest.raises(FaceError, match=r"No face was found in thin\.png"):
        align_still(cases / "thin.png", net)


def test_a_table_that_a_spreadsheet_saved_is_read(cases: Path, tmp_path: Path) -> None:
    rows = tables.read(cases / "demographics_bom.csv", ("ActorID", "Sex"))
    (tmp_path / "VideoFlash").mkdir()
    (tmp_path / "VideoFlash" / f"{rows[0]['ActorID']}_DFA_ANG_XX.flv").touch()
    shutil.copy(cases / "demographics_bom.csv", tmp_path / "VideoDemographics.csv")
    assert [clip.sex for clip in corpora.crema_d(tmp_path)] == [rows[0]["Sex"]]
