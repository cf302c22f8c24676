"""The command line: ``python -m s2v_core`` with ``generate``, ``record``, ``live``, ``verify`` or ``publish``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import s2v_core
from s2v_core import cli_files
from s2v_core.command import print_error, run_command
from s2v_core.errors import AudioError, OutputError

if TYPE_CHECKING:
    from s2v_core.cli_files import Job
    from s2v_core.engine import Speech2Video

EXAMPLES = """examples:
  python -m s2v_core record --seconds 5 --out me.wav
  python -m s2v_core generate me.wav --out videos
  python -m s2v_core live
"""
GENERATE_EXAMPLES = """examples:
  every method, side by side:     python -m s2v_core generate me.wav --out videos
  one method, many files:         python -m s2v_core generate *.wav --out videos --methods sdfa
  a folder, resumed:              python -m s2v_core generate talks --out videos --resume
  a face of your own, on a GPU:   python -m s2v_core generate me.m4a --out videos \\
                                      --reference me.jpg --device cuda

Each video is DIR/<name of the speech>.<method>.mp4; a line of JSON on stdout reports each.
A file that cannot be used is reported on stderr and skipped; the last line counts them.
Exit status: 0 all done, 2 an error or a skipped file, 130 interrupted.
"""
PUBLISH_EXAMPLES = """examples:
  python -m s2v_core publish --repo you/speech2video --dry-run
  python -m s2v_core publish --repo you/speech2video

Log in first with: hf auth login. Load it again with --model you/speech2video@REVISION.
"""
RECORD_EXAMPLES = """examples:
  python -m s2v_core record --out me.wav
  python -m s2v_core record --seconds 10 --out takes/second.wav
"""
LIVE_EXAMPLES = """examples:
  python -m s2v_core live
  python -m s2v_core live --method sdfa --reference me.jpg

Close the window to end it; a line of JSON then reports the median delay in seconds.
"""
VERIFY_EXAMPLES = """examples:
  python -m s2v_core verify videos/me.speech2video.mp4

A line of JSON on stdout for each file: "intact" is true, false (altered), or null (no signed claim).
Exit status: 0 all unaltered, 1 one altered or without a claim, 2 an error.
"""
# Seconds; a longer recording is most likely a typing error.
MAX_RECORDING = 600.0
NAME = "speech2video"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 2 for an error, 130 when interrupted."""
    arguments = build_parser().parse_args(argv)
    return run_command(NAME, partial(arguments.run, arguments))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; ``run`` in its result is the command's function."""
    parser = argparse.ArgumentParser(
        prog="python -m s2v_core",
        description="Speech in; a face that says it, out.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="{generate,record,live,verify,publish}")
    _add_generate(commands)
    _add_record(commands)
    _add_live(commands)
    _add_verify(commands)
    _add_publish(commands)
    return parser


def generate(arguments: argparse.Namespace) -> int:
    """Generate the videos of every speech file; speech that cannot be used is reported and skipped."""
    jobs = cli_files.plan(arguments.speech, arguments.out, arguments.methods, arguments.resume)
    to_do = [job for job in jobs if job.methods]
    made, bad = generate_all(to_do, arguments) if to_do else (0, 0)
    if len(jobs) > 1:
        wanted = len(jobs) * len(set(arguments.methods))
        before = wanted - sum(len(job.methods) for job in jobs)
        counts = f"{made} videos made, {before} there before, {bad} files unusable"
        print(f"{len(jobs)} files: {counts}", file=sys.stderr)
    return 2 if bad else 0


def generate_all(jobs: Sequence[Job], arguments: argparse.Namespace) -> tuple[int, int]:
    """Generate every job's videos; return how many were made, and how many files were unusable."""
    model = load_model(arguments)
    made = bad = 0
    for job in jobs:
        try:
            made += generate_one(model, job, arguments)
        # Any other error would stop the next file too.
        except (AudioError, OutputError) as error:
            print_error(NAME, error)
            bad += 1
    return made, bad


def generate_one(model: Speech2Video, job: Job, arguments: argparse.Namespace) -> int:
    """Generate one file's videos, with a bar on stderr and a line of JSON for each; return their count."""
    made = 0
    with frame_bar(job.speech.name) as progress:
        for generation in model.generate_each(
            job.speech,
            arguments.out,
            methods=job.methods,
            reference=arguments.reference,
            label=arguments.label,
            progress=progress,
        ):
            report(asdict(generation))
            made += 1
    return made


def record(arguments: argparse.Namespace) -> int:
    """Record speech from this computer's microphone into a WAV file."""
    # These import torch, which --help must not wait for.
    from s2v_core.media import audio, microphone
    from s2v_core.rates import SAMPLE_RATE

    print(f"recording {arguments.seconds:g} s: speak now", file=sys.stderr)
    speech = microphone.record(arguments.seconds)
    audio.check(speech, "the recording")
    audio.save(arguments.out, speech)
    report({"path": arguments.out, "seconds": len(speech) / SAMPLE_RATE})
    return 0


def live(arguments: argparse.Namespace) -> int:
    """Show a face that speaks along with the microphone, until the window is closed."""
    import torch

    from s2v_core.desktop import run, window
    from s2v_core.media import microphone

    # One thread keeps up; several wait for each other on a busy machine.
    torch.set_num_threads(1)
    with window("Speech2Video") as show:
        model = load_model(arguments)
        still = model.still(arguments.reference) if arguments.method == "sdfa" else None
        delays = run(model.stream(arguments.method, still), microphone.stream(model.fps), show)
    delay = round(sorted(delays)[len(delays) // 2], 3) if delays else None
    report({"method": arguments.method, "frames": len(delays), "delay": delay})
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Print what each file claims of its making, and whether it was altered since; 1 if one was."""
    from s2v_core.media import provenance

    intact = True
    for path in arguments.file:
        verdict = provenance.read(path)
        report({"path": path, **asdict(verdict), "words": str(verdict)})
        intact = intact and bool(verdict.intact)
    return 0 if intact else 1


def publish(arguments: argparse.Namespace) -> int:
    """Upload a model set to the Hub, or with ``dry_run`` print which files would go."""
    from s2v_core.models import hub
    from s2v_core.models.model_set import default_model

    model = arguments.model or default_model()
    if arguments.dry_run:
        for name in [*hub.files(model), "README.md"]:
            print(name)
        return 0
    commit = hub.publish(model, arguments.repo, arguments.private)
    report({"repo": arguments.repo, "revision": commit})
    return 0


def load_model(arguments: argparse.Namespace) -> Speech2Video:
    """Load the model set that ``--model`` names, from a folder or the Hub, onto ``--device``."""
    return s2v_core.load(arguments.model, arguments.device, arguments.precision)


@contextmanager
def frame_bar(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a progress callback (method, frames done, frames in all) that draws on a terminal."""
    # Its import costs a third of the time that --help may take.
    from tqdm import tqdm

    with tqdm(desc=name, unit=" frames", disable=None, leave=False) as bar:

        def progress(method: str, done: int, total: int) -> None:
            bar.set_description(f"{name} {method}", refresh=False)
            bar.total = total
            # The next method begins.
            if done < bar.n:
                bar.reset()
            bar.update(done - bar.n)

        yield progress


def report(result: dict[str, Any]) -> None:
    """Print one line of JSON on stdout, at once and clear of a progress bar."""
    from tqdm import tqdm

    with tqdm.external_write_mode():
        print(json.dumps(result, default=str), flush=True)


def duration(text: str) -> float:
    """Parse a recording's seconds; argparse shows this name when the text is no number."""
    seconds = float(text)
    if not 0 < seconds <= MAX_RECORDING:
        raise argparse.ArgumentTypeError(f"give more than 0 and at most {MAX_RECORDING:g} seconds")
    return seconds


def _add_generate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "generate",
        help="make videos from speech files",
        epilog=GENERATE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=generate)
    add = parser.add_argument
    add(
        "speech",
        nargs="+",
        type=Path,
        metavar="SPEECH",
        help="any audio file, a video's sound, or a folder of them",
    )
    add("--out", required=True, type=Path, metavar="DIR", help="folder for the videos")
    add(
        "--methods",
        nargs="+",
        choices=s2v_core.METHODS,
        default=s2v_core.METHODS,
        help="which methods to run (default: all)",
    )
    _add_model(parser)
    add(
        "--resume",
        action="store_true",
        help="skip videos that are there already and newer than the speech",
    )
    add(
        "--no-label",
        dest="label",
        action="store_false",
        help="leave out the mark SYNTHETIC in the picture",
    )


def _add_record(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "record",
        help="record speech from this computer's microphone",
        epilog=RECORD_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=record)
    add = parser.add_argument
    add("--seconds", type=duration, default=5.0, help="how long (default: %(default)g)")
    add("--out", required=True, type=Path, metavar="WAV", help="file to write, 16 kHz mono WAV")


def _add_live(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "live",
        help="show a face that speaks along with the microphone",
        epilog=LIVE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=live)
    parser.add_argument(
        "--method",
        choices=s2v_core.METHODS,
        default=s2v_core.METHODS[0],
        help="which method to run (default: %(default)s)",
    )
    _add_model(parser)


def _add_verify(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "verify",
        help="say what a video or picture claims of its making, and whether it was altered",
        epilog=VERIFY_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=verify)
    parser.add_argument("file", nargs="+", type=Path, metavar="FILE")


def _add_publish(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "publish",
        help="upload a model set to the Hugging Face Hub",
        epilog=PUBLISH_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=publish)
    add = parser.add_argument
    add("--repo", required=True, metavar="USER/NAME", help="repository; created if it is missing")
    add(
        "--model",
        type=Path,
        metavar="DIR",
        help="folder of the model set (default: the one that comes with the package)",
    )
    add("--private", action="store_true", help="make the repository a private one")
    add("--dry-run", action="store_true", help="only list the files that would go")


def _add_model(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        type=Path,
        metavar="DIR",
        help="folder of a model set, or USER/NAME@REVISION on the Hub (default: the one that comes "
        "with the package)",
    )
    add(
        "--reference",
        type=Path,
        metavar="FACE",
        help="picture of the face for sdfa (default: the model set's own)",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ... (default: %(default)s)")
    add(
        "--precision",
        default="auto",
        choices=s2v_core.PRECISIONS,
        help="of the frames (default: %(default)s)",
    )


if __name__ == "__main__":
    sys.exit(main())
