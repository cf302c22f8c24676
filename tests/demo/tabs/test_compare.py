"""The Compare tab's checks, and the endpoint that its button and programs call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import gradio as gr
import pytest
from PIL import Image

from demo import page
from demo.tabs.compare import check


def verdicts(*given) -> list[bool]:
    return [verdict["is_valid"] for verdict in check(*given)]


def test_good_speech_passes_the_check(sound):
    assert all(verdicts(sound(60)))


@pytest.mark.parametrize(
    ("seconds", "level", "words"), [(61, 0.3, "61 seconds long"), (2, 0, "silent")]
)
def test_unusable_speech_is_refused_in_words(sound, seconds, level, words):
    speech, reference, film, _ = check(sound(seconds, level))
    assert not speech["is_valid"]
    assert words in speech["message"]
    assert reference["is_valid"] and film["is_valid"]


def test_a_film_is_used_instead_of_speech_and_has_its_own_limit(sound):
    film = sound(31, name="film")
    assert verdicts(None, None, film) == [True, True, False, True]
    assert "at most 30" in check(None, None, film)[2]["message"]
    assert all(verdicts(None, None, sound(29)))


def test_a_picture_of_too_many_pixels_is_refused_unopened(sound, tmp_path):
    """A bomb: a few kilobytes that would take gigabytes to decode."""
    for side, good in ((9_000, False), (100, True)):
        path = tmp_path / f"{side}.png"
        Image.new("1", (side, side)).save(path)
        assert path.stat().st_size < 100_000
        assert verdicts(sound(1), str(path)) == [True, good, True, True]


def endpoint(*models) -> Callable[..., Iterator[tuple]]:
    """Return the page's /generate as its buttons and programs call it."""
    (found,) = [f for f in page.build(*models).fns.values() if f.api_name == "generate"]
    return found.fn


def test_the_model_set_that_is_chosen_answers(fake_model, sound, bar):
    other = replace(fake_model, name="other", asked=[])
    generate = endpoint(fake_model, other)
    list(generate(speech := sound(0.4), None, None, "other", progress=bar))
    assert other.asked == [(speech, None)] and not fake_model.asked
    list(generate(speech, progress=bar))
    assert fake_model.asked == [(speech, None)]


def test_every_argument_is_documented_as_tools_read_it(fake_model):
    """By Gradio's own reader of docstrings, which its MCP server goes by."""
    described = gr.utils.get_function_description(endpoint(fake_model))
    description, arguments, returned = described
    assert description.startswith("Make talking faces") and returned
    assert {"speech", "reference", "film", "faces"} <= set(arguments)
    assert "SSIM and PSNR" in arguments["film"]
