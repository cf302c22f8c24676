"""``make bench``: how fast each method is on this machine, beside what it is compared with.

Each round measures every case once, so that other work on the machine slows all of them alike; a
case's figure is its median round.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import s2v_core
from s2v_core import desktop
from s2v_core.command import run_command
from s2v_core.engine import Speech2Video
from s2v_core.face.align import Still
from s2v_core.media import audio
from s2v_core.methods import CHUNK, Composing
from s2v_core.networks.sdfa import SDFA, SDFAConfig, speech_windows
from s2v_core.rates import SAMPLE_RATE
from s2v_core.vocabulary import METHODS

ROOT = Path(__file__).parents[1]
SPEECH = ROOT / "demo" / "examples" / "calm_woman_english.wav"
# Seconds of speech.
LENGTHS, LONG = (3, 10), (60, 600)
PUBLISHED = "SDFA at its published size, as published"
Case = Callable[[], object]
K = TypeVar("K", bound=Hashable)


def interleaved(cases: Mapping[K, Case], rounds: int) -> dict[K, float]:
    """Return the median seconds that each case took over ``rounds`` rounds, after one to warm up."""
    taken: dict[K, list[float]] = {name: [] for name in cases}
    for turn in range(rounds + 1):
        for name, case in cases.items():
            began = time.perf_counter()
            case()
            if turn:
                taken[name].append(time.perf_counter() - began)
    return {name: median(seconds) for name, seconds in taken.items()}


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; floats get three figures."""
    cells = [[f"{x:.3g}" if isinstance(x, float) else str(x) for x in row] for row in rows]
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def speech_of(seconds: int) -> Tensor:
    """Return an example, repeated to last ``seconds``: (T,)."""
    example, n_samples = audio.load(SPEECH), seconds * SAMPLE_RATE
    return example.repeat(-(-n_samples // len(example)))[:n_samples]


def with_threads(count: int, case: Case) -> Case:
    """Return ``case`` run with ``count`` threads."""

    def run() -> None:
        torch.set_num_threads(count)
        case()

    return run


def end_to_end(model: Speech2Video, folder: Path, lengths: Sequence[int], rounds: int) -> str:
    """Measure every method from a file to an mp4 file."""
    cases: dict[tuple[str, int, int], Case] = {}
    for seconds in lengths:
        path = folder / f"{seconds}.wav"
        audio.save(path, speech_of(seconds))
        for threads, method in product((1, 2), METHODS):
            case = partial(model.generate, path, folder, methods=[method])
            cases[method, seconds, threads] = with_threads(threads, case)
    rows = [
        [method, f"{seconds} s", threads, taken, seconds / taken]
        for (method, seconds, threads), taken in interleaved(cases, rounds).items()
    ]
    header = ["file to mp4", "speech", "threads", "seconds", "times real time"]
    return table(header, rows)


@torch.inference_mode()
def against_published(model: Speech2Video, rounds: int) -> str:
    """Measure frames alone: this model's methods, and SDFA at its published size."""
    speech, still = speech_of(10), model.still(None)
    cases = {PUBLISHED: published_sdfa(speech)} | {
        method: partial(all_frames, model, method, speech, still) for method in METHODS
    }
    threads = torch.get_num_threads()
    taken = interleaved({name: with_threads(threads, case) for name, case in cases.items()}, rounds)
    rows = [[name, 250 / s, taken[PUBLISHED] / s] for name, s in taken.items()]
    return table([f"frames alone, {threads} threads", "frames/s", "times published SDFA"], rows)


def all_frames(model: Speech2Video, method: str, speech: Tensor, still: Still) -> None:
    """Render all frames of ``speech (T,)`` and drop them."""
    for _ in model.frames(method, speech, still):
        pass


def published_sdfa(speech: Tensor) -> Case:
    """Return SDFA at its published size on 10 s of ``speech (T,)``, run as its authors do: in one batch."""
    sdfa = SDFA(SDFAConfig()).eval()
    windows = speech_windows(speech[None], 250, 25)

    def case() -> None:
        code, maps = sdfa.identify(torch.zeros(1, 3, 128, 96))
        noise, _ = sdfa.noisy(1, 250, 0.33)
        sdfa.frames(sdfa.speech(windows)[0], noise, torch.zeros(1, 250, 0), code, maps)

    return case


@torch.inference_mode()
def against_ceiling(model: Speech2Video, rounds: int) -> str:
    """Measure the decoder against its multiply-adds at the best convolution's rate, on one thread."""
    torch.set_num_threads(1)
    method = Composing(model.networks)
    speech = speech_of(3)[None]
    face, codes = method.retrieve([speech]), method.encoder().feed(speech)[:CHUNK]
    with FlopCounterMode(display=False) as counter:
        method.render(codes, face)
    work = counter.get_total_flops()
    ceilings = {f"{channels}": convolution(channels) for channels in (64, 128, 256)}
    cases = {name: case for name, (case, _) in ceilings.items()}
    cases["the decoder"] = partial(method.render, codes, face)
    taken = interleaved(cases, 5 * rounds)
    best = max(flops / taken[name] for name, (_, flops) in ceilings.items())
    rows = [
        ["its multiply-adds at the best convolution's rate", CHUNK * best / work, 1.0],
        ["the decoder", CHUNK / taken["the decoder"], taken["the decoder"] * best / work],
    ]
    head = f"{work / CHUNK / 2e6:.0f} million multiply-adds a frame, {best / 1e9:.0f} GFLOP/s"
    return table([head, "frames/s", "times the ceiling's time"], rows)


def convolution(channels: int) -> tuple[Case, int]:
    """Return a 3x3 convolution of CHUNK maps with as many ``channels`` in as out, and its FLOP."""
    layer = nn.Conv2d(channels, channels, 3, padding=1)
    # torch's type stubs lack memory_format.
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(CHUNK, channels, 32, 24).to(memory_format=torch.channels_last)
    return partial(layer, x), 2 * 9 * channels**2 * x[:, 0].numel()


def start_up(folder: Path) -> str:
    """Measure a whole process, 3 s of speech to an mp4, against importing torch and the work itself."""
    path = folder / "start.wav"
    audio.save(path, speech_of(3))
    command = ["-m", "s2v_core", "generate", str(path), "--out", str(folder)]
    command += ["--methods", "speech2video", "--device", "cpu"]

    def process(*arguments: str) -> Case:
        return lambda: subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True
        )

    model = s2v_core.load(device="cpu")
    cases = {
        "generate": process(*command),
        "import": process("-c", "import torch"),
        "work": lambda: model.generate(path, folder, methods=["speech2video"]),
    }
    taken = interleaved(cases, 3)
    least = taken["import"] + taken["work"]
    rows = [
        ["import torch, then the work", least, 1.0],
        ["process start to mp4", taken["generate"], taken["generate"] / least],
    ]
    return table(["3 s of speech, speech2video", "seconds", "ratio"], rows)


def delays(model: Speech2Video, seconds: int) -> str:
    """Measure live use: speech at the rate of a microphone, in pieces of a frame."""
    torch.set_num_threads(1)
    rows = []
    for method in METHODS:
        stream = model.stream(method)
        late = desktop.run(stream, at_its_own_pace(speech_of(seconds)), lambda picture: True)
        cuts = quantiles(late, n=20)
        rows.append([method, 1000 * cuts[9], 1000 * cuts[18]])
    return table(["live, one thread", "median delay, ms", "95 % below, ms"], rows)


def at_its_own_pace(speech: Tensor) -> Iterator[Tensor]:
    """Yield ``speech (T,)`` in pieces of 40 ms, each when it would have been said; delayed ones in one."""
    began, given = time.perf_counter(), 0
    piece = SAMPLE_RATE // 25
    while given + piece <= len(speech):
        time.sleep(max(0, began + (given + piece) / SAMPLE_RATE - time.perf_counter()))
        said = int((time.perf_counter() - began) * SAMPLE_RATE) // piece * piece
        yield speech[given:said]
        given = said


def main() -> int:
    """Measure everything and print the tables; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m s2v_core.bench", description=__doc__)
    parser.add_argument("--long", action="store_true", help="also 60 s and 600 s of speech")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    return run_command("bench", partial(print_tables, arguments.rounds, arguments.long))


def print_tables(rounds: int, long: bool) -> None:
    """Print every table; ``long`` adds a minute and ten minutes of speech."""
    threads = torch.get_num_threads()
    model = s2v_core.load(device="cpu")
    lengths = LENGTHS + (LONG if long else ())
    with TemporaryDirectory() as name:
        folder = Path(name)
        print(against_published(model, rounds), flush=True)
        print(against_ceiling(model, rounds), flush=True)
        torch.set_num_threads(threads)
        print(start_up(folder), flush=True)
        print(delays(model, 10), flush=True)
        print(end_to_end(model, folder, lengths, rounds), flush=True)


if __name__ == "__main__":
    sys.exit(main())
