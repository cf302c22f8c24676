"""What happens behind the Compare tab's buttons, in plain functions that know the page only by its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import gradio as gr
import numpy as np
import torch

from demo.names import ALL_READY, NAMES, PANELS, REAL, REAL_COMMENT
from demo.runs import STOPPED, WORKING, Report, Runs, StoppedError, in_words, reporter
from s2v_core.analysis import reference
from s2v_core.media import audio, montage, video
from s2v_core.rates import frame_count
from s2v_core.vocabulary import METHODS

if TYPE_CHECKING:
    from s2v_core.engine import Generation, Speech2Video
    from s2v_core.networks.syncnet import SyncNet

SYNC_SECONDS = 10  # of a clip that SyncNet looks at
SHORTEST_SYNC = 25  # frames; in less it cannot look 15 frames to either side


class Panel(NamedTuple):
    """One video that is done, with the line under it; without a line it is the side-by-side one."""

    name: str
    path: str
    note: str = ""


Work = Callable[[Path, str, str | None, str | None, gr.Progress], Iterator[Panel]]


def generate(
    work: Work,
    jobs: Runs,
    visitor: str | None,
    speech: str | None,
    reference: str | None,
    film: str | None,
    progress: gr.Progress,
) -> Iterator[tuple]:
    """Yield four videos, four notes, the side-by-side file and the status, whenever one is done."""
    shown = Shown()
    yield shown.values(WORKING)
    try:
        with in_words(), jobs.begin(visitor) as folder:
            for panel in work(folder, speech, reference, film, progress):
                shown.add(panel)
                yield shown.values()
    except StoppedError:
        yield shown.values(STOPPED)
    except gr.Error as error:
        yield shown.values(error.message)  # stays on the page when the notice is gone
        raise


class Shown:
    """What the page shows of one run so far."""

    def __init__(self) -> None:
        self.panels: dict[str, Panel] = {}
        self.together: str | None = None

    def add(self, panel: Panel) -> None:
        """Take in what has just been made."""
        if panel.note:
            self.panels[panel.name] = panel
        else:
            self.together = panel.path

    def values(self, status: str = "") -> tuple:
        """Return the outputs' values, in their order."""
        empty = Panel("", None)
        panels = [self.panels.get(name, empty) for name in PANELS]
        return (
            *[panel.path for panel in panels],
            *[panel.note for panel in panels],
            self.together,
            status or self.how_far(),
        )

    def how_far(self) -> str:
        """Put into words how many of the methods are done."""
        done = [method for method in METHODS if method in self.panels]
        if len(done) == len(METHODS):
            return ALL_READY
        return f"{len(done)} of {len(METHODS)} ready; {NAMES[METHODS[len(done)]]} is next…"


@dataclass
class Studio:
    """Makes all panels of one run with a model, and with SyncNet if there is one."""

    model: Speech2Video
    syncnet: SyncNet | None = None

    def panels(
        self,
        folder: Path,
        speech: str | None,
        reference: str | None,
        film: str | None,
        progress: gr.Progress,
    ) -> Iterator[Panel]:
        """Yield each video as soon as it is written: the real one, the methods', all side by side."""
        report = reporter(folder, progress, NAMES)
        with in_words():
            waveform = audio.load(film or speech)
            real = None
            if film:
                real, reference = self.read(Path(film), folder)
                yield self.real_panel(folder, real, waveform)
            videos = {}
            for result, frames in self.made(folder, film or speech, reference, report, real):
                videos[result.method] = result.path
                notes = [describe(result), nearness(real, frames), self.synced(frames, waveform)]
                yield Panel(result.method, str(result.path), lines(notes))
            yield self.together(folder, videos, real, waveform)

    def read(self, film: Path, folder: Path) -> tuple[np.ndarray, str]:
        """Return a film's aligned frames, and the file of its first frame, which SDFA animates."""
        size = self.model.config.height, self.model.config.width
        real = reference.read(film, self.model.networks["landmarks"].cpu(), self.model.fps, *size)
        first = folder / "the first frame.png"
        cv2.imwrite(str(first), cv2.cvtColor(real.first, cv2.COLOR_RGB2BGR))
        return real.frames, str(first)

    def real_panel(self, folder: Path, real: np.ndarray, waveform: torch.Tensor) -> Panel:
        """Write the visitor's own video, cut to the face as the others are."""
        path = folder / "real.mp4"
        video.write(path, real, len(real), self.model.fps, waveform, comment=REAL_COMMENT)
        notes = [f"{len(real)} frames, cut to the face", self.synced(real, waveform)]
        return Panel(REAL, str(path), lines(notes))

    def made(
        self,
        folder: Path,
        speech: str,
        reference: str | None,
        report: Report,
        real: np.ndarray | None,
    ) -> Iterator[tuple[Generation, np.ndarray | None]]:
        """Yield every method's video, and its unlabelled frames where something scores them."""
        kept: list[np.ndarray] = []
        scored = real is not None or self.syncnet is not None
        for result in self.model.generate_each(
            speech,
            folder,
            reference=reference,
            progress=report,
            watch=(lambda _, frame: kept.append(frame)) if scored else None,
        ):
            yield result, np.stack(kept) if scored else None
            kept.clear()

    def synced(self, frames: np.ndarray | None, waveform: torch.Tensor) -> str:
        """Put SyncNet's verdict on a clip's beginning into a line, if there is a SyncNet."""
        if self.syncnet is None or len(frames) < SHORTEST_SYNC:
            return ""
        pictures = torch.from_numpy(frames[: SYNC_SECONDS * self.model.fps])
        sync = self.syncnet.score(pictures.permute(0, 3, 1, 2) / 127.5 - 1, waveform)
        return f"AV confidence {sync.confidence:.2f} · offset {sync.offset} frames"

    def together(
        self,
        folder: Path,
        videos: dict[str, Path],
        real: np.ndarray | None,
        waveform: torch.Tensor,
    ) -> Panel:
        """Write all videos side by side into one file."""
        panels = {NAMES[method]: video.read(path) for method, path in videos.items()}
        if real is not None:
            panels[NAMES[REAL]] = real
        path = folder / "speech2video-side-by-side.mp4"
        n_frames = frame_count(len(waveform), self.model.fps)
        montage.write(path, panels, n_frames, self.model.fps, waveform)
        return Panel("together", str(path))


def describe(result: Generation) -> str:
    """Put one video's numbers into a line."""
    return f"took {result.seconds:.1f} s · real-time factor {result.realtime_factor:.2f}"


def nearness(real: np.ndarray | None, frames: np.ndarray | None) -> str:
    """Put how near a video is to the real one into a line, if there is a real one."""
    if real is None:
        return ""
    near = reference.scores(real, frames)
    return f"SSIM {near['ssim']:.3f} · PSNR {near['psnr']:.1f} dB"


def lines(notes: list[str]) -> str:
    """Return Markdown with each note that is not empty on a line of its own."""
    return "  \n".join(filter(None, notes))
