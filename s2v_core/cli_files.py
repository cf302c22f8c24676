"""Many speech files at once: which files, and which of their videos are still to be made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from s2v_core.errors import UserError
from s2v_core.paths import is_file, is_folder, short, target
from s2v_core.vocabulary import METHODS

# In a folder, files with these endings are taken; a file that is named itself may have any name.
SOUNDS = {".wav", ".w64", ".aiff", ".aif", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a"} | {
    *(".aac", ".amr", ".ac3", ".wma", ".caf", ".au", ".wv", ".spx", ".sph", ".voc"),
}
VIDEOS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".mpg", ".mpeg", ".wmv"}


@dataclass(frozen=True)
class Job:
    """One speech file and the methods whose videos of it are to be made; none if all are there."""

    speech: Path
    methods: tuple[str, ...]


def plan(
    paths: Sequence[Path], out: Path, methods: Sequence[str], resume: bool = False
) -> list[Job]:
    """Return a job for every file in ``paths`` and in the folders among them, sorted by name.

    With ``resume``, videos in ``out`` that are newer than their speech are not made again. Raises
    UserError for a folder without speech, and when two files would be written under the same name.
    """
    speeches = [speech for path in paths for speech in speech_files(path)]
    refuse_same_names(speeches)
    methods = tuple(dict.fromkeys(methods))
    return [
        Job(s, tuple(m for m in methods if not (resume and is_made(s, target(s, out, m)))))
        for s in speeches
    ]


def speech_files(path: Path) -> Iterator[Path]:
    """Yield ``path``, or the sound and video files in it if it is a folder.

    Without generated videos and hidden files, as macOS's ._me.wav.
    """
    if not is_folder(path):
        yield path
        return
    made = tuple(f".{method}.mp4" for method in METHODS)
    try:
        inside = sorted(path.iterdir())
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror}.") from error
    found = [
        file
        for file in inside
        if is_file(file)
        and file.suffix.lower() in SOUNDS | VIDEOS
        and not file.name.startswith(".")
        and not file.name.endswith(made)
    ]
    if not found:
        raise UserError(f"{path} holds no sound or video file: name another folder, or a file.")
    yield from found


def refuse_same_names(speeches: Sequence[Path]) -> None:
    """Raise UserError when two speech files would be written under the same name."""
    seen: dict[str, Path] = {}
    for speech in speeches:
        # On some file systems A.wav and a.wav are the same file.
        name = short(speech.stem).casefold()
        if name in seen:
            raise UserError(
                f"{seen[name]} and {speech} would be written under the same name: "
                "rename one, or give each run its own --out."
            )
        seen[name] = speech


def is_made(speech: Path, video: Path) -> bool:
    """Whether ``video`` is there and newer than ``speech``; videos are written whole or not at all."""
    if not (is_file(video) and is_file(speech)):
        return False
    return video.stat().st_mtime >= speech.stat().st_mtime
