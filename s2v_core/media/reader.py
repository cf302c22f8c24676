"""Any file's sound and picture on one clock, by FFmpeg's libraries (PyAV).

Times count from the file's start. A stream that begins later than it is held back: the picture by its
first frame, the sound by silence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.filter import Graph
from av.filter.context import FilterContext
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from s2v_core.rates import SAMPLE_RATE

Frame = VideoFrame | AudioFrame
# FFmpeg's filters, each with its arguments.
Filters = Sequence[tuple[str, str]]
# FFmpeg's own way to turn a picture upright, by its rotation in degrees.
UPRIGHT: dict[int, Filters] = {
    90: [("transpose", "cclock")],
    180: [("hflip", ""), ("vflip", "")],
    270: [("transpose", "clock")],
}
# Pixels are not stretched further: such a header is wrong.
MOST_STRETCHED = 4
# Seconds; far more than an hour of speech takes to decode.
DECODER_SECONDS = 300
# Seconds by which a clock may go back; more, and another stream follows in the same file.
JITTER = Fraction(1, 10)
# Samples of sound that come at once.
BLOCK = 65_536
# Sound and video files, but no playlist or script that could name other files or addresses.
CONTAINERS = "wav,w64,aiff,flac,ogg,mp3,mov,matroska,aac,amr,ac3,asf,avi,flv,mpeg,mpegts,caf,au,wv,nistsphere,voc"


class UnreadableError(Exception):
    """This reader cannot read the file: another may."""


class MissingError(UnreadableError):
    """The file holds sound but no picture, or picture but no sound."""


@contextmanager
def opened(path: Path, kind: Literal["video", "audio"] = "video") -> Iterator[InputContainer]:
    """Open a file with a stream of this ``kind``; UnreadableError when it is none, MissingError without.

    No playlist is followed and no address, so that a file cannot name others.
    """
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        container = av.open(f"file:{path}", options=options, metadata_errors="ignore")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableError(str(error)) from error
    with container:
        if container.streams.best(kind) is None:
            found = MissingError if len(container.streams) else UnreadableError
            raise found(f"no {'picture' if kind == 'video' else 'sound'} in it")
        yield container


def constant_rate(fps: int) -> tuple[str, str]:
    """Return the filter that takes the frame of each time, ``fps`` a second from the file's start on."""
    return "fps", f"{fps}:start_time=0"


def pictures(container: InputContainer, filters: Filters = ()) -> Iterator[np.ndarray]:
    """Yield the frames (H, W, 3) uint8 RGB, upright, as a player shows them and the ``filters`` leave them.

    Damaged packets are skipped. UnreadableError when decoding takes far longer than any video's should.
    """
    stream = container.streams.best("video")
    assert isinstance(stream, VideoStream)
    build = partial(_picture_graph, aspect=stream.sample_aspect_ratio, filters=filters)
    for frame in _filtered(_alike(_on_clock(container, stream), stream.average_rate), build):
        yield frame.to_ndarray()


def sound(container: InputContainer) -> Iterator[np.ndarray]:
    """Yield the sound in blocks (n, channels) float32 at 16 kHz, from the file's start on.

    What is missing is silence; damaged packets are skipped. UnreadableError when nothing can be decoded,
    or when it takes far too long.
    """
    stream = container.streams.best("audio")
    assert stream is not None
    done = 0
    # Another stream of another kind may follow in the same file.
    for _, frames in groupby(_on_clock(container, stream), _kind):
        for frame in _filtered(frames, partial(_sound_graph, done=done)):
            assert isinstance(frame, AudioFrame)
            done += frame.samples
            yield frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
    if not done:
        raise UnreadableError("nothing of the sound can be decoded")


def _kind(frame: Frame) -> tuple[int | str, ...]:
    if isinstance(frame, AudioFrame):
        return frame.sample_rate, frame.format.name, frame.layout.name
    return frame.width, frame.height, frame.format.name


def _on_clock(container: InputContainer, stream: Stream) -> Iterator[Frame]:
    """Yield each decoded frame of ``stream``, its time counted from the file's start.

    Where the clock goes back, as in Ogg files one after the other, it continues from the last frame's end.
    """
    offset, end = -Fraction(container.start_time or 0, av.time_base), Fraction(0)
    for frame in _decoded(container, stream):
        if frame.pts is not None and frame.time_base:
            at = frame.pts * frame.time_base + offset
            if at < end - JITTER:
                offset, at = offset + end - at, end
            frame.pts = round(at / frame.time_base)
            end = max(end, at + _seconds(frame))
        yield frame


def _seconds(frame: Frame) -> Fraction:
    return (
        Fraction(frame.samples, frame.sample_rate) if isinstance(frame, AudioFrame) else Fraction(0)
    )


def _decoded(container: InputContainer, stream: Stream) -> Iterator[Frame]:
    until = time.monotonic() + DECODER_SECONDS
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        # Cut short: what came before counts.
        except (StopIteration, av.FFmpegError):
            return
        if time.monotonic() > until:
            raise UnreadableError("it takes too long to decode")
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            assert isinstance(frame, VideoFrame | AudioFrame)
            yield frame


def _alike(frames: Iterator[Frame], rate: Fraction | None) -> Iterator[VideoFrame]:
    """Yield ``frames`` in the size and format of the first: a call's picture may change in size.

    Those without a duration, as in FLV files, last as at this ``rate``: else the last would be lost.
    """
    first = None
    for frame in frames:
        assert isinstance(frame, VideoFrame)
        first = first or frame
        if _kind(frame) != _kind(first):
            pts, time_base = frame.pts, frame.time_base
            frame = frame.reformat(first.width, first.height, first.format.name)
            frame.pts, frame.time_base = pts, time_base
        if not frame.duration and frame.time_base and rate:
            frame.duration = round(1 / (rate * frame.time_base))
        yield frame


def _filtered(frames: Iterator[Frame], build: Callable[[Frame], Graph]) -> Iterator[Frame]:
    """Yield ``frames`` as the filters leave them that ``build`` makes for the first of them."""
    first = next(frames, None)
    if first is None:
        return
    graph = build(first)
    for frame in chain([first], frames, [None]):
        graph.push(frame)
        # Until it needs another frame.
        with suppress(av.BlockingIOError, av.EOFError):
            while True:
                yield graph.pull()


def _picture_graph(frame: Frame, aspect: Fraction | None, filters: Filters) -> Graph:
    """Return the ``filters`` of an upright RGB picture whose pixels, of this ``aspect``, are made square."""
    assert isinstance(frame, VideoFrame)
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    upright = [*_square(frame, aspect), *UPRIGHT.get(frame.rotation % 360, ())]
    return _linked(graph, source, [*upright, *filters, ("format", "rgb24"), ("buffersink", "")])


def _square(frame: VideoFrame, aspect: Fraction | None) -> Filters:
    """Return the filter that makes pixels of this ``aspect``, width over height, square."""
    if not aspect or aspect == 1 or not 1 / MOST_STRETCHED <= aspect <= MOST_STRETCHED:
        return []
    width = round(frame.width * max(aspect, Fraction(1)))
    height = round(frame.height / min(aspect, Fraction(1)))
    return [("scale", f"{width}:{height}")]


def _sound_graph(frame: Frame, done: int) -> Graph:
    """Return the filters to 16 kHz packed floats on the clock, of which ``done`` samples have come."""
    assert isinstance(frame, AudioFrame)
    graph = Graph()
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format,
        layout=frame.layout,
        time_base=frame.time_base,
    )
    filters = [
        ("aresample", f"{SAMPLE_RATE}:async=1:first_pts={done}"),
        ("aformat", "sample_fmts=flt"),
        ("asetnsamples", f"{BLOCK}:pad=0"),
        ("abuffersink", ""),
    ]
    return _linked(graph, source, filters)


def _linked(graph: Graph, source: FilterContext, filters: Filters) -> Graph:
    graph.link_nodes(source, *(graph.add(*f) if f[1] else graph.add(f[0]) for f in filters))
    graph.configure()
    return graph
