"""A visitor's runs: a folder of its own for each, a way to stop it, and errors told in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr
from gradio.events import Dependency

from s2v_core.errors import UserError

FLAG = "stop"  # a file in the job's folder: ZeroGPU works in a process of its own, which sees files
WORKING = "Listening…"
STOPPED = "Stopped. What was ready stays."
BROKEN = "Something broke on the server; it is in its log. Another recording may work."
Report = Callable[[str, int, int], None]


class StoppedError(Exception):
    """The visitor pressed Stop, or went away."""


class Runs:
    """The runs in progress, by visitor: one visitor's Stop reaches nobody else's run."""

    def __init__(self) -> None:
        self._folders: dict[str | None, set[Path]] = defaultdict(set)

    @contextmanager
    def begin(self, visitor: str | None) -> Iterator[Path]:
        """Give a new folder, which goes at the end: Gradio copies each result as it is yielded."""
        with TemporaryDirectory(prefix="speech2video-") as name:
            self._folders[visitor].add(Path(name))
            try:
                yield Path(name)
            finally:
                self._folders[visitor].discard(Path(name))
                if not self._folders[visitor]:
                    del self._folders[visitor]

    def stop(self, visitor: str | None) -> None:
        """Make every run of this visitor end at its next frame."""
        for folder in self._folders.get(visitor, set()).copy():
            (folder / FLAG).touch()

    def leave(self, request: gr.Request) -> None:
        """End the runs of a visitor who closed the page."""
        self.stop(request.session_hash)

    def halt(self, request: gr.Request) -> str:
        """End the runs of the visitor who pressed Stop; return the status."""
        self.stop(request.session_hash)
        return STOPPED

    def run(
        self, visitor: str | None, task: Callable[[Path], tuple], blank: tuple
    ) -> Iterator[tuple]:
        """Yield ``blank`` and that work goes on, then what ``task`` makes in a new folder.

        The last value is the status: it says so when something went wrong, or was stopped.
        """
        yield *blank, WORKING
        try:
            with in_words(), self.begin(visitor) as folder:
                yield task(folder)
        except StoppedError:
            yield *blank, STOPPED
        except gr.Error as error:
            yield *blank, error.message
            raise


def reporter(folder: Path, progress: gr.Progress, names: dict[str, str]) -> Report:
    """Turn the model's progress reports into Gradio's bar; raise StoppedError once the job is to stop."""

    def report(method: str, done: int, total: int) -> None:
        if (folder / FLAG).exists():
            raise StoppedError
        progress((done, total), desc=names.get(method, method), unit="frames")

    return report


def stop_with(stop: gr.Button, running: Dependency, status: gr.Markdown, jobs: Runs) -> None:
    """Let a button end the event ``running``, waiting or at work, and say so."""
    stop.click(jobs.halt, None, status, cancels=running, queue=False, api_visibility="private")


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what goes wrong into a gr.Error that a visitor understands; the rest goes to the log."""
    try:
        yield
    except (gr.Error, StoppedError):
        raise
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
    except Exception as error:
        raise gr.Error(BROKEN) from error
