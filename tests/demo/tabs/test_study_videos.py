"""The study's videos: blind ones."""

from __future__ import annotations

from demo.tabs.study_videos import Videos, clips
from s2v_core.media import video
from s2v_core.vocabulary import METHODS


def test_videos_do_not_give_the_method_away_and_the_emotions_have_no_sound(fake_model, ffmpeg):
    videos, clip = Videos(fake_model), clips()[0]
    videos.make(clip)
    videos.make(clip)
    assert len(fake_model.asked) == 1  # the second time they are there
    for method in METHODS:
        for silent in (True, False):
            path = videos.path(clip, method, silent)
            assert video.probe(path).n_frames == 4
            report = ffmpeg("-i", path, "-af", "volumedetect", "-f", "null", "-").stderr.decode()
            assert not any(word in path.name + report.replace(str(path), "") for word in METHODS)
            assert ("max_volume: -91.0 dB" in report) == silent
