"""Every trainer, killed and started again, ends with the very weights of one that was not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from s2v_core.face.landmarks import LandmarkConfig
from s2v_core.networks.speech2face import Speech2Face
from tests.training.test_cpc import SETTINGS as CPC
from tests.training.test_sdfa import VOICE_ONLY as S2F_SDFA
from tests.training.test_speech2face import FACES
from tests.training.test_speech2face import SETTINGS as SPEECH2FACE
from tests.training.test_syncnet import SETTINGS as SYNCNET
from tests.training.variant import variant
from training.cpc import CPCTrainer
from training.data.clips import Clips
from training.engine.config import Schedule
from training.landmarks import LandmarksSettings, LandmarkTrainer
from training.networks.senet import SENet, SENetConfig
from training.sdfa import SDFATrainer
from training.speech2face import Speech2FaceTrainer
from training.syncnet import SyncNetTrainer
from training.teachers import TeacherTrainer

SCHEDULE = Schedule(steps=4, batch=2, learning_rate=1e-3, save_every=2, ema=0.9)


def briefly(config: Any) -> Any:
    return variant(config, schedule=SCHEDULE)


def s2f_sdfa(clips: Clips, accelerator: Accelerator) -> SDFATrainer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        voice = Speech2Face(SPEECH2FACE.model).eval()
    return SDFATrainer(briefly(S2F_SDFA), clips, voice, accelerator)


def teacher(clips: Clips, accelerator: Accelerator) -> TeacherTrainer:
    network = SENet(SENetConfig(stem=4, classes=2, height=64, width=32))
    return TeacherTrainer(network, [0, 1, 0], clips, SCHEDULE, accelerator, soft=0.5)


def landmarks(clips: Clips, accelerator: Accelerator) -> LandmarkTrainer:
    squares = np.random.default_rng(0).integers(0, 256, (3, 144, 144), np.uint8)
    points = np.random.default_rng(1).uniform(40, 100, (3, 9, 2))
    config = LandmarksSettings(model=LandmarkConfig(width=2), schedule=SCHEDULE)
    return LandmarkTrainer(config, squares, points, accelerator)


TRAINERS: dict[str, Callable[[Clips, Accelerator], Any]] = {
    "cpc": lambda clips, accelerator: CPCTrainer(briefly(CPC), clips, accelerator),
    "teacher": teacher,
    "speech2face": lambda clips, accelerator: Speech2FaceTrainer(
        briefly(SPEECH2FACE), clips, FACES, accelerator
    ),
    "s2f_sdfa": s2f_sdfa,
    "landmarks": landmarks,
    "syncnet": lambda clips, accelerator: SyncNetTrainer(briefly(SYNCNET), clips, accelerator),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_a_killed_run_resumes_bit_for_bit(name, clips, resumed):
    straight, again = resumed(lambda accelerator: TRAINERS[name](clips, accelerator), 3)
    for a, b in (
        (straight.network, again.network),
        (straight.updates.learnt, again.updates.learnt),
    ):
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
            assert torch.equal(x, y)
