"""A model set: its folder, its networks' names, and loading them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2v_core.errors import CheckpointError
from s2v_core.face.landmarks import LandmarkConfig, LandmarkNet
from s2v_core.models import checkpoint
from s2v_core.networks.composer import Composer, ComposerConfig
from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.motion_student import MotionConfig, MotionStudent
from s2v_core.networks.sdfa import SDFA, SDFAConfig
from s2v_core.networks.speaker_encoder import SpeakerConfig, SpeakerEncoder
from s2v_core.networks.speech2face import Speech2Face, Speech2FaceConfig
from s2v_core.networks.students import Students, StudentsConfig

NETWORKS = {
    "cpc": (CPC, CPCConfig),
    "students": (Students, StudentsConfig),
    "speaker": (SpeakerEncoder, SpeakerConfig),
    "motion": (MotionStudent, MotionConfig),
    "composer": (Composer, ComposerConfig),
    "sdfa": (SDFA, SDFAConfig),
    "speech2face": (Speech2Face, Speech2FaceConfig),
    "s2f_sdfa": (SDFA, SDFAConfig),
    "landmarks": (LandmarkNet, LandmarkConfig),
}


OPTIONAL = ("speaker", "motion")  # networks that the paper's method does without


def read_networks(folder: Path) -> dict[str, Any]:
    """Return the networks of the model set in ``folder``, those of OPTIONAL if it has them."""
    networks = {
        key: checkpoint.load_network(folder / key, *types)
        for key, types in NETWORKS.items()
        if key not in OPTIONAL or (folder / key).is_dir()
    }
    if drawn := networks["composer"].config.motion:
        _check_motion(networks.get("motion"), drawn, folder / "motion")
    networks["students"].speaker = networks.get("speaker")
    return networks


def _check_motion(motion: MotionStudent | None, drawn: int, folder: Path) -> None:
    """Raise CheckpointError unless ``motion`` tells the ``drawn`` numbers, but for the lids, that nobody hears."""
    if motion is None:
        raise CheckpointError(
            f"{folder} is missing, and the composer draws what it hears; fetch the whole repository."
        )
    if motion.config.motion not in (drawn, drawn - 1):
        raise CheckpointError(
            f"{folder} tells {motion.config.motion} numbers of motion, and the composer draws {drawn}: "
            "they are of different model sets; fetch the whole repository."
        )
