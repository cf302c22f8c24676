"""The network that says whether somebody speaks, against the published file in Silero's own package."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import pytest
import torch

from s2v_core.media import audio
from s2v_core.models import checkpoint
from s2v_core.networks.voice_activity import BEFORE, CHUNK, VoiceActivity, VoiceActivityConfig

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "demo" / "examples").glob("*.wav"))


@pytest.fixture(scope="module")
def published():
    """The package itself is not imported: that would leave torch one thread."""
    file = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
    return torch.jit.load(str(file))


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["avatars", "grid"])
@torch.inference_mode()
def test_the_shipped_network_is_the_published_one(published, kind) -> None:
    network = checkpoint.load_network(
        ROOT / "checkpoints" / kind / "voice_activity", VoiceActivity, VoiceActivityConfig
    )
    for path in EXAMPLES[:2]:
        speech = audio.load(path)
        speech = speech[: len(speech) // CHUNK * CHUNK]
        padded = torch.nn.functional.pad(speech, (BEFORE, 0))
        ours, _ = network(padded.unfold(0, BEFORE + CHUNK, CHUNK))
        theirs = published.audio_forward(speech, 16_000)[0]
        # Half precision on disk.
        torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)


def test_the_state_is_all_that_it_remembers() -> None:
    torch.manual_seed(0)
    network = VoiceActivity(VoiceActivityConfig(narrow=4, wide=6)).eval()
    chunks = torch.randn(7, BEFORE + CHUNK)
    whole, _ = network(chunks)
    first, state = network(chunks[:3])
    rest, _ = network(chunks[3:], state)
    torch.testing.assert_close(torch.cat([first, rest]), whole)
    assert not torch.allclose(network(chunks[3:])[0], rest)
