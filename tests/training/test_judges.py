"""What there is to classify in a corpus."""

from __future__ import annotations

from dataclasses import replace

from s2v_core.vocabulary import EMOTION_CODES
from training.judges import kinds, labels


def test_a_corpus_of_one_emotion_gets_no_emotion_classifier(clips):
    one = clips.rows[0]
    neutral = replace(clips, rows=tuple(replace(row, emotion="NEU") for row in clips.rows))
    assert kinds(neutral) == {"identity": len(clips.actors)}
    mixed = replace(clips, rows=(replace(one, emotion="SAD"), *neutral.rows[1:]))
    assert kinds(mixed) == {"identity": len(clips.actors), "emotion": len(EMOTION_CODES)}
    assert labels(mixed, "emotion", ())[0] == EMOTION_CODES.index("SAD")
