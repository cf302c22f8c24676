"""What the study asks: a balanced, random set of questions for each visitor."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from itertools import combinations

from demo.tabs.study_answers import EMOTION, NATURAL
from s2v_core.vocabulary import METHODS

# Questions of each kind in one sitting.
PER_KIND = 6
# In the examples' names.
ACTED = {"calm": "NEU", "happy": "HAP", "sad": "SAD", "angry": "ANG"}


@dataclass(frozen=True)
class Question:
    """One question about an example; ``right`` is empty when one video is enough."""

    kind: str
    clip: str
    left: str
    right: str = ""

    @property
    def acted(self) -> str:
        """The code of the emotion that was acted in the clip."""
        return next(code for word, code in ACTED.items() if word in self.clip.split("_"))


@dataclass(frozen=True)
class Sitting:
    """One visitor's questions, and how many are answered."""

    participant: str
    questions: tuple[Question, ...]
    answered: int = 0

    @property
    def current(self) -> Question | None:
        """The question to be answered; None when all are."""
        return self.questions[self.answered] if self.answered < len(self.questions) else None


def new_sitting(clips: list[str], rng: random.Random) -> Sitting:
    """Return a new visitor's questions, with pairs, sides, clips and order at random."""
    pairs = [(clip, *pair) for clip in clips for pair in combinations(METHODS, 2)]
    questions = [
        Question(NATURAL, clip, *rng.sample(pair, 2))
        for clip, *pair in rng.sample(pairs, min(PER_KIND, len(pairs)))
    ]
    singles = [(clip, method) for clip in clips for method in METHODS]
    questions += [
        Question(EMOTION, clip, method)
        for clip, method in rng.sample(singles, min(PER_KIND, len(singles)))
    ]
    return Sitting(secrets.token_hex(4), tuple(rng.sample(questions, len(questions))))
