"""A window of this desktop with the face that speaks along with the microphone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import cv2
import numpy as np
from torch import Tensor

from s2v_core.errors import ScreenError
from s2v_core.media.pixels import to_pictures
from s2v_core.rates import SAMPLE_RATE
from s2v_core.stream import Stream

if TYPE_CHECKING:
    from tkinter import Tk

# The window shows each pixel of the frames as 4 x 4.
ZOOM = 4
# Shows a picture, if there is one, and returns False once the window is closed.
Show = Callable[[np.ndarray | None], bool]


def run(stream: Stream, pieces: Iterable[Tensor], show: Show) -> list[float]:
    """Show the newest frame of each piece of speech (n,) until ``show`` returns False.

    Returns the delay of every frame shown: seconds from the end of its time in the speech.
    """
    delays, began = [], None
    for piece in pieces:
        if began is None:
            began = time.perf_counter() - len(piece) / SAMPLE_RATE
        new = stream.feed(piece, newest=True)
        if not show(to_pictures(new, label=True)[0] if len(new) else None):
            break
        if len(new):
            delays.append(time.perf_counter() - began - stream.frames / stream.fps)
    return delays


@contextmanager
def window(title: str) -> Iterator[Show]:
    """Open a window and yield the function that shows a picture (H, W, 3) uint8 in it.

    Raises ScreenError where there is no screen, or Python came without Tk.
    """
    root = _open_tk()
    from tkinter import Label, PhotoImage, TclError

    root.title(title)
    label = Label(root, text="One moment, then speak.", padx=40, pady=40)
    label.pack()
    root.update()
    # Tk shows an image only as long as Python refers to it.
    image: PhotoImage | None = None

    def show(picture: np.ndarray | None) -> bool:
        nonlocal image
        # Tk raises an error once the window is closed.
        with suppress(TclError):
            if picture is not None:
                image = PhotoImage(data=_ppm(picture), format="PPM")
                label.configure(image=image, padx=0, pady=0)
            root.update()
            return True
        return False

    try:
        yield show
    finally:
        with suppress(TclError):
            root.destroy()


def _open_tk() -> Tk:
    """Return Tk's root window; ScreenError where it cannot be opened."""
    try:
        # Some systems install Python without it.
        import tkinter

        return tkinter.Tk()
    except ImportError as error:
        raise ScreenError(
            "a window needs Tk: install it (Debian: apt install python3-tk)."
        ) from error
    except tkinter.TclError as error:
        raise ScreenError(
            "no window can be opened here: run this on a computer with a screen."
        ) from error


def _ppm(picture: np.ndarray) -> bytes:
    """Return ``picture (H, W, 3)``, enlarged, as the file that Tk reads fastest."""
    large = cv2.resize(picture, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC)
    height, width, _ = large.shape
    return b"P6 %d %d 255 " % (width, height) + large.tobytes()
