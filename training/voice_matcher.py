"""Train the voice matcher: sex, strangers' faces and emotion, on the training clips and on read speech.

    python -m training.voice_matcher --config training/configs/avatars/voice_matcher.yaml --data data/avatars \\
        --run runs/avatars --set speech=path/to/speech

RUN/export holds the students and the speaker encoder with the training clips' voices (training.speaker);
`speech` is a folder of read speech, see training.data.recordings. Writes RUN/export/voice_matcher, and keeps
what the frozen networks make of every recording in RUN/voice_matcher, from which a second run starts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.models import checkpoint
from s2v_core.networks.speaker_encoder import SpeakerConfig, SpeakerEncoder
from s2v_core.networks.students import Students, StudentsConfig
from s2v_core.networks.voice_matcher import VoiceMatcher, VoiceMatcherConfig
from s2v_core.settings import Settings
from s2v_core.vocabulary import EMOTIONS
from training.data.clips import Clips
from training.data.recordings import SOURCES, of_clips, of_readings
from training.data.voices import UNKNOWN, Voices, embed
from training.engine import config as settings
from training.engine.config import Share
from training.engine.fit import start
from training.objectives.clustering import discriminant_axes, information_loss

# A face that strangers do not get has this logit.
NEVER = -1e4


class StrangersSettings(Settings):
    """How voices never met are spread over the faces of their sex."""

    # Faces of each sex that strangers get, of so many directions in which voices differ.
    cells: PositiveInt = 6
    axes: PositiveInt = 3
    ridge: NonNegativeFloat = 2.0
    # Above 1 equally large cells count more, against stable ones.
    balance: Annotated[float, Field(ge=1)] = 2.0
    steps: PositiveInt = 300
    learning_rate: PositiveFloat = 0.08
    # Tries; the one with the lowest loss is kept.
    tries: PositiveInt = 8
    # Pairs of pieces of each reader in a step.
    pairs: PositiveInt = 4


class EmotionSettings(Settings):
    """How the emotion head learns."""

    steps: PositiveInt = 300
    batch: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.1
    # Share of read speech, which is neutral; the rest is acted.
    read: Share = 0.4


class VoiceMatcherSettings(Settings):
    """What the matcher learns from, and how."""

    # Folder of read speech.
    speech: str = ""
    # Augmented copies of each recording.
    copies: NonNegativeInt = 2
    # Shortest piece of a reading, in seconds, and the most recordings of one speaker.
    seconds: PositiveFloat = 4.0
    most: PositiveInt = 2
    # Weight decay of the logistic regression for the sex.
    sex_decay: NonNegativeFloat = 2e-3
    # Cosine from which a voice counts as a known speaker's.
    known: Share = 0.7
    strangers: StrangersSettings = StrangersSettings()
    emotion: EmotionSettings = EmotionSettings()
    seed: NonNegativeInt = 0


def standardised(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``x (n, D)`` with zero mean and unit deviation, and both (D,); a dead direction stays small."""
    mean, deviation = x.mean(0), x.std(0)
    deviation = deviation.clamp_min(0.2 * deviation.median().item())
    return (x - mean) / deviation, mean, deviation


def set_linear(
    layer: nn.Linear, weight: Tensor, bias: Tensor, mean: Tensor, deviation: Tensor
) -> None:
    """Set ``layer`` so that it does to x what ``weight`` and ``bias`` do to x standardised."""
    with torch.no_grad():
        layer.weight.copy_(weight / deviation)
        layer.bias.copy_(bias - layer.weight @ mean)


def fit_sex(layer: nn.Linear, voices: Voices, decay: float) -> None:
    """Fit the logistic regression of a voice's sex; every source and sex counts alike."""
    known = voices.pick(voices.woman != UNKNOWN)
    x, mean, deviation = standardised(known.speaker)
    target, kind = known.woman.float(), 2 * known.source + known.woman
    share = 1 / kind.bincount()[kind].float()
    weight = torch.zeros(1, x.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        logits = F.linear(x, weight, bias).squeeze(1)
        losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        loss = (share / share.mean() * losses).mean() + decay * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    set_linear(layer, weight.detach(), bias.detach(), mean, deviation)


def fit_cells(x: Tensor, groups: Tensor, config: StrangersSettings, seed: int) -> nn.Linear:
    """Return the layer that puts the readers' voices ``x (n, D)`` of ``groups (n,)`` into cells."""
    groups = groups.unique(return_inverse=True)[1]
    x, mean, deviation = standardised(x)
    axes = discriminant_axes(x, groups, config.axes, config.ridge)
    cells, _ = min(
        (_try_cells(x @ axes, groups, config, seed + n) for n in range(config.tries)),
        key=lambda found: found[1],
    )
    layer = nn.Linear(len(axes), config.cells)
    set_linear(layer, cells.weight.detach() @ axes.T, cells.bias.detach(), mean, deviation)
    return layer


def _try_cells(
    x: Tensor, groups: Tensor, config: StrangersSettings, seed: int
) -> tuple[nn.Linear, float]:
    """Return cells learnt from one random start on ``x (n, axes)``, and their last loss."""
    rng = torch.Generator().manual_seed(seed)
    cells = nn.Linear(x.shape[1], config.cells)
    nn.init.normal_(cells.weight, generator=rng)
    nn.init.zeros_(cells.bias)
    optimiser = torch.optim.Adam(cells.parameters(), config.learning_rate)
    order, counts = groups.argsort(), groups.bincount()
    first, loss = counts.cumsum(0) - counts, torch.zeros(())
    for _ in range(config.steps):
        # Two random pieces of every reader, several times.
        places = torch.rand(2, config.pairs, len(counts), generator=rng) * counts
        a, b = order[(first + places.long()).flatten(1)]
        loss = information_loss(cells(x[a]).softmax(1), cells(x[b]).softmax(1), config.balance)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return cells, loss.item()


def fit_strangers(
    matcher: VoiceMatcher, readers: Voices, stored: Voices, config: StrangersSettings, seed: int
) -> None:
    """Fit the strangers' head: cells of either sex's readers, each the face of the actor who falls into it most."""
    weight, bias = matcher.strangers.weight.data.zero_(), matcher.strangers.bias.data.fill_(NEVER)
    for sex in matcher.women.unique():
        faces = (matcher.women == sex).nonzero().flatten()
        own = config.model_copy(update={"cells": min(config.cells, len(faces))})
        of_sex = readers.pick(readers.woman == int(sex))
        cells = fit_cells(_head_input(of_sex), of_sex.group, own, seed)
        with torch.no_grad():
            fit = cells(_head_input(stored)).log_softmax(1)
        means = torch.stack([fit[matcher.actors == face].mean(0) for face in faces])
        rows, columns = linear_sum_assignment(means.T.numpy(), maximize=True)
        weight[faces[columns]], bias[faces[columns]] = (
            cells.weight[rows].data,
            cells.bias[rows].data,
        )


def _head_input(voices: Voices) -> Tensor:
    return torch.cat([voices.speaker, voices.timbre], dim=1)


def fit_emotion(head: nn.Sequential, voices: Voices, config: EmotionSettings, seed: int) -> None:
    """Train the emotion head: acted clips and neutral reading, every source of reading alike."""
    x, mean, deviation = standardised(torch.cat([voices.omega, voices.speaker], dim=1))
    sources = voices.source.unique()
    share = (
        torch.where(voices.source == 0, 1 - config.read, config.read / max(1, len(sources) - 1))
        / voices.source.bincount()[voices.source]
    )
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    for layer in head:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    optimiser = torch.optim.AdamW(
        head.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    head.train()
    for _ in range(config.steps):
        chosen = torch.multinomial(share, config.batch, replacement=True, generator=rng)
        loss = F.cross_entropy(head(x[chosen]), voices.emotion[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    first = head.eval()[1]
    assert isinstance(first, nn.Linear)
    set_linear(first, first.weight.detach().clone(), first.bias.detach().clone(), mean, deviation)


def temperature(logits: Tensor, target: Tensor) -> float:
    """Return the temperature at which answers by ``logits (n, F)`` are on average as sure as they are right."""
    choices = torch.logspace(-1, 3, 200)
    right = (logits.argmax(1) == target).float().mean()
    sure = torch.stack([(logits / t).softmax(1).amax(1).mean() for t in choices])
    return choices[(sure - right).abs().argmin()].item()


def without_some(readers: Voices, third: int) -> tuple[Voices, Voices]:
    """Return the readers without every third of them, and that third."""
    held_out = readers.group % 3 == third
    return readers.pick(~held_out), readers.pick(held_out)


@torch.no_grad()
def stranger_temperature(matcher: VoiceMatcher, held_out: Voices) -> float:
    """Return the temperature at which a stranger's face is as sure as the same voice gets it again.

    Each piece's logits must give the face of the next piece of the same reader.
    """
    logits = matcher.stranger_logits(held_out.speaker, held_out.timbre)
    order = held_out.group.argsort(stable=True)
    same = held_out.group[order][1:] == held_out.group[order][:-1]
    target = logits.argmax(1)[order[1:][same]]
    return temperature(logits[order[:-1][same]], target)


@torch.no_grad()
def known_temperature(
    matcher: VoiceMatcher, students: Students, val: Voices, actors: Tensor
) -> float:
    """Return the temperature at which a known speaker's face is as sure as it is right on clips ``val``."""
    clip_logits = students.face_logits(val.nu, val.speaker) / students.config.decide
    return temperature(matcher.known_logits(val.speaker, clip_logits), actors)


def new_matcher(students: Students, clips: Clips, config: VoiceMatcherSettings) -> VoiceMatcher:
    """Return an untrained matcher that knows who is seen in the stored ``clips``."""
    assert students.speaker is not None and students.voice is not None
    acted = [list(EMOTIONS).index(row.emotion or "NEU") for row in clips.rows]
    network = VoiceMatcher(
        VoiceMatcherConfig(
            clips=len(clips),
            faces=len(clips.actors),
            embedding=students.speaker.config.embedding,
            timbre=2 * students.speaker.config.mels,
            omega=students.voice.size if len(set(acted)) > 1 else 0,
            known=config.known,
        )
    )
    network.actors = torch.tensor([clips.actors.index(row.actor) for row in clips.rows])
    network.acted = torch.tensor(acted)
    sexes = {row.actor: row.sex for row in clips.rows}
    network.women = torch.tensor([sexes[actor] == "Female" for actor in clips.actors])
    return network


def fit_all(
    matcher: VoiceMatcher,
    students: Students,
    voices: Voices,
    val: tuple[Voices, Tensor],
    config: VoiceMatcherSettings,
) -> VoiceMatcher:
    """Fit every head on ``voices`` and the temperatures on held-out readers and on ``val``.

    That is the voices of clips and their actors' indices (n,).
    """
    fit_sex(matcher.sex, voices, config.sex_decay)
    # People, not a synthesiser's voices, are spread over the faces.
    readers = voices.pick(voices.source == SOURCES.index("libri"))
    stored = voices.pick((voices.source == 0) & (voices.copy == 0))
    learnt, held_out = without_some(readers, 0)
    fit_strangers(matcher, learnt, stored, config.strangers, config.seed)
    warmth = stranger_temperature(matcher, held_out.pick(held_out.copy == 0))
    fit_strangers(matcher, readers, stored, config.strangers, config.seed)
    known = known_temperature(matcher, students, *val)
    if matcher.emotion is not None:
        fit_emotion(matcher.emotion, voices, config.emotion, config.seed)
    matcher.config = matcher.config.model_copy(
        update={"stranger_temperature": warmth, "known_temperature": known}
    )
    return matcher


def read_students(exports: Path) -> Students:
    """Return the students in ``exports`` with the speaker encoder beside them."""
    students = checkpoint.load_network(exports / "students", Students, StudentsConfig)
    students.speaker = checkpoint.load_network(exports / "speaker", SpeakerEncoder, SpeakerConfig)
    return students


def main(args: argparse.Namespace) -> None:
    """Embed every recording, fit the heads and export."""
    config = settings.read(args.config, VoiceMatcherSettings, args.overrides)
    students = read_students(args.run / "export")
    clips, val = Clips.read(args.data, "train"), Clips.read(args.data, "val")
    path = args.run / "voice_matcher" / "voices.safetensors"
    if not path.exists():
        readings = of_readings(Path(config.speech), "train", most=config.most)
        recordings = of_clips(clips) + readings
        embed(students, recordings, config.seconds, config.copies, config.seed).save(path)
    known = embed(students, of_clips(val), config.seconds, 0)
    actors = torch.tensor([clips.actors.index(row.actor) for row in val.rows])
    matcher = new_matcher(students, clips, config)
    fit_all(matcher, students, Voices.load(path), (known, actors), config)
    print("temperatures:", matcher.config.known_temperature, matcher.config.stranger_temperature)
    checkpoint.save_network(args.run / "export" / "voice_matcher", matcher, matcher.config)


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
