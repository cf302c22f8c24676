"""The heads that choose a stored face and an emotion for a voice."""

from __future__ import annotations

import pytest
import torch

from s2v_core.models import checkpoint
from s2v_core.networks.students import Students, StudentsConfig, Voice, unit
from s2v_core.networks.voice_matcher import VoiceMatcher, VoiceMatcherConfig, grouped_logsumexp

CONFIG = VoiceMatcherConfig(
    clips=7, faces=4, embedding=5, timbre=3, omega=6, hidden=8, emotions=3, known=0.9, certain=0.99
)
ACTORS = torch.tensor([0, 0, 1, 2, 2, 3, 3])
ACTED = torch.tensor([0, 1, 0, 0, 1, 0, 0])
WOMEN = torch.tensor([False, False, True, True])


@pytest.fixture
def matcher() -> VoiceMatcher:
    torch.manual_seed(0)
    matcher = VoiceMatcher(CONFIG).eval()
    matcher.actors, matcher.acted, matcher.women = ACTORS, ACTED, WOMEN
    return matcher.requires_grad_(False)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def both(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return logits, logits


def test_a_voice_is_known_only_if_nu_shows_the_same_actor(matcher) -> None:
    similarity, by_nu = 0.95 * torch.eye(7), torch.eye(7)
    assert matcher.is_known(similarity, by_nu).all()
    # Clips 0 and 1, 3 and 4, 5 and 6 show one actor each.
    assert matcher.is_known(similarity, by_nu[[1, 0, 2, 4, 3, 6, 5]]).all()
    assert not matcher.is_known(similarity, by_nu[[2, 3, 4, 5, 6, 0, 1]]).any()
    assert not matcher.is_known(0.85 * torch.eye(7), by_nu).any()
    assert matcher.is_known(torch.eye(7), by_nu[[2, 3, 4, 5, 6, 0, 1]]).all()


def test_a_groups_logsumexp_is_that_of_its_members() -> None:
    logits = drawn(3, 7)
    slow = [logits[:, k == ACTORS].exp().sum(1).log() for k in range(4)]
    torch.testing.assert_close(grouped_logsumexp(logits, ACTORS, 4), torch.stack(slow, dim=1))


def test_probabilities_add_up_to_one(matcher) -> None:
    faces = matcher.face_log_probabilities(drawn(9, 5), drawn(9, 3), drawn(9, 7), both(drawn(9, 7)))
    torch.testing.assert_close(faces.exp().sum(1), torch.ones(9))
    emotions = matcher.emotion_log_probabilities(drawn(9, 6), drawn(9, 5))
    torch.testing.assert_close(emotions.exp().sum(1), torch.ones(9))


@pytest.mark.parametrize("woman", [True, False])
def test_a_stranger_gets_a_face_of_the_voices_sex(matcher, woman) -> None:
    matcher.sex.weight.zero_()
    matcher.sex.bias.fill_(6.0 if woman else -6.0)
    matcher.strangers.weight.mul_(30)
    strangers = torch.zeros(50, 7)
    faces = matcher.face_log_probabilities(
        drawn(50, 5), drawn(50, 3), strangers, both(drawn(50, 7))
    )
    chosen = faces.argmax(1)
    assert (WOMEN[chosen] == woman).all()
    assert len(chosen.unique()) == 2


def test_a_known_voice_gets_its_own_face_whatever_the_strangers_head_says(matcher) -> None:
    matcher.strangers.bias.copy_(torch.tensor([50.0, 0, 0, 0]))
    matcher.sex.weight.zero_()
    matcher.sex.bias.zero_()
    logits = 20 * torch.eye(7)
    known, unknown = torch.eye(7), 0.8 * torch.eye(7)
    faces = matcher.face_log_probabilities(drawn(7, 5), drawn(7, 3), known, both(logits))
    assert faces.argmax(1).tolist() == ACTORS.tolist()
    faces = matcher.face_log_probabilities(drawn(7, 5), drawn(7, 3), unknown, both(logits))
    assert (faces.argmax(1) != ACTORS).any()


def test_clips_share_their_emotions_probability_by_their_logits(matcher) -> None:
    """Probabilities of the emotions that are stored add up over the clips; shares are a softmax."""
    logits, probabilities = drawn(2, 7), torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.9, 0.0]])
    weights = matcher.clip_weights((probabilities + 1e-12).log(), logits)
    for emotion in (0, 1):
        of_emotion = emotion == ACTED
        expected = probabilities[:, emotion, None] * logits[:, of_emotion].softmax(1)
        torch.testing.assert_close(weights[:, of_emotion], expected)


def test_a_higher_temperature_is_less_sure(matcher) -> None:
    inputs = drawn(9, 5), drawn(9, 3), torch.zeros(9, 7), both(drawn(9, 7))
    sure = matcher.face_log_probabilities(*inputs)
    matcher.config = CONFIG.model_copy(update={"stranger_temperature": 3.0})
    doubtful = matcher.face_log_probabilities(*inputs)
    assert (doubtful.amax(1) <= sure.amax(1) + 1e-6).all()
    assert torch.equal(doubtful.argmax(1), sure.argmax(1))


def test_what_it_knows_travels_with_the_weights(matcher, tmp_path) -> None:
    checkpoint.save_network(tmp_path, matcher, CONFIG)
    loaded = checkpoint.load_network(tmp_path, VoiceMatcher, VoiceMatcherConfig)
    for name in ("actors", "acted", "women"):
        assert torch.equal(getattr(loaded, name), getattr(matcher, name))


def test_the_face_that_is_retrieved_is_one_actors_mean(matcher) -> None:
    students = Students(StudentsConfig(omega=4, hidden=8, mu=5, nu=9))
    students.store(drawn(7, 5), drawn(7, 9), torch.zeros(7, 2))
    students.matcher = matcher
    for actor in range(4):
        faces = torch.full((1, 4), -5.0).index_fill(1, torch.tensor([actor]), -0.1)
        voice = Voice(drawn(1, 5), drawn(1, 9), None, faces)
        mean = unit(students.faces[actor == ACTORS].mean(0, keepdim=True))
        torch.testing.assert_close(students.retrieve(voice)[1], mean)


def test_without_acted_clips_there_is_no_emotion_head() -> None:
    matcher = VoiceMatcher(CONFIG.model_copy(update={"omega": 0}))
    assert matcher.emotion_log_probabilities(drawn(1, 6), drawn(1, 5)) is None
