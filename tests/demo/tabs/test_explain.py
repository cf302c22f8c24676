"""What the tab What it heard shows of a voice."""

from __future__ import annotations

import re

import torch

from demo.tabs.explain import NEAREST, Explainer
from demo.widgets import EXAMPLES
from s2v_core.analysis.speakers import Speakers
from s2v_core.media import audio
from s2v_core.networks.syncnet import SyncNet, SyncNetConfig
from s2v_core.rates import frame_count

SAD = EXAMPLES / "sad_woman_german.wav"


def test_a_known_voice_is_named_with_its_portrait(model, tmp_path):
    """An EmoDB test clip of speaker 2016: the voice is known, the recording is not."""
    portraits, figure, words = Explainer(model, Speakers.of(model), None).explain(
        tmp_path, str(SAD)
    )
    sure = r"\((\d+)% sure\)"
    said = re.fullmatch(rf"Face: Woman 2016 {sure}. Emotion: sad {sure}.", words)
    assert said and all(50 < int(share) <= 100 for share in said.groups())
    assert len(portraits) == NEAREST and portraits[0][1].startswith("2016 · ")
    assert [axes.get_title(loc="left") for axes in figure.axes][:2] == [
        "Waveform",
        "Mel spectrogram",
    ]


def test_syncnets_curve_follows_the_video_where_there_is_a_syncnet(model, tmp_path):
    torch.manual_seed(0)
    small = SyncNetConfig(size=112, lips=(4,) * 6, voice=(4,) * 6, feature=8)
    explainer = Explainer(model, Speakers.of(model), SyncNet(small).eval())
    curve = explainer.explain(tmp_path, str(SAD))[1].axes[3].lines[0]
    assert len(curve.get_xdata()) == frame_count(len(audio.load(SAD)), 25) - 5
