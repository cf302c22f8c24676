"""The whole page: its title, the tabs (a module each), and how it is launched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo.runs import Runs
from demo.tabs import about, compare, explain, live, mix, study
from demo.tabs.studio import Studio
from demo.theme import theme
from demo.visitors import DELETE_AFTER
from demo.widgets import EXAMPLES, QUIET
from s2v_core.analysis.speakers import Speakers

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

STYLE = Path(__file__).parent / "page.css"
# Seconds: how often to look for old files of visitors.
CHECK_CACHE_EVERY = 600
# Visitors in the queue before the page says that it is full.
MAX_WAITING = 20

TITLE = """
# Speech2Video
Speak, and see a face that says it. Who is speaking and how they feel come from the voice alone.
"""

CONSENT = """
Use voices and faces of people who agreed to it. Every picture is marked as synthetic; please do not
pass it off as a recording. What you give and what is made of it is deleted after about an hour.
"""


def build(model: Speech2Video, *others: Speech2Video) -> gr.Blocks:
    """Lay out the page around loaded models; launch it with `settings`.

    All of them can be compared; the other tabs show what the first one, ``model``, can do.
    """
    runs = Runs()
    studios = {m.name: Studio(m, m.model_set.syncnet()) for m in (model, *others)}
    page = gr.Blocks(
        title="Speech2Video",
        analytics_enabled=False,
        delete_cache=(CHECK_CACHE_EVERY, DELETE_AFTER),
    )
    with page:
        gr.Markdown(TITLE, elem_id="title")
        with gr.Tabs(elem_id="tabs"):
            add_tabs(studios, studios[model.name], runs)
        gr.Markdown(CONSENT, elem_id="consent")
        names = " and ".join(f"**{name}**" for name in studios)
        gr.Markdown(f"Faces of {names}, running on **{model.device}**.", elem_id="model")
        page.unload(runs.on_leave)
    return page.queue(max_size=MAX_WAITING)


def add_tabs(studios: dict[str, Studio], first: Studio, runs: Runs) -> None:
    """Add every tab; those about known speakers only where the ``first`` model set names them."""
    model, speakers = first.model, Speakers.of(first.model)
    with gr.Tab("Compare"):
        speech = compare.build(studios, runs)
    if speakers:
        with gr.Tab("Mix") as tab:
            mix.build(model, speakers, runs, tab)
        with gr.Tab("What it heard") as tab:
            take_along(speech, tab, explain.build(model, speakers, first.syncnet, runs))
    with gr.Tab("Live"):
        live.build(model)
    with gr.Tab("Study"):
        study.build(model)
    with gr.Tab("About"):
        about.build()


def take_along(speech: gr.Audio, tab: gr.Tab, box: gr.Audio) -> None:
    """Copy the Compare tab's ``speech`` into the speech ``box`` of ``tab`` when it is opened, if it is new."""
    taken = gr.State()

    def take(given: str | None, taken: str | None) -> tuple:
        return (given, given) if given and given != taken else (gr.skip(), gr.skip())

    tab.select(take, [speech, taken], [box, taken], **QUIET)


def settings() -> dict[str, Any]:
    """Return what `launch` needs for this page, wherever it is served."""
    return {
        "theme": theme(),
        "css_paths": STYLE,
        "allowed_paths": [str(EXAMPLES)],
        "max_file_size": "30mb",
        # A voice should not stay in the browser either.
        "run_history": False,
        "footer_links": ["api", "settings"],
    }
