"""The Compare tab: one recording, spoken by the three methods side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.events import Dependency

from demo import gpu
from demo.checks import MAX_SECONDS, picture_problem, speech_problem, verdict
from demo.names import NAMES, PANELS, READY, REAL
from demo.runs import Runs, connect, visitor_of
from demo.tabs.studio import EMPTY, Inputs, Panel, Studio, show
from demo.widgets import QUIET, hint, keep_path, offer_examples, speech_input, start_and_stop
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
    "s2f_sdfa": "hears the voice, guesses a still face",
    "real": "what was filmed, cut to the face",
}
# Several voices a hair apart sound like an echo: only the first has sound, and leads the others until it stops.
PLAY_TOGETHER = """() => {
    const videos = [...document.querySelectorAll('.result video')].filter(video => video.offsetParent);
    if (videos.some(video => !video.paused)) return videos.forEach(video => video.pause());
    const [lead, ...others] = videos;
    videos.forEach((video, i) => { video.currentTime = 0; video.muted = i > 0; video.play(); });
    lead.onpause = () => {
        videos.forEach(video => { video.pause(); video.muted = false; });
        lead.onpause = lead.ontimeupdate = null;
    };
    lead.ontimeupdate = () => others.forEach(video => {
        if (Math.abs(video.currentTime - lead.currentTime) > 0.08) video.currentTime = lead.currentTime;
    });
}"""


def build(studios: dict[str, Studio], runs: Runs) -> gr.Audio:
    """Lay out the tab inside the open Blocks, connect it to the models and return its speech box."""
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=3, min_width=300):
            speech, film = voice_inputs()
        with gr.Column(scale=2, min_width=240):
            inputs = [speech, reference_input(), film, model_set_input(list(studios))]
    buttons = start_and_stop("Make them speak", "speak", "stop")
    status = gr.Markdown(READY, elem_id="status")
    with gr.Row(elem_id="results"):
        columns, videos, notes = zip(*map(result, PANELS), strict=True)
    montage = below_results()
    outputs = [*videos, *notes, montage, status]
    task = endpoint(studios, runs)
    running = connect(buttons, task, (inputs, outputs), "generate", check, runs)
    enable_when_done(montage, buttons[0], running)
    keep_one(speech, film, columns[-1])
    check_at_once(speech, status)
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
    picture = gr.Image(
        label="A still face (optional)",
        sources=["upload", "webcam"],
        type="filepath",
        height=210,
        buttons=[],
        elem_id="reference",
    )
    keep_path(picture)
    hint(PORTRAIT)
    return picture


def model_set_input(names: list[str]) -> gr.Radio:
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
    with gr.Column(min_width=160, elem_classes="result", visible=not real) as column:
        heading = f"### {NAMES[method]}\n{SUBTITLES[method]}"
        gr.Markdown(heading, elem_classes="heading")
        video = gr.Video(
            show_label=False, buttons=["download"], height=360, interactive=False, elem_id=method
        )
        note = gr.Markdown(elem_classes="note")
    return column, video, note


def below_results() -> gr.DownloadButton:
    """Add the button that plays all videos in step, and the one, returned, that downloads them."""
    with gr.Row(elem_classes="aside"):
        together = gr.Button("Play all together", size="sm", elem_id="together")
        montage = gr.DownloadButton(
            "Download side by side", size="sm", interactive=False, elem_id="montage"
        )
    together.click(fn=None, js=PLAY_TOGETHER, api_visibility="private")
    return montage


def enable_when_done(montage: gr.DownloadButton, start: gr.Button, running: Dependency) -> None:
    """Let the side-by-side file be downloaded only after the run that made it."""
    start.click(lambda: gr.DownloadButton(interactive=False), None, montage, **QUIET)
    running.then(lambda path: gr.DownloadButton(interactive=bool(path)), montage, montage, **QUIET)


def keep_one(speech: gr.Audio, film: gr.Video, column: gr.Column) -> None:
    """Let a new speech replace the film and a new film the speech; show the real video's column for a film."""
    film.change(
        lambda film: (gr.skip() if film is None else None, gr.Column(visible=film is not None)),
        film,
        [speech, column],
        **QUIET,
    )
    speech.change(lambda speech: gr.skip() if speech is None else None, speech, film, **QUIET)


def check_at_once(speech: gr.Audio, status: gr.Markdown) -> None:
    """Say what is wrong with a recording as soon as it is given, before the button is pressed."""
    speech.change(
        lambda speech: (speech_problem(speech) or READY) if speech else gr.skip(),
        speech,
        status,
        **QUIET,
    )


def check(
    speech: str | None, picture: str | None = None, film: str | None = None, _faces: str = ""
) -> list[dict[str, Any]]:
    """Refuse an unusable recording, picture or film before it waits in the queue."""
    return [
        verdict(None if film else speech_problem(speech)),
        verdict(picture_problem(picture)),
        verdict(speech_problem(film, reference.LONGEST) if film else None),
        verdict(None),
    ]


def endpoint(studios: dict[str, Studio], runs: Runs) -> Callable[..., Iterator[tuple]]:
    """Return what the button and the API's /generate run, on any of the model sets."""

    def panels(faces: str, *given: Any) -> Iterator[Panel]:
        yield from studios[faces].panels(*given)

    work = gpu.borrow(panels, speech=lambda _faces, _folder, inputs, _progress: inputs.sound)
    first = next(iter(studios))

    # Gradio finds its progress bar by this default, and language models their tool by this name.
    def generate(
        speech: str | None = None,
        reference: str | None = None,
        film: str | None = None,
        faces: str = first,
        request: gr.Request | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
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
        inputs = Inputs(speech, reference, film)
        yield from runs.run(
            visitor_of(request),
            lambda folder: show(work(faces, folder, inputs, progress)),
            EMPTY,
        )

    return generate
