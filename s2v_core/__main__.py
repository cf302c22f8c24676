"""The command line: ``python -m s2v_core generate``, ``record`` and ``publish``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import s2v_core
from s2v_core import hub
from s2v_core.errors import AudioError, UserError

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

EXAMPLES = """examples:
  python -m s2v_core record --seconds 5 --out me.wav
  python -m s2v_core generate me.wav --out videos
"""
GENERATE_EXAMPLES = """examples:
  every method, side by side:     python -m s2v_core generate me.wav --out videos
  one method, many files:         python -m s2v_core generate *.wav --out videos --methods sdfa
  a face of your own, on a GPU:   python -m s2v_core generate me.m4a --out videos \\
                                      --reference me.jpg --device cuda

Each video is DIR/<name of the speech>.<method>.mp4, and one line of JSON on stdout tells of it.
Exit status: 0 all done, 2 something to mend (told on stderr), 130 interrupted.
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
MAX_RECORDING = 600.0  # seconds: past that somebody has mistyped


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 2 for an error to mend, 130 interrupted."""
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except UserError as error:
        return complain(error)
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of both commands; ``run`` in its result is the command's function."""
    parser = argparse.ArgumentParser(
        prog="python -m s2v_core",
        description="Speech in; a face that says it, out.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="{generate,record,publish}")
    _add_generate(commands)
    _add_record(commands)
    _add_publish(commands)
    return parser


def generate(arguments: argparse.Namespace) -> int:
    """Generate the videos of every speech file; speech that cannot be used is told and passed."""
    refuse_same_names(arguments.speech)
    model = s2v_core.load(hub.located(arguments.model), arguments.device)
    status = 0
    for speech in arguments.speech:
        try:
            generate_one(model, speech, arguments)
        except AudioError as error:  # any other error would meet the next file too
            status = complain(error)
    return status


def generate_one(model: Speech2Video, speech: Path, arguments: argparse.Namespace) -> None:
    """Generate one speech file's videos, with a bar on stderr and a line of JSON for each."""
    with frame_bar(speech.name) as progress:
        for generation in model.generate_each(
            speech,
            arguments.out,
            methods=tuple(dict.fromkeys(arguments.methods)),
            reference=arguments.reference,
            label=arguments.label,
            progress=progress,
        ):
            tell(asdict(generation))


def record(arguments: argparse.Namespace) -> int:
    """Record speech from this computer's microphone into a WAV file."""
    from s2v_core import audio  # imports torch, which --help must not wait for

    print(f"recording {arguments.seconds:g} s: speak now", file=sys.stderr)
    speech = audio.record(arguments.seconds)
    audio.check(speech, "the recording")
    audio.save(arguments.out, speech)
    tell({"path": arguments.out, "seconds": len(speech) / audio.SAMPLE_RATE})
    return 0


def publish(arguments: argparse.Namespace) -> int:
    """Upload a model set to the Hub, or with ``dry_run`` tell which files would go."""
    if arguments.dry_run:
        for name in [*hub.files(arguments.model), "README.md"]:
            print(name)
        return 0
    commit = hub.publish(arguments.model, arguments.repo, arguments.private)
    tell({"repo": arguments.repo, "revision": commit})
    return 0


def refuse_same_names(speeches: Sequence[Path]) -> None:
    """Raise UserError when two speech files would be written under the same name."""
    seen: dict[str, Path] = {}
    for speech in speeches:
        name = speech.stem.casefold()  # some file systems do not tell A.wav from a.wav
        if name in seen:
            raise UserError(
                f"{seen[name]} and {speech} would be written under the same name: "
                "rename one, or give each run its own --out."
            )
        seen[name] = speech


@contextmanager
def frame_bar(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """Give a progress callback (method, frames done, frames in all) that draws on a terminal."""
    from tqdm import tqdm  # costs a third of the time that --help may take

    with tqdm(desc=name, unit=" frames", disable=None, leave=False) as bar:

        def progress(method: str, done: int, total: int) -> None:
            bar.set_description(f"{name} {method}", refresh=False)
            bar.total = total
            if done < bar.n:  # the next method begins
                bar.reset()
            bar.update(done - bar.n)

        yield progress


def tell(result: dict[str, Any]) -> None:
    """Print one line of JSON on stdout, at once and clear of a progress bar."""
    from tqdm import tqdm

    with tqdm.external_write_mode():
        print(json.dumps(result, default=str), flush=True)


def complain(error: UserError) -> int:
    """Print an error as one line on stderr and return the exit status that belongs to it."""
    print("speech2video:", " ".join(str(error).split()), file=sys.stderr)
    return 2


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
    add("speech", nargs="+", type=Path, metavar="SPEECH", help="any audio file, or a video's sound")
    add("--out", required=True, type=Path, metavar="DIR", help="folder for the videos")
    add(
        "--methods",
        nargs="+",
        choices=s2v_core.METHODS,
        default=s2v_core.METHODS,
        help="which methods to run (default: all)",
    )
    add(
        "--model",
        default="checkpoints/avatars",
        metavar="DIR",
        help="folder of a model set, or USER/NAME@REVISION on the Hub (default: %(default)s)",
    )
    add(
        "--reference",
        type=Path,
        metavar="FACE",
        help="picture of the face for sdfa (default: the model set's own)",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ... (default: %(default)s)")
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


def _add_publish(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "publish",
        help="upload a model set to the Hugging Face Hub",
        epilog=PUBLISH_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=publish)
    add = parser.add_argument
    add("--repo", required=True, metavar="USER/NAME", help="repository; made if it is not there")
    add(
        "--model",
        type=Path,
        default=Path("checkpoints/avatars"),
        metavar="DIR",
        help="folder of the model set (default: %(default)s)",
    )
    add("--private", action="store_true", help="make the repository a private one")
    add("--dry-run", action="store_true", help="only list the files that would go")


if __name__ == "__main__":
    sys.exit(main())
