"""The Compare tab: one recording, spoken by the three methods side by side."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr

from demo import gpu
from demo.checks import MAX_SECONDS, check, speech_problem
from demo.names import NAMES, PANELS, READY, REAL
from demo.runs import Runs, stop_with
from demo.tabs import studio
from demo.tabs.studio import Studio
from demo.widgets import hint, keep_path, offer_examples, speech_input
from s2v_core.analysis import reference

TITLES = {"avatars": "Rendered avatars", "grid": "Real people (GRID corpus)"}
SPEECH = (
    f"Up to {MAX_SECONDS} seconds. The microphone needs your permission and an https page "
    "(or this very computer); without them, upload a file."
)
FILM = (
    f"One face, from the front, up to {reference.LONGEST} seconds. Its sound drives the methods, its first "
    "frame is the face that SDFA animates, and the real video is shown and measured beside them."
)
PORTRAIT = "Only SDFA looks at it. Without one it animates a portrait that comes with the model."
SUBTITLES = {
    "speech2video": "hears the voice, sees nothing",
    "sdfa": "hears the voice, sees a still face",
    "s2f_sdfa": "hears the voice, by way of Speech2Face",
    "real": "what was filmed, cut to the face",
}
# Several voices a hair apart sound like an echo: only the first one is heard, and leads the others.
PLAY_TOGETHER = """() => {
    const videos = [...document.querySelectorAll('.result video')].filter(video => video.offsetParent);
    if (videos.some(video => !video.paused)) return videos.forEach(video => video.pause());
    const [lead, ...others] = videos;
    videos.forEach((video, i) => { video.currentTime = 0; video.muted = i > 0; video.play(); });
    lead.ontimeupdate = () => others.forEach(video => {
        if (Math.abs(video.currentTime - lead.currentTime) > 0.08) video.currentTime = lead.currentTime;
    });
}"""


def build(studios: dict[str, Studio], jobs: Runs) -> gr.Audio:
    """Lay out the tab inside the open Blocks, connect it to the models and return its speech box."""
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=3, min_width=300):
            speech, film = voice_inputs()
        with gr.Column(scale=2, min_width=240):
            reference = reference_input()
            faces = faces_input(list(studios))
    with gr.Row(elem_classes="actions"):
        speak = gr.Button("Make them speak", variant="primary", scale=3, elem_id="speak")
        stop = gr.Button("Stop", scale=1, min_width=100, elem_id="stop")
    status = gr.Markdown(READY, elem_id="status")
    with gr.Row(elem_id="results"):
        columns, videos, notes = zip(*map(result, PANELS), strict=True)
    with gr.Row(elem_classes="aside"):
        together = gr.Button("Play all together", size="sm", elem_id="together")
        montage = gr.DownloadButton(
            "Download side by side", size="sm", interactive=False, elem_id="montage"
        )

    outputs = [*videos, *notes, montage, status]
    connect(studios, jobs, (speak, stop), [speech, reference, film, faces], outputs)
    one_of(speech, film, columns[-1])
    told_at_once(speech, status)
    together.click(fn=None, js=PLAY_TOGETHER, api_visibility="private")
    return speech


def voice_inputs() -> tuple[gr.Audio, gr.Video]:
    """Add the two ways to give a voice: by itself, or in a video of its speaker."""
    with gr.Tabs(elem_classes="ways"):
        with gr.Tab("A voice"):
            speech = speech_input("Your speech", "speech")
            offer_examples(speech)
            hint(SPEECH)
        with gr.Tab("A talking video", render_children=True):
            film = gr.Video(
                label="Your talking video",
                sources=["upload", "webcam"],
                include_audio=True,
                height=240,
                buttons=[],
                elem_id="film",
            )
            keep_path(film)
            hint(FILM)
    return speech, film


def reference_input() -> gr.Image:
    """Add the box for the optional still face."""
    reference = gr.Image(
        label="A still face (optional)",
        sources=["upload", "webcam"],
        type="filepath",
        height=210,
        buttons=[],
        elem_id="reference",
    )
    keep_path(reference)
    hint(PORTRAIT)
    return reference


def faces_input(names: list[str]) -> gr.Radio:
    """Add the choice of the model set, where there are several."""
    return gr.Radio(
        [(TITLES.get(name, name), name) for name in names],
        value=names[0],
        label="Faces that the model knows",
        visible=len(names) > 1,
        elem_id="faces",
    )


def result(method: str) -> tuple[gr.Column, gr.Video, gr.Markdown]:
    """Add one method's column: its name, its video and the lines with its numbers."""
    real = method == REAL
    with gr.Column(min_width=200, elem_classes="result", visible=not real) as column:
        heading = f"### {NAMES[method]}\n{SUBTITLES[method]}"
        gr.Markdown(heading, elem_classes="heading")
        video = gr.Video(
            show_label=False, buttons=["download"], height=360, interactive=False, elem_id=method
        )
        note = gr.Markdown(elem_classes="note")
    return column, video, note


def one_of(speech: gr.Audio, film: gr.Video, column: gr.Column) -> None:
    """Let the speech be one of the two, and show the real video's column for a film only."""
    film.change(
        lambda film: (gr.skip() if film is None else None, gr.Column(visible=film is not None)),
        film,
        [speech, column],
        api_visibility="private",
        show_progress="hidden",
    )
    speech.change(
        lambda speech: gr.skip() if speech is None else None,
        speech,
        film,
        api_visibility="private",
        show_progress="hidden",
    )


def told_at_once(speech: gr.Audio, status: gr.Markdown) -> None:
    """Say what is wrong with a recording when it is given, and not only when the button is pressed."""
    speech.change(
        lambda speech: (speech_problem(speech) or READY) if speech else gr.skip(),
        speech,
        status,
        api_visibility="private",
        show_progress="hidden",
    )


def connect(
    studios: dict[str, Studio],
    jobs: Runs,
    buttons: tuple[gr.Button, gr.Button],
    inputs: list,
    outputs: list,
) -> None:
    """Start a model with one button, as the API's /generate too, and stop it with the other."""

    def panels(faces: str, *given: Any) -> Iterator[studio.Panel]:
        yield from studios[faces].panels(*given)

    work = gpu.borrow(
        panels, sound=lambda _faces, _folder, speech, _reference, film, *_: film or speech
    )
    first = next(iter(studios))

    def generate(
        speech: str | None = None,
        reference: str | None = None,
        film: str | None = None,
        faces: str = first,
        request: gr.Request | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  Gradio finds its bar by this default
    ) -> Iterator[tuple]:
        """Make talking faces from a voice alone: Speech2Video, and SDFA and S2F+SDFA beside it.

        Args:
            speech: A recording of one voice, 0.3 to 60 seconds, any sound file.
            reference: A picture of one face, for SDFA; without it, the model's own portrait.
            film: A talking face, up to 30 s, instead of both: its sound, SDFA's face, SSIM and PSNR against it.
            faces: The model set, by its name: which faces it knows.

        Returns:
            The videos of Speech2Video, SDFA and S2F+SDFA, and the film cut to its face; a note on
            each; one video of all side by side; a status line.
        """
        visitor = request and request.session_hash
        chosen = partial(work, faces)
        yield from studio.generate(chosen, jobs, visitor, speech, reference, film, progress)

    speak, stop = buttons
    status = outputs[-1]
    running = speak.click(
        generate,
        inputs,
        outputs,
        api_name="generate",
        validator=check,
        concurrency_id="model",
        show_progress_on=status,  # a bar over every output would hide the videos already made
    )
    stop_with(stop, running, status, jobs)
    quietly = {"api_visibility": "private", "show_progress": "hidden"}
    montage = outputs[-2]
    speak.click(lambda: gr.DownloadButton(interactive=False), None, montage, **quietly)
    running.then(
        lambda path: gr.DownloadButton(interactive=bool(path)), montage, montage, **quietly
    )
