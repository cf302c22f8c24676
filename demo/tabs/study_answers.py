"""The study's answers: one line of JSON each, only ever added to, and what they say so far."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from scipy.stats import binomtest

NATURAL, EMOTION = "natural", "emotion"


@dataclass(frozen=True)
class Answer:
    """One answer; the participant is a random word, and no voice is kept."""

    participant: str
    # NATURAL or EMOTION.
    question: str
    clip: str
    # A method; the only one when the question is EMOTION.
    left: str
    right: str
    # A method, or an emotion's code.
    choice: str
    # The emotion that was acted.
    acted: str = ""


class Share(NamedTuple):
    """How often something happened, with the 95 % interval (Wilson) of its probability."""

    name: str
    n: int
    share: float
    low: float
    high: float


class Answers:
    """A file of answers that many visitors, also in several processes, add to at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, answer: Answer) -> None:
        """Append an answer with its time, in a single write, so that lines never run into each other."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **asdict(answer)}
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, (json.dumps(line) + "\n").encode())
        finally:
            os.close(file)

    def read(self) -> list[Answer]:
        """Return all answers so far, in order."""
        if not self.path.is_file():
            return []
        lines = map(json.loads, self.path.read_text(encoding="utf-8").splitlines())
        return [Answer(**{k: v for k, v in line.items() if k != "time"}) for line in lines]


def preferred(answers: Iterable[Answer]) -> list[Share]:
    """Return for each method how often it was chosen as the more natural one when it was shown."""
    asked = [answer for answer in answers if answer.question == NATURAL]
    return _shares(
        (method, answer.choice == method)
        for answer in asked
        for method in (answer.left, answer.right)
    )


def recognised(answers: Iterable[Answer]) -> list[Share]:
    """Return for each method how often the emotion that was acted was seen in its silent video."""
    asked = (answer for answer in answers if answer.question == EMOTION)
    return _shares((answer.left, answer.choice == answer.acted) for answer in asked)


def _shares(events: Iterable[tuple[str, bool]]) -> list[Share]:
    happened: dict[str, list[bool]] = defaultdict(list)
    for name, yes in events:
        happened[name].append(yes)
    shares = []
    for name, seen in sorted(happened.items()):
        result = binomtest(sum(seen), len(seen))
        interval = result.proportion_ci(0.95, "wilson")
        shares.append(Share(name, len(seen), result.statistic, interval.low, interval.high))
    return shares
