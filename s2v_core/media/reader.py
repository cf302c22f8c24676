"""Any video file's frames, and its sound on the same clock, by FFmpeg's libraries (PyAV).

Times count from the file's start. A stream that begins later than it is held back: the picture by its
first frame, the sound by silence.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame

from s2v_core.media.decode import CONTAINERS, DECODER_SECONDS, UnreadableError

# FFmpeg's filters, each with its arguments.
Filters = Sequence[tuple[str, str]]
# FFmpeg's own way to turn a picture upright, by its rotation in degrees.
UPRIGHT: dict[int, Filters] = {
    90: [("transpose", "cclock")],
    180: [("hflip", ""), ("vflip", "")],
    270: [("transpose", "clock")],
}


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Open a video file; UnreadableError when it is none.

    No playlist is followed and no address, so that a file cannot name others.
    """
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        container = av.open(f"file:{path}", options=options, metadata_errors="ignore")
    except (av.FFmpegError, OSError) as error:
        raise UnreadableError(str(error)) from error
    with container:
        if not container.streams.video:
            raise UnreadableError("no picture in it")
        yield container


# Sound as packed floats from the file's start on: what is missing is silence.
FROM_THE_START: Filters = [("aresample", "async=1:first_pts=0"), ("aformat", "sample_fmts=flt")]


def constant_rate(fps: int) -> tuple[str, str]:
    """Return the filter that takes the frame of each time, ``fps`` a second from the file's start on."""
    return "fps", f"{fps}:start_time=0"


def pictures(container: InputContainer, filters: Filters = ()) -> Iterator[np.ndarray]:
    """Yield the frames (H, W, 3) uint8 RGB, upright, as the ``filters`` leave them."""
    for frame in read(container, filters):
        assert isinstance(frame, VideoFrame)
        yield frame.to_ndarray()


def read(
    container: InputContainer, picture: Filters = (), sound: Filters | None = None
) -> Iterator[VideoFrame | AudioFrame]:
    """Yield the frames of the picture, in RGB, and of the sound if it has filters, as they come.

    Damaged packets are skipped. UnreadableError when decoding takes far longer than any video's should.
    """
    chains = {container.streams.video[0].index: _Chain(container, picture)}
    if sound is not None:
        chains[container.streams.audio[0].index] = _Chain(container, sound)
    for stream, frame in _decoded(container, list(chains)):
        yield from chains[stream].push(frame)
    for chain in chains.values():
        yield from chain.push(None)


def _decoded(
    container: InputContainer, streams: list[int]
) -> Iterator[tuple[int, VideoFrame | AudioFrame]]:
    """Yield each decoded frame with its stream's index."""
    until = time.monotonic() + DECODER_SECONDS
    packets = container.demux([container.streams[index] for index in streams])
    while True:
        try:
            packet = next(packets)
        # Cut short: what came before counts.
        except (StopIteration, av.FFmpegError):
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            if time.monotonic() > until:
                raise UnreadableError("it takes too long to decode")
            assert isinstance(frame, VideoFrame | AudioFrame)
            yield packet.stream_index, frame


class _Chain:
    """The frames of one stream through a chain of filters, built for the first of them."""

    def __init__(self, container: InputContainer, filters: Filters) -> None:
        self._start, self._filters = container.start_time or 0, filters
        self._graph: Graph | None = None

    def push(self, frame: VideoFrame | AudioFrame | None) -> Iterator[VideoFrame | AudioFrame]:
        """Yield the frames that are ready after ``frame``, or after the last one, None."""
        if self._graph is None:
            if frame is None:
                return
            self._graph = self._built(frame)
        if frame is not None and frame.pts is not None and frame.time_base:
            frame.pts -= round(self._start / (av.time_base * frame.time_base))
        self._graph.push(frame)
        while True:
            try:
                yield self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return

    def _built(self, frame: VideoFrame | AudioFrame) -> Graph:
        graph = Graph()
        if isinstance(frame, VideoFrame):
            source = graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base,
            )
            upright = UPRIGHT.get(frame.rotation % 360, ())
            filters = [*upright, *self._filters, ("format", "rgb24"), ("buffersink", "")]
        else:
            source = graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format,
                layout=frame.layout,
                time_base=frame.time_base,
            )
            filters = [*self._filters, ("abuffersink", "")]
        graph.link_nodes(source, *(graph.add(*f) if f[1] else graph.add(f[0]) for f in filters))
        graph.configure()
        return graph
