from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from s2v_core.errors import UserError
from training.corpora import CORPORA, EMOTIONS, UNOBSERVED_CREMA_D, crema_d, make_splits

SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")


def stems() -> list[str]:
    """CREMA-D's own stems: three levels for IEO, no level for the rest, none for neutral."""
    return [
        f"{actor}_{sentence}_{emotion}_{level}"
        for actor in range(1001, 1092)
        for sentence in SENTENCES
        for emotion in EMOTIONS
        for level in (("LO", "MD", "HI") if sentence == "IEO" and emotion != "NEU" else ("XX",))
    ]


@pytest.fixture(scope="module")
def splits() -> dict[str, str]:
    return make_splits(stems())


def test_every_clip_has_a_split(splits):
    assert len(stems()) == 91 * 82
    assert splits.keys() == set(stems())
    assert set(splits.values()) == {"train", "val", "test", "unobserved"}


def test_unobserved_actors_are_nowhere_else(splits):
    for stem, split in splits.items():
        assert (split == "unobserved") == (stem[:4] in UNOBSERVED_CREMA_D)
    assert Counter(splits.values())["unobserved"] == 820  # the published list's count


def test_an_actors_sentence_is_on_one_side(splits):
    sides: dict[str, set[str]] = {}
    for stem, split in splits.items():
        sides.setdefault(stem[:8], set()).add(split)
    assert all(len(split) == 1 for split in sides.values())


def test_every_observed_actor_is_in_every_split(splits):
    actors = {(stem[:4], split) for stem, split in splits.items()}
    count = Counter(split for _, split in actors)
    assert count == {"train": 81, "val": 81, "test": 81, "unobserved": 10}


def test_the_proportions_are_about_70_15_15(splits):
    count = Counter(splits.values())
    observed = len(splits) - count["unobserved"]
    assert count["train"] / observed == pytest.approx(0.70, abs=0.05)
    assert count["val"] / observed == pytest.approx(0.15, abs=0.03)
    assert count["test"] / observed == pytest.approx(0.15, abs=0.03)


def test_sentences_differ_between_actors(splits):
    held_out: dict[str, set[str]] = {}
    for stem, split in splits.items():
        if split == "test":
            held_out.setdefault(stem[:4], set()).add(stem[5:8])
    assert len({frozenset(sentences) for sentences in held_out.values()}) > 20


def test_the_order_of_the_names_does_not_matter_and_the_seed_does(splits):
    assert make_splits(stems()[::-1]) == splits
    assert make_splits(stems(), seed=1) != splits


@pytest.fixture
def tiny(tmp_path) -> Path:
    """CREMA-D's layout with four clips, no landmarks and no table of splits."""
    for folder in ("VideoFlash", "AudioWAV"):
        (tmp_path / folder).mkdir()
    for stem in ("1001_IEO_ANG_HI", "1001_TIE_NEU_XX", "1015_IEO_SAD_LO", "1002_MTI_FEA_XX"):
        (tmp_path / "VideoFlash" / f"{stem}.flv").touch()
    table = '"ActorID","Age","Sex"\n1001,51,"Male"\n1002,21,"Female"\n1015,22,"Male"\n'
    (tmp_path / "VideoDemographics.csv").write_text(table)
    return tmp_path


def test_crema_ds_layout_is_read(tiny):
    clips = {clip.name: clip for clip in crema_d(tiny)}
    assert len(clips) == 4
    clip = clips["1001_IEO_ANG_HI"]
    assert (clip.actor, clip.sex, clip.sentence, clip.emotion) == ("1001", "Male", "IEO", "ANG")
    assert clip.video == tiny / "VideoFlash" / "1001_IEO_ANG_HI.flv"
    assert clip.audio == tiny / "AudioWAV" / "1001_IEO_ANG_HI.wav"
    assert clip.landmarks is None
    assert clips["1015_IEO_SAD_LO"].split == "unobserved"


def test_a_table_of_splits_and_landmarks_are_taken(tiny):
    rows = [f"{p.stem},val" for p in (tiny / "VideoFlash").iterdir()]
    (tiny / "splits.csv").write_text("Filename,Split\n" + "\n".join(rows))
    (tiny / "landmarks").mkdir()
    exact = tiny / "landmarks" / "1002_MTI_FEA_XX.npz"
    exact.touch()
    clips = {clip.name: clip for clip in crema_d(tiny)}
    assert {clip.split for clip in clips.values()} == {"val"}
    assert clips["1002_MTI_FEA_XX"].landmarks == exact
    assert clips["1001_IEO_ANG_HI"].landmarks is None


def test_a_clip_that_the_table_of_splits_lacks_is_told(tiny):
    (tiny / "splits.csv").write_text("Filename,Split\n1001_IEO_ANG_HI,val\n")
    with pytest.raises(UserError, match=r"splits\.csv"):
        list(crema_d(tiny))


def test_a_file_with_another_name_does_no_harm(tiny):
    (tiny / "VideoFlash" / "1001_IEO_ANG_HI_copy.flv").touch()
    assert "1001_IEO_ANG_HI" in {clip.name for clip in crema_d(tiny)}


def test_a_folder_that_is_no_corpus_is_told(tiny, tmp_path):
    (tiny / "VideoDemographics.csv").unlink()
    with pytest.raises(UserError, match="VideoDemographics"):
        list(crema_d(tiny))
    (tmp_path / "VideoDemographics.csv").write_text("ActorID,Sex\n")
    for video in (tmp_path / "VideoFlash").iterdir():
        video.unlink()
    with pytest.raises(UserError, match="VideoFlash"):
        list(crema_d(tmp_path))


@pytest.mark.corpus
def test_the_avatars_corpus_as_its_readme_counts_it(corpus):
    clips = list(CORPORA["crema_d"](corpus))
    splits = Counter(clip.split for clip in clips)
    assert splits == {"train": 565, "val": 67, "test": 147, "unobserved": 223}
    emotions = Counter(clip.emotion for clip in clips)
    assert emotions == {"NEU": 442, "ANG": 177, "HAP": 109, "FEA": 106, "SAD": 101, "DIS": 67}
    assert len({clip.actor for clip in clips}) == 27
    unobserved = {clip.actor for clip in clips if clip.split == "unobserved"}
    assert unobserved == {"2011", "2014", "2111", "2114", "2313", "2316"}
    assert not unobserved & {clip.actor for clip in clips if clip.split != "unobserved"}
    assert all(clip.landmarks and clip.sex for clip in clips)
    assert all(clip.audio.is_file() and clip.video.is_file() for clip in clips)
