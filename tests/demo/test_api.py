"""The page's named endpoint on a live server, as a program calls it."""

from __future__ import annotations

import cv2
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError, ValidationError


@pytest.fixture(scope="module")
def client(server: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(server, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def frames(path: str) -> int:
    return int(cv2.VideoCapture(path).get(cv2.CAP_PROP_FRAME_COUNT))


def test_three_videos_as_long_as_the_speech(client, speech):
    *results, status = client.predict(handle_file(speech), api_name="/generate")
    seconds = soundfile.info(speech).duration
    assert [frames(video) for video in results[:3]] == [round(seconds * 25)] * 3
    assert all("real-time factor" in note for note in results[3:])
    assert status == "All three are ready."


def test_unreadable_speech_is_refused_before_the_queue(client, not_audio):
    with pytest.raises(ValidationError, match="cannot be read as audio"):
        client.predict(handle_file(not_audio), api_name="/generate")


def test_unreadable_picture_is_told_in_words(client, speech, not_audio):
    with pytest.raises(AppError, match="not a picture"):
        client.predict(handle_file(speech), handle_file(not_audio), api_name="/generate")
