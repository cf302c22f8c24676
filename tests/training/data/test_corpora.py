from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from s2v_core.errors import UserError
from s2v_core.vocabulary import EMOTION_CODES
from training.data.corpora import CORPORA, GRID_NAME, UNOBSERVED_CREMA_D, Clip, read

SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")


def by_name(corpus: str, root: Path, **options) -> dict[str, Clip]:
    return {clip.name: clip for clip in read(corpus, root, **options)}


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def stems() -> list[str]:
    """CREMA-D's own stems: three levels for IEO, no level for the rest, none for neutral."""
    return [
        f"{actor}_{sentence}_{emotion}_{level}"
        for actor in range(1001, 1092)
        for sentence in SENTENCES
        for emotion in EMOTION_CODES
        for level in (("LO", "MD", "HI") if sentence == "IEO" and emotion != "NEU" else ("XX",))
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """All of CREMA-D's names."""
    root = tmp_path_factory.mktemp("crema_d")
    touch(root, *(f"VideoFlash/{stem}.flv" for stem in stems()))
    (root / "VideoDemographics.csv").write_text("ActorID,Sex\n1001,Male\n")
    return root


def test_crema_d_has_both_protocols(whole):
    clips = by_name("crema_d", whole)
    assert clips.keys() == set(stems())
    for clip in clips.values():
        assert (clip.split == "unobserved") == (clip.actor in UNOBSERVED_CREMA_D)
    count = Counter(clip.split for clip in clips.values())
    assert count["unobserved"] == 820  # the published list's count
    sides = {(clip.actor, clip.sentence): set() for clip in clips.values()}
    for clip in clips.values():
        sides[clip.actor, clip.sentence].add(clip.split)
    assert all(len(split) == 1 for split in sides.values())
    actors = Counter(split for _, split in {(clip.actor, clip.split) for clip in clips.values()})
    assert actors == {"train": 81, "val": 81, "test": 81, "unobserved": 10}


def test_levels_are_read(whole):
    levels = Counter(clip.level for clip in read("crema_d", whole))
    assert levels == {"LO": 455, "MD": 455, "HI": 455, "XX": 91 * (82 - 15)}


def test_other_actors_can_be_held_out(whole):
    clips = read("crema_d", whole, unobserved=("1001", "1002"))
    assert {clip.actor for clip in clips if clip.split == "unobserved"} == {"1001", "1002"}


def test_an_actors_splits_do_not_depend_on_who_else_is_there(whole, tmp_path):
    touch(tmp_path, *(f"VideoFlash/{stem}.flv" for stem in stems() if stem[:4] == "1044"))
    (tmp_path / "VideoDemographics.csv").write_text("ActorID,Sex\n")
    alone = {name: clip.split for name, clip in by_name("crema_d", tmp_path).items()}
    among = by_name("crema_d", whole)
    assert alone == {name: among[name].split for name in alone}


@pytest.fixture
def tiny(tmp_path) -> Path:
    """CREMA-D's layout with four clips, no landmarks and no table of splits."""
    names = ("1001_IEO_ANG_HI", "1001_TIE_NEU_XX", "1015_IEO_SAD_LO", "1002_MTI_FEA_XX")
    touch(tmp_path, *(f"VideoFlash/{stem}.flv" for stem in names))
    table = '"ActorID","Age","Sex"\n1001,51,"Male"\n1002,21,"Female"\n1015,22,"Male"\n'
    (tmp_path / "VideoDemographics.csv").write_text(table)
    return tmp_path


def test_crema_ds_layout_is_read(tiny):
    clips = by_name("crema_d", tiny)
    assert len(clips) == 4
    clip = clips["1001_IEO_ANG_HI"]
    assert (clip.actor, clip.sex, clip.sentence) == ("1001", "Male", "IEO")
    assert (clip.emotion, clip.level) == ("ANG", "HI")
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
    clips = by_name("crema_d", tiny)
    assert {clip.split for clip in clips.values()} == {"val"}
    assert clips["1002_MTI_FEA_XX"].landmarks == exact
    assert clips["1001_IEO_ANG_HI"].landmarks is None


def test_a_clip_that_the_table_of_splits_lacks_is_an_error(tiny):
    (tiny / "splits.csv").write_text("Filename,Split\n1001_IEO_ANG_HI,val\n")
    with pytest.raises(UserError, match=r"splits\.csv.*1001_TIE"):
        list(read("crema_d", tiny))


def test_a_clip_that_is_only_in_the_list_is_not_lost(tiny):
    (tiny / "SentenceFilenames.csv").write_text(
        '"Stimulus_Number","Filename"\n1,"1001_IEO_ANG_HI"\n2,"1003_IOM_HAP_XX"\n'
    )
    clips = by_name("crema_d", tiny)
    assert len(clips) == 5
    assert not clips["1003_IOM_HAP_XX"].video.exists()


def test_a_file_with_another_name_does_no_harm(tiny):
    touch(tiny, "VideoFlash/1001_IEO_ANG_HI_copy.flv", "VideoFlash/notes.flv")
    assert len(by_name("crema_d", tiny)) == 4


def test_a_folder_that_is_no_corpus_is_an_error(tiny):
    (tiny / "VideoDemographics.csv").unlink()
    with pytest.raises(UserError, match="VideoDemographics"):
        list(read("crema_d", tiny))


@pytest.mark.parametrize(
    ("corpus", "sign"), [("crema_d", "VideoFlash"), ("grid", "s1"), ("voxceleb2", "dev/mp4")]
)
def test_an_empty_folder_is_an_error(corpus, sign, tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=sign):
            list(read(corpus, root))


@pytest.fixture
def vox(tmp_path) -> Path:
    """VoxCeleb2's layout: two dev people, one with recordings enough for a split, and one of test."""
    for video in range(5):
        touch(tmp_path, *(f"dev/mp4/id00012/video_{video}-X/{n:05d}.mp4" for n in (1, 4, 9)))
    touch(tmp_path, "dev/mp4/id00015/21Uxsk56VDQ/00001.mp4")
    touch(tmp_path, "test/mp4/id00017/5MkXgwdrmJw/00002.mp4")
    meta = "\ufeffVoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set\nid00012 ,n000001 ,m ,dev \n"
    meta += "id00017 ,n000140 ,f ,test \n"
    (tmp_path / "vox2_meta.csv").write_text(meta, encoding="utf-8")
    return tmp_path


def test_voxceleb2s_layout_is_read(vox):
    clips = by_name("voxceleb2", vox)
    assert len(clips) == 17
    clip = clips["id00017_5MkXgwdrmJw_00002"]
    assert clip.video == vox / "test" / "mp4" / "id00017" / "5MkXgwdrmJw" / "00002.mp4"
    assert (clip.actor, clip.sentence, clip.emotion) == ("id00017", "5MkXgwdrmJw", "")
    assert clip.landmarks is None
    sexes = {clip.actor: clip.sex for clip in clips.values()}
    assert sexes == {"id00012": "Male", "id00015": "", "id00017": "Female"}


def test_voxceleb2s_own_test_people_alone_are_unobserved(vox):
    splits: dict[str, list[str]] = {}
    for clip in read("voxceleb2", vox):
        splits.setdefault(clip.actor, []).append(clip.split)
    assert splits["id00017"] == ["unobserved"]
    assert splits["id00015"] == ["train"]
    assert Counter(splits["id00012"]) == {"train": 9, "val": 3, "test": 3}


def test_a_recording_of_voxceleb2_is_on_one_side(vox):
    sides: dict[str, set[str]] = {}
    for clip in read("voxceleb2", vox):
        sides.setdefault(clip.sentence, set()).add(clip.split)
    assert all(len(split) == 1 for split in sides.values())


@pytest.mark.parametrize(
    "sound", ["dev/mp4/id00015/21Uxsk56VDQ/00001.m4a", "dev/aac/id00015/21Uxsk56VDQ/00001.m4a"]
)
def test_voxceleb2s_sound_is_beside_or_in_the_aac_tree_or_in_the_video(vox, sound):
    name = "id00015_21Uxsk56VDQ_00001"
    clip = by_name("voxceleb2", vox)[name]
    assert clip.audio == clip.video
    touch(vox, sound)
    assert by_name("voxceleb2", vox)[name].audio == vox / sound


def test_voxceleb2_without_its_table_is_read(vox):
    (vox / "vox2_meta.csv").unlink()
    assert {clip.sex for clip in read("voxceleb2", vox)} == {""}


def test_grids_layouts_are_read(tmp_path):
    """As the archives unpack (s1/video/mpg_6000), and as many keep it (s4)."""
    touch(
        tmp_path, "s1/video/mpg_6000/bbaf2n.mpg", "s4/lwbsza.mpg", "s4/pwij3p.mp4", "u1/sgac2a.mp4"
    )
    touch(tmp_path, "s1/align/bbaf2n.align", "s4/notes.mpg", "README/lwbsza.txt")
    clips = by_name("grid", tmp_path)
    assert set(clips) == {"s1_bbaf2n", "s4_lwbsza", "s4_pwij3p", "u1_sgac2a"}
    clip = clips["s1_bbaf2n"]
    assert clip.video == clip.audio == tmp_path / "s1" / "video" / "mpg_6000" / "bbaf2n.mpg"
    assert (clip.actor, clip.sex, clip.sentence, clip.emotion) == ("s1", "Male", "bbaf2n", "NEU")
    assert (clips["s4_lwbsza"].sex, clips["u1_sgac2a"].sex) == ("Female", "")


def test_of_two_sizes_of_a_grid_sentence_the_larger_is_taken(tmp_path):
    touch(tmp_path, "s1/video/mpg_6000/bbaf2n.mpg", "s1/video/mpg_vcd/bbaf2n.mpg")
    (tmp_path / "s1/video/mpg_6000/bbaf2n.mpg").write_bytes(b"large")
    assert [clip.video.parent.name for clip in read("grid", tmp_path)] == ["mpg_6000"]


def test_grids_whole_grammar_is_known_and_split_by_clip(tmp_path):
    """34 talkers but s21 said 1,000 of 64,000 sentences each; LipNet's four are unobserved."""
    letters = [c for c in "abcdefghijklmnopqrstuvxyz"]
    names = [f"{a}{b}{c}{d}{e}{f}" for a in "blps" for b in "bgrw" for c in "abiw"
             for d in letters for e in "z123456789" for f in "anps"]  # fmt: skip
    assert len(names) == 64_000
    assert all(GRID_NAME.fullmatch(name) for name in names)
    for speaker in ("s1", "s3"):
        touch(tmp_path, *(f"{speaker}/{name}.mpg" for name in names[::160]))
    count = Counter((clip.actor, clip.split) for clip in read("grid", tmp_path))
    assert count == {
        ("s1", "unobserved"): 400,
        ("s3", "train"): 280,
        ("s3", "val"): 60,
        ("s3", "test"): 60,
    }


@pytest.mark.parametrize("corpus", CORPORA)
def test_an_actors_clips_come_together(corpus, whole, vox):
    if corpus == "grid":
        touch(vox, "s1/bbaf2n.mpg", "s10/bbaf2n.mpg", "s2/bbaf2n.mpg", "s2/lwbsza.mpg")
    actors = [clip.actor for clip in read(corpus, whole if corpus == "crema_d" else vox)]
    changes = sum(a != b for a, b in pairwise(actors))
    assert changes == len(set(actors)) - 1 > 0


@pytest.mark.corpus
def test_the_avatars_corpus_as_its_readme_counts_it(corpus):
    clips = list(read("crema_d", corpus))
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


@pytest.mark.corpus
def test_the_grid_clips_as_their_readme_counts_them(corpus):
    clips = list(read("grid", corpus.parent / "grid", unobserved=("s2",)))
    count = Counter(clip.actor for clip in clips)
    few = {"s2": 2} | dict.fromkeys(("s30", "s33", "s34", "u1", "u2", "u4", "u5", "u7", "u8"), 1)
    assert count == {"s1": 300, "s4": 41} | few
    observed = Counter((clip.actor, clip.split) for clip in clips if clip.split != "unobserved")
    assert observed == {
        ("s1", "train"): 210, ("s1", "val"): 45, ("s1", "test"): 45,
        ("s4", "train"): 29, ("s4", "val"): 6, ("s4", "test"): 6,
    }  # fmt: skip
