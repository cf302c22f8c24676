"""``make bench``: how fast each method is here, side by side, against its bars; every figure with its ratio.

Each round measures every case once, so that other work on the machine meets all of them alike; a
case's figure is its median round.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import s2v_core
from s2v_core import desktop
from s2v_core.engine import Speech2Video
from s2v_core.media import audio
from s2v_core.methods import CHUNK, Composing
from s2v_core.networks.sdfa import SDFA, SDFAConfig, speech_windows
from s2v_core.rates import SAMPLE_RATE
from s2v_core.vocabulary import METHODS

ROOT = Path(__file__).parents[1]
SPEECH = ROOT / "demo" / "examples" / "calm_woman_english.wav"
LENGTHS, LONG = (3, 10), (60, 600)  # seconds of speech
Case = Callable[[], object]


def interleaved(cases: dict[str, Case], rounds: int) -> dict[str, float]:
    """Return the median seconds that each case took over ``rounds`` rounds, after one to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
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
    cases = {}
    for seconds in lengths:
        path = folder / f"{seconds}.wav"
        audio.save(path, speech_of(seconds))
        for threads in (1, 2):
            for method in METHODS:

                def case(path: Path = path, method: str = method) -> None:
                    model.generate(path, folder, methods=[method])

                cases[f"{method} {seconds} {threads}"] = with_threads(threads, case)
    rows = []
    for name, taken in interleaved(cases, rounds).items():
        method, seconds, threads = name.split()
        rows.append([method, f"{seconds} s", threads, taken, int(seconds) / taken])
    header = ["file to mp4", "speech", "threads", "seconds", "times real time"]
    return table(header, rows)


@torch.inference_mode()
def against_published(model: Speech2Video, rounds: int) -> str:
    """Measure frames alone: this model's methods, SDFA at its published size, and the machine's ceiling."""
    speech, still = speech_of(10), model.still(None)
    sdfa = SDFA(SDFAConfig()).eval()
    windows = speech_windows(speech[None], 250, 25)

    def published() -> None:  # as its authors run it: the whole clip in one batch
        code, maps = sdfa.identify(torch.zeros(1, 3, 128, 96))
        noise, _ = sdfa.noisy(1, 250, 0.33)
        sdfa.frames(sdfa.speech(windows)[0], noise, torch.zeros(1, 250, 0), code, maps)

    cases = {"SDFA at its published size, as published": published} | {
        method: lambda method=method: list(model.frames(method, speech, still))
        for method in METHODS
    }
    threads = torch.get_num_threads()
    taken = interleaved({name: with_threads(threads, case) for name, case in cases.items()}, rounds)
    slowest = taken["SDFA at its published size, as published"]
    rows = [[name, 250 / s, slowest / s] for name, s in taken.items()]
    return table([f"frames alone, {threads} threads", "frames/s", "times published SDFA"], rows)


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
    rates, cases = {}, {"the decoder": lambda: method.render(codes, face)}
    for channels in (64, 128, 256):
        layer = nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last)
        x = torch.randn(CHUNK, channels, 32, 24).to(memory_format=torch.channels_last)
        rates[f"{channels}"] = 2 * 9 * channels**2 * x[:, 0].numel()
        cases[f"{channels}"] = lambda layer=layer, x=x: layer(x)
    taken = interleaved(cases, 5 * rounds)
    best = max(flops / taken[name] for name, flops in rates.items())
    rows = [
        ["its multiply-adds at the best convolution's rate", CHUNK * best / work, 1.0],
        ["the decoder", CHUNK / taken["the decoder"], taken["the decoder"] * best / work],
    ]
    head = f"{work / CHUNK / 2e6:.0f} million multiply-adds a frame, {best / 1e9:.0f} GFLOP/s"
    return table([head, "frames/s", "times the ceiling's time"], rows)


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
    """Yield ``speech (T,)`` in pieces of 40 ms, each when it would have been said; late ones together."""
    began, given = time.perf_counter(), 0
    piece = SAMPLE_RATE // 25
    while given + piece <= len(speech):
        time.sleep(max(0, began + (given + piece) / SAMPLE_RATE - time.perf_counter()))
        said = int((time.perf_counter() - began) * SAMPLE_RATE) // piece * piece
        yield speech[given:said]
        given = said


def main() -> None:
    """Measure everything and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m s2v_core.bench", description=__doc__)
    parser.add_argument("--long", action="store_true", help="also 60 s and 600 s of speech")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    threads = torch.get_num_threads()
    model = s2v_core.load(device="cpu")
    lengths = LENGTHS + (LONG if arguments.long else ())
    with TemporaryDirectory() as name:
        folder = Path(name)
        print(against_published(model, arguments.rounds), flush=True)
        print(against_ceiling(model, arguments.rounds), flush=True)
        torch.set_num_threads(threads)
        print(start_up(folder), flush=True)
        print(delays(model, 10), flush=True)
        print(end_to_end(model, folder, lengths, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
