"""Every settings file that ships is one that its trainer reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from s2v_core.errors import UserError
from s2v_core.settings import Settings
from training.cpc import CPCSettings
from training.engine import config as settings
from training.features import FeaturesSettings
from training.judges import JudgesSettings
from training.landmarks import LandmarksSettings
from training.lips import LipsSettings
from training.motion import MotionSettings
from training.sdfa import SDFASettings
from training.speaker import SpeakerSettings
from training.speech2face import Speech2FaceSettings
from training.stage1 import Stage1Settings
from training.stage2 import Stage2Settings
from training.syncnet import SyncNetSettings
from training.teachers import TeachersSettings
from training.train_all import STEPS
from training.voice_matcher import VoiceMatcherSettings

CONFIGS = Path(__file__).parents[3] / "training" / "configs"
SETTINGS = {
    "cpc": CPCSettings,
    "features": FeaturesSettings,
    "judges": JudgesSettings,
    "landmarks": LandmarksSettings,
    "lips": LipsSettings,
    "motion": MotionSettings,
    "s2f_sdfa": SDFASettings,
    "sdfa": SDFASettings,
    "speaker": SpeakerSettings,
    "speech2face": Speech2FaceSettings,
    "stage1": Stage1Settings,
    "stage2": Stage2Settings,
    "syncnet": SyncNetSettings,
    "teachers": TeachersSettings,
    "voice_matcher": VoiceMatcherSettings,
}


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_it_is_read_into_its_trainers_settings(path):
    settings.read(path, SETTINGS[path.stem])


def test_make_train_has_a_file_for_every_step():
    missing = [
        config for _, config, _ in STEPS if not (CONFIGS / "avatars" / f"{config}.yaml").exists()
    ]
    assert missing == []


def test_every_step_of_the_papers_has_the_papers_settings():
    """Landmarks and lips need a corpus with exact landmarks, which CREMA-D has not; the others are not the paper's."""
    missing = {
        config for _, config, _ in STEPS if not (CONFIGS / "paper" / f"{config}.yaml").exists()
    }
    assert missing == {"landmarks", "lips", "speaker", "motion"}


def test_the_papers_settings_depart_from_it_nowhere():
    """All that `training/README.md` lists as a departure is off in the settings of the paper's own form."""
    stage1 = settings.read(CONFIGS / "paper" / "stage1.yaml", Stage1Settings)
    assert (stage1.model.summary, stage1.memory, stage1.lambda_recall) == ("last", False, 0)
    assert stage1.optimiser == "RMSprop"
    stage2 = settings.read(CONFIGS / "paper" / "stage2.yaml", Stage2Settings)
    assert (stage2.model.pose, stage2.model.look, stage2.forced) == (0, 0, 0)
    assert (stage2.model.motion, stage2.lambda_eyes, stage2.lambda_detail) == (0, 0, 0)
    assert (stage2.lambda_texture, stage2.lambda_lower, stage2.lambda_mouth) == (0, 0, 0)
    assert stage2.schedule.warmup == 0
    for schedule in (stage1.schedule, stage2.schedule):
        assert (schedule.epochs, schedule.clip, schedule.ema) == (100, 0, 0)
    for name in ("sdfa", "s2f_sdfa"):
        sdfa = settings.read(CONFIGS / "paper" / f"{name}.yaml", SDFASettings)
        assert (sdfa.model.pose, sdfa.lambda_upper, sdfa.lambda_mouth) == (0, 0, 0)
        assert sdfa.schedule.warmup == 0


def numbers(values: Settings, prefix: str = "") -> Iterator[str]:
    """The keys of all numbers in ``values``, but for the networks' own sizes."""
    for key, value in values:
        if isinstance(value, Settings) and key not in ("model", "identity", "emotion"):
            yield from numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + key


@pytest.mark.parametrize("name", SETTINGS)
def test_every_number_below_zero_is_refused_by_name(name):
    path = CONFIGS / "avatars" / f"{name}.yaml"
    for key in numbers(settings.read(path, SETTINGS[name])):
        with pytest.raises(
            UserError, match=f"{re.escape(key)}: should be (greater than|a multiple of)"
        ):
            settings.read(path, SETTINGS[name], [f"{key}=-1"])


@pytest.mark.parametrize(
    ("name", "key", "taken", "refused"),
    [
        ("cpc", "schedule.batch", 1, 0),
        ("cpc", "schedule.save_every", 1, 0),
        ("cpc", "schedule.learning_rate", 1e-9, 0),
        ("cpc", "schedule.decay_from", 1, 1.01),
        ("cpc", "schedule.ema", 0.999, 1),
        ("cpc", "schedule.precision", "bf16", "half"),
        ("cpc", "window", 1, 0),
        ("cpc", "ahead", 1, 0),
        ("features", "every", 1, 0),
        ("judges", "soft", 1, 1.01),
        ("landmarks", "frames", 1, 0),
        ("lips", "soft", 1, 1.01),
        ("motion", "copies", 1, 0),
        ("motion", "frames", 1, 0),
        ("motion", "slowest", 1.15, 1.2),
        ("sdfa", "frames", 10, 7),
        ("sdfa", "frames", 5, 0),
        ("stage1", "optimiser", "RMSprop", "SGD"),
        ("stage1", "sampled_frames", 1, 0),
        ("stage1", "shortest", 1.5, 1.6),
        ("stage1", "temperature_mu", 1e-9, 0),
        ("stage2", "discriminator", [16, 1], [16, 0]),
        ("stage2", "forced", 1, 1.01),
        ("stage2", "optimiser", "Adam", "SGD"),
        ("syncnet", "moments", 1, 0),
    ],
)
def test_a_value_on_its_bound_is_taken_and_one_beyond_it_is_refused_by_name(
    name, key, taken, refused
):
    path = CONFIGS / "avatars" / f"{name}.yaml"
    settings.read(path, SETTINGS[name], [f"{key}={taken}"])
    with pytest.raises(UserError) as error:
        settings.read(path, SETTINGS[name], [f"{key}={refused}"])
    (_, _, fault) = str(error.value).partition(f"{key}={refused}: ")
    assert key.rpartition(".")[2] in fault
