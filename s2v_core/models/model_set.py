"""A model set: a folder with a subfolder for each network, a portrait and the list of stored clips.

Only this module knows the folder's layout and the names in it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from s2v_core.errors import CheckpointError
from s2v_core.face.landmarks import LandmarkConfig, LandmarkNet
from s2v_core.models import checkpoint
from s2v_core.networks.composer import Composer, ComposerConfig
from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.motion_student import MotionConfig, MotionStudent
from s2v_core.networks.phonetic_encoder import PhoneticConfig, PhoneticEncoder
from s2v_core.networks.sdfa import SDFA, SDFAConfig
from s2v_core.networks.speaker_encoder import SpeakerConfig, SpeakerEncoder
from s2v_core.networks.speech2face import Speech2Face, Speech2FaceConfig
from s2v_core.networks.students import Students, StudentsConfig
from s2v_core.networks.syncnet import SyncNet, SyncNetConfig
from s2v_core.networks.voice_activity import VoiceActivity, VoiceActivityConfig
from s2v_core.networks.voice_matcher import VoiceMatcher, VoiceMatcherConfig
from s2v_core.paths import is_file, is_folder
from s2v_core.settings import Settings
from s2v_core.temporary import whole

N = TypeVar("N", bound=nn.Module)

NETWORKS: dict[str, tuple[type[nn.Module], type[Settings]]] = {
    "voice_activity": (VoiceActivity, VoiceActivityConfig),
    "cpc": (CPC, CPCConfig),
    "students": (Students, StudentsConfig),
    "speaker": (SpeakerEncoder, SpeakerConfig),
    "phonetic": (PhoneticEncoder, PhoneticConfig),
    "voice_matcher": (VoiceMatcher, VoiceMatcherConfig),
    "motion": (MotionStudent, MotionConfig),
    "composer": (Composer, ComposerConfig),
    "sdfa": (SDFA, SDFAConfig),
    "speech2face": (Speech2Face, Speech2FaceConfig),
    "s2f_sdfa": (SDFA, SDFAConfig),
    "landmarks": (LandmarkNet, LandmarkConfig),
}
# Networks that the paper's method does without.
OPTIONAL = ("voice_activity", "speaker", "voice_matcher", "phonetic", "motion")
# Networks that only score generated frames; a set may lack any of them.
JUDGES = ("judge_identity", "judge_emotion", "judge_lips", "syncnet")

# The default set in a checkout, and its copy inside an installed package.
CHECKOUT = Path(__file__).parents[2] / "checkpoints" / "avatars"
PACKED = Path(__file__).parent / "avatars"

# In the students' folder: a row for each stored clip, in the order of the students' tensors.
STORED_CLIPS = "remembered.csv"


@dataclass(frozen=True)
class StoredClip:
    """Who is seen in a stored clip, and which emotion (a key of EMOTIONS) is acted."""

    actor: str
    sex: str
    emotion: str


@dataclass(frozen=True)
class ModelSet:
    """The model set in ``folder``."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def portrait(self) -> Path:
        """The picture of a face that SDFA animates when no other is given."""
        return self.folder / "portrait.png"

    def read_networks(self) -> dict[str, Any]:
        """Return all of NETWORKS, in eval mode; those of OPTIONAL only if the set has them.

        Raises CheckpointError when the folder or a network is missing, damaged or of another set.
        """
        self._check_folder()
        networks: dict[str, Any] = {
            name: checkpoint.load_network(self.folder / name, *types)
            for name, types in NETWORKS.items()
            if name not in OPTIONAL or self.has(name)
        }
        self._check_motion(networks)
        networks["students"].speaker = networks.get("speaker")
        networks["students"].matcher = networks.get("voice_matcher")
        return networks

    def has(self, name: str) -> bool:
        """Whether the set has a network of this name."""
        return (self.folder / name).is_dir()

    def network(self, name: str, network: type[N], config: type[Settings]) -> N | None:
        """Return the network called ``name``, None where the set has none."""
        if not self.has(name):
            return None
        return checkpoint.load_network(self.folder / name, network, config)

    def syncnet(self) -> SyncNet | None:
        """Return the set's SyncNet, None where it has none."""
        return self.network("syncnet", SyncNet, SyncNetConfig)

    def stored_clips(self) -> list[StoredClip] | None:
        """Return whose clips the students store, in their order; None where the set does not say."""
        path = self.folder / "students" / STORED_CLIPS
        if not is_file(path):
            return None
        with path.open(encoding="utf-8", newline="") as file:
            return [StoredClip(**row) for row in csv.DictReader(file)]

    def _check_folder(self) -> None:
        if not is_folder(self.folder):
            raise CheckpointError(
                f"{self.folder}: no such model set; give the path of its folder, or USER/NAME@REVISION "
                f"on the Hugging Face Hub; the default is {default_model()}."
            )

    def _check_motion(self, networks: dict[str, Any]) -> None:
        """Raise CheckpointError unless S_mot predicts the numbers that the composer renders, or all but the lids."""
        folder, rendered = self.folder / "motion", networks["composer"].config.motion
        if not rendered:
            return
        if "motion" not in networks:
            raise CheckpointError(
                f"{folder} is missing, and the composer renders what it predicts; fetch the whole "
                "repository."
            )
        encoder = networks["motion"].config.encoder
        if encoder not in networks:
            raise CheckpointError(
                f"{self.folder / encoder} is missing, and {folder} reads its features; fetch the whole "
                "repository."
            )
        predicted = networks["motion"].config.motion
        if predicted not in (rendered, rendered - 1):
            raise CheckpointError(
                f"{folder} predicts {predicted} numbers of motion, and the composer renders {rendered}: "
                "they are of different model sets; fetch the whole repository."
            )


def default_model() -> Path:
    """Return the folder of the default model set: the checkout's, else the installed package's."""
    return PACKED if PACKED.is_dir() and not CHECKOUT.is_dir() else CHECKOUT


def shipped_models() -> list[Path]:
    """Return the folders of the default model set and of those beside it; the default alone if there are none."""
    beside = sorted(network.parent for network in default_model().parent.glob("*/composer"))
    return beside or [default_model()]


def write_stored_clips(students: Path, clips: Iterable[StoredClip]) -> None:
    """Write what ``ModelSet.stored_clips`` reads into the ``students`` folder, in the order given."""
    path = students / STORED_CLIPS
    with whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(field.name for field in fields(StoredClip))
        rows.writerows(astuple(clip) for clip in clips)
