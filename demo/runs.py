"""A visitor's runs: a folder for each, a way to stop it, and its errors in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
from gradio.events import Dependency

from demo.widgets import Buttons
from s2v_core.errors import UserError

# A file in the run's folder: ZeroGPU works in a process of its own, which sees files only.
STOP_FILE = "stop"
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
        """Give a new folder, deleted at the end: Gradio copies each result as it is yielded."""
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
            (folder / STOP_FILE).touch()

    def on_leave(self, request: gr.Request) -> None:
        """End the runs of a visitor who closed the page."""
        self.stop(request.session_hash)

    def on_stop(self, request: gr.Request) -> str:
        """End the runs of the visitor who pressed Stop; return the status."""
        self.stop(request.session_hash)
        return STOPPED

    def run(
        self, visitor: str | None, task: Callable[[Path], Iterable[tuple]], empty: tuple
    ) -> Iterator[tuple]:
        """Yield ``empty`` and that work has begun, then all that ``task`` makes in a new folder.

        The last value of each is the status. It says so when the visitor stops the run or when
        something goes wrong; what was made until then stays.
        """
        with as_gradio_errors(), self.begin(visitor) as folder:
            made: Sequence[Any] = empty
            yield *made, WORKING
            try:
                with as_gradio_errors():
                    for *made, status in task(folder):
                        yield *made, status
            except StoppedError:
                yield *made, STOPPED
            except gr.Error as error:
                # In the status it stays on the page when the notice is gone.
                yield *made, error.message
                raise


def visitor_of(request: gr.Request | None) -> str | None:
    """Return the key of whoever sent a request; all calls from Python share None."""
    return request.session_hash if request else None


def reporter(folder: Path, progress: gr.Progress, names: dict[str, str]) -> Report:
    """Turn the model's progress reports into Gradio's bar; raise StoppedError once the run is to stop."""

    def report(method: str, done: int, total: int) -> None:
        if (folder / STOP_FILE).exists():
            raise StoppedError
        progress((done, total), desc=names.get(method, method), unit="frames")

    return report


def connect(
    buttons: Buttons,
    task: Callable[..., Iterator[tuple]],
    values: tuple[Sequence[Any], Sequence[Any]],
    api_name: str,
    validator: Callable[..., Any],
    runs: Runs,
) -> Dependency:
    """Start ``task`` with the first button, as the API's ``api_name`` too, and end it with the second.

    ``values`` are its inputs and outputs; the last output shows the status.
    """
    start, stop = buttons
    inputs, outputs = values
    status = outputs[-1]
    running = start.click(
        task,
        inputs,
        outputs,
        api_name=api_name,
        validator=validator,
        concurrency_id="model",
        # A bar over every output would hide the videos that are already made.
        show_progress_on=status,
    )
    stop.click(runs.on_stop, None, status, cancels=running, queue=False, api_visibility="private")
    return running


@contextmanager
def as_gradio_errors() -> Iterator[None]:
    """Turn every error into a gr.Error in words for the visitor; unexpected ones also go to the log."""
    try:
        yield
    except (gr.Error, StoppedError):
        raise
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
    except Exception as error:
        raise gr.Error(BROKEN) from error
