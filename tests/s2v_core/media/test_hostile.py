"""Files that name other files or addresses open none of them, and small files that decode to hours are left early."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from s2v_core.errors import UserError
from s2v_core.media import audio, provenance

ROOT = Path(__file__).parents[3]
VOICE = ROOT / "demo" / "examples" / "calm_woman_english.wav"
PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{}\n",
    "mpd": "<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>{}</BaseURL></MPD>",
    "txt": "{}",
}
NAMES = ("speech.wav", "speech.mp4", "speech.m3u8", "speech%03d.png", "speech.ogg", "speech.flac")


@pytest.fixture
def address():
    """An address that counts its requests, in a list."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/voice.wav", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_playlist_opens_neither_files_nor_addresses(tmp_path, address, kind, name) -> None:
    url, asked = address
    for target in (
        url,
        VOICE,
        VOICE.as_uri(),
        f"concat:{VOICE}",
        f"subfile,,start,0,end,9,,:{VOICE}",
    ):
        path = tmp_path / name
        path.write_text(PLAYLISTS[kind].format(target))
        with pytest.raises(UserError):
            audio.load(path)
        with pytest.raises(UserError):
            provenance.read(path)
    assert asked == []


def test_a_small_file_that_holds_hours_is_left_early(tmp_path) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 16_000, 1) as file:
        for _ in range(60):
            file.write(np.repeat(np.tile([0.5, -0.5], 60), 8_000))
    assert path.stat().st_size < 5_000_000
    with pytest.raises(UserError, match="more than 10 minutes"), audio.opened(path, longest=600):
        pass
    with audio.opened(path) as speech:
        assert len(speech) == 16_000 * 3_600
