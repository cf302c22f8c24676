"""What happens behind the Compare tab's buttons: one run, and what the page shows of it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import gradio as gr
import numpy as np
import torch

from demo.checks import NO_SPEECH
from demo.names import ALL_READY, NAMES, PANELS, REAL, REAL_COMMENT
from demo.runs import Report, as_gradio_errors, reporter
from s2v_core.analysis import reference
from s2v_core.errors import UserError
from s2v_core.media import audio, montage, video
from s2v_core.media.provenance import COMPOSITE, SYNTHETIC, Claim
from s2v_core.networks.syncnet import SHIFT
from s2v_core.rates import frame_count
from s2v_core.vocabulary import METHODS

if TYPE_CHECKING:
    from s2v_core.engine import Generation, Speech2Video
    from s2v_core.networks.syncnet import SyncNet

# Of a clip, that SyncNet looks at.
SYNC_SECONDS = 10
# Frames; in less SyncNet cannot look 15 frames to either side.
SHORTEST_SYNC = 25
# The panel with all videos side by side.
TOGETHER = "together"


class Inputs(NamedTuple):
    """The files that a visitor gave."""

    speech: str | None = None
    reference: str | None = None
    film: str | None = None

    @property
    def sound(self) -> str:
        """The file with the voice; UserError when there is none."""
        found = self.film or self.speech
        if found is None:
            raise UserError(NO_SPEECH)
        return found


class Panel(NamedTuple):
    """One video that is done, with the lines under it."""

    name: str
    path: str | None
    note: str = ""


NO_PANEL = Panel("", None)
EMPTY = (*[None] * len(PANELS), *[""] * len(PANELS), None)


def show(panels: Iterable[Panel]) -> Iterator[tuple]:
    """Yield four videos, four notes, the side-by-side file and the status, whenever a panel is done."""
    shown: dict[str, Panel] = {}
    for panel in panels:
        shown[panel.name] = panel
        in_order = [shown.get(name, NO_PANEL) for name in (*PANELS, TOGETHER)]
        videos, notes = [panel.path for panel in in_order], [panel.note for panel in in_order]
        yield *videos[:-1], *notes[:-1], videos[-1], progress_note(shown)


def progress_note(done: Container[str]) -> str:
    """Put into words how many of the methods are done."""
    if TOGETHER in done:
        return ALL_READY
    to_come = [method for method in METHODS if method not in done]
    following = NAMES[to_come[0]] if to_come else "the side-by-side video"
    return f"{len(METHODS) - len(to_come)} of {len(METHODS)} ready; {following} is next…"


@dataclass
class Studio:
    """Makes all panels of one run with a model, and with SyncNet if there is one."""

    model: Speech2Video
    syncnet: SyncNet | None = None

    def panels(self, folder: Path, inputs: Inputs, progress: gr.Progress) -> Iterator[Panel]:
        """Yield each video as soon as it is written: the real one, the methods', all side by side."""
        report = reporter(folder, progress, NAMES)
        with as_gradio_errors():
            waveform = audio.load(inputs.sound)
            real, picture = None, inputs.reference
            if inputs.film:
                real, picture = self.read(Path(inputs.film), folder)
                yield self.real_panel(folder, real, waveform)
            videos = {}
            for result, frames in self.generate(folder, inputs.sound, picture, report, real):
                videos[result.method] = result.path
                notes = [speed_note(result), *self.measure(frames, real, waveform)]
                yield Panel(result.method, str(result.path), join_lines(notes))
            yield self.side_by_side(folder, videos, real, waveform)

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
        video.write(
            path, real, len(real), self.model.fps, waveform, comment=REAL_COMMENT, claim=None
        )
        notes = [f"{len(real)} frames, cut to the face", self.sync_note(real, waveform)]
        return Panel(REAL, str(path), join_lines(notes))

    def generate(
        self,
        folder: Path,
        speech: str,
        picture: str | None,
        report: Report,
        real: np.ndarray | None,
    ) -> Iterator[tuple[Generation, np.ndarray | None]]:
        """Yield every method's video, and its unlabelled frames where something scores them."""
        frames: list[np.ndarray] = []
        scored = real is not None or self.syncnet is not None
        for result in self.model.generate_each(
            speech,
            folder,
            reference=picture,
            progress=report,
            watch=(lambda _, frame: frames.append(frame)) if scored else None,
        ):
            yield result, np.stack(frames) if scored else None
            frames.clear()

    def measure(
        self, frames: np.ndarray | None, real: np.ndarray | None, waveform: torch.Tensor
    ) -> list[str]:
        """Return the notes on a method's frames: beside the real ones, and by SyncNet, where there are any."""
        if frames is None:
            return []
        similarity = "" if real is None else similarity_note(real, frames)
        return [similarity, self.sync_note(frames, waveform)]

    def sync_note(self, frames: np.ndarray, waveform: torch.Tensor) -> str:
        """Put SyncNet's verdict on a clip's beginning into a line, if there is a SyncNet."""
        if self.syncnet is None or len(frames) < SHORTEST_SYNC:
            return ""
        pictures = torch.from_numpy(frames[: SYNC_SECONDS * self.model.fps])
        sync = self.syncnet.score(pictures.permute(0, 3, 1, 2) / 127.5 - 1, waveform)
        # The largest offset that SyncNet looks for says that none fits.
        clear = abs(sync.offset) < SHIFT
        offset = f"offset {sync.offset} frames" if clear else "no clear offset"
        return f"AV confidence {sync.confidence:.2f} · {offset}"

    def side_by_side(
        self,
        folder: Path,
        videos: dict[str, Path],
        real: np.ndarray | None,
        waveform: torch.Tensor,
    ) -> Panel:
        """Write all videos side by side into one file."""
        panels: dict[str, Iterable[np.ndarray]] = {
            NAMES[method]: video.read(path) for method, path in videos.items()
        }
        if real is not None:
            panels[NAMES[REAL]] = real
        path = folder / "speech2video-side-by-side.mp4"
        n_frames = frame_count(len(waveform), self.model.fps)
        source = SYNTHETIC if real is None else COMPOSITE
        claim = Claim(self.model.name, source=source)
        montage.write(path, panels, n_frames, self.model.fps, waveform, claim)
        return Panel(TOGETHER, str(path))


def speed_note(result: Generation) -> str:
    """Put how long one video took into a line."""
    return f"took {result.seconds:.1f} s · real-time factor {result.realtime_factor:.2f}"


def similarity_note(real: np.ndarray, frames: np.ndarray) -> str:
    """Put how similar a video is to the real one into a line."""
    scores = reference.scores(real, frames)
    return f"SSIM {scores['ssim']:.3f} · PSNR {scores['psnr']:.1f} dB"


def join_lines(notes: list[str]) -> str:
    """Return Markdown with each note that is not empty on a line of its own."""
    return "  \n".join(filter(None, notes))
