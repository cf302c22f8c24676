"""The page's named endpoints on a live server, as programs call them, one and many at once."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import ValidationError

from demo.tabs.mixer import SAME
from s2v_core.media import audio
from s2v_core.rates import SAMPLE_RATE


@pytest.fixture(scope="module")
def client(server: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(server, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def frames(path: str) -> int:
    return int(cv2.VideoCapture(path).get(cv2.CAP_PROP_FRAME_COUNT))


def test_three_videos_as_long_as_the_speech_and_all_in_one(client, speech):
    *results, together, status = client.predict(handle_file(speech), api_name="/generate")
    expected = round(soundfile.info(speech).duration * 25)
    assert [frames(video) for video in results[:3]] == [expected] * 3
    assert results[3] is None and frames(together) == expected
    assert all("real-time factor" in note for note in results[4:7])
    assert status == "All three are ready."


def test_the_readmes_program_makes_a_face_say_the_words_of_another(server, speech):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "Client" in c)
    names: dict[str, str] = {}
    exec(code.replace("http://127.0.0.1:7860", server).replace("me.wav", str(speech)), names)
    video, status = names["video"], names["status"]
    assert frames(video) == round(soundfile.info(speech).duration * 25)
    assert status.startswith("Ready")


def test_what_is_heard_is_put_into_words(client, speech):
    portraits, figure, words = client.predict(handle_file(speech), api_name="/hear")
    assert len(portraits) == 3 and figure["type"] == "matplotlib"
    assert words.startswith("Face: Man 2301 (")  # whose test clip it is


def test_the_endpoints_say_what_they_take(client):
    api = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(api) == {"/generate", "/mix", "/hear", "/verify"}
    for endpoint in api.values():
        assert endpoint["description"]
        assert all(field["python_type"]["type"] for field in endpoint["parameters"])


def test_a_mixture_is_of_the_voices_own_face_and_feeling_unless_named(client):
    api = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    defaults = {f["parameter_name"]: f["parameter_default"] for f in api["/mix"]["parameters"]}
    assert defaults["face"] == defaults["emotion"] == SAME and defaults["amount"] == 1


def test_unreadable_speech_is_refused_before_the_queue(client, not_audio):
    with pytest.raises(ValidationError, match="cannot be read as audio"):
        client.predict(handle_file(not_audio), api_name="/generate")


def test_an_unreadable_picture_is_refused_in_words(client, speech, not_audio):
    with pytest.raises(ValidationError, match="not a picture"):
        client.predict(handle_file(speech), handle_file(not_audio), api_name="/generate")


def test_eight_visitors_at_once_each_get_their_own(server, speech, tmp_path):
    """Each gives another length, so that nobody can be handed another's video unseen."""
    whole = audio.load(speech)[4_000:]
    lengths = [0.4 + 0.04 * visitor for visitor in range(8)]

    def visit(visitor: int) -> set[int]:
        path = tmp_path / f"{visitor}.wav"
        audio.save(path, whole[: round(lengths[visitor] * SAMPLE_RATE)])
        own = Client(server, verbose=False, download_files=tmp_path / str(visitor))
        if visitor > 1:  # the endpoint that takes less time
            return {frames(own.predict(handle_file(path), api_name="/mix")[0])}
        results = own.predict(handle_file(path), api_name="/generate")
        return {frames(video) for video in (*results[:3], results[8])}

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(visit, range(8)))
    assert made == [{round(length * 25)} for length in lengths]


def test_a_visitors_files_are_found_by_nobody_who_does_not_know_them(client, server, speech):
    """The server lists no folder and hands out no file that it did not make for a visitor."""
    import httpx

    for path in ("", "/", "/etc/passwd", str(Path(__file__)), "checkpoints/avatars/portrait.png"):
        answer = httpx.get(f"{server}gradio_api/file={path}")
        assert answer.status_code in (403, 404), (path, answer.status_code)
