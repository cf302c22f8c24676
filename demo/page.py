"""The whole page: what it is, the tabs (a module each), and what a visitor should know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo import widgets
from demo.runs import Runs
from demo.tabs import compare, explain, live, mix, study
from demo.tabs.studio import Studio
from s2v_core.analysis.speakers import Speakers

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

HERE = Path(__file__).parent
CHECK_CACHE_EVERY, FORGET_AFTER = 600, 3600  # seconds
MAX_WAITING = 20  # visitors in the queue before the page says that it is full

TITLE = """
# Speech2Video
Speak, and see a face that says it. Who is speaking and how they feel come from the voice alone.
"""

CONSENT = """
Use voices and faces of people who agreed to it. Every picture is marked as synthetic; please do not
pass it off as a recording. What you give and what is made of it is deleted after about an hour.
"""

ABOUT = """
### What this is
A re-implementation of **Speech2Video** (Si et al., Interspeech 2021,
[arXiv 2107.04806](https://arxiv.org/abs/2107.04806)) with the two methods that its authors compare it
with. The first model set was trained on rendered avatars speaking emotional German and plain English (the
EmoDB and GRID recordings): any other language, microphone or face is new to it. It cannot invent your face:
it recalls the one whose voice is nearest to yours. The real people, where they are offered, are two talkers of
the GRID corpus (Cooke et al. 2006, CC BY 4.0); they never said what they are made to say here.
Pictures are 96 x 128 pixels, stretched here.

### What the numbers say
**Real-time factor:** time taken for each second of speech; below 1 is faster than speaking.
**SSIM** (up to 1) and **PSNR** (dB): likeness to the real video, frame by frame; higher is nearer.
**AV confidence** and **offset:** how surely lips and voice fit, and by how many frames they are apart,
as SyncNet judges it.

### What happens to your voice
Recordings and videos stay on this server for about an hour and are then deleted; nobody else is shown
them, and your browser keeps no history of them. The study stores answers only: no voice, no name, no
address.
"""


def build(model: Speech2Video, *others: Speech2Video) -> gr.Blocks:
    """Lay out the page around loaded models; launch it with `settings`.

    All of them can be compared; the other tabs show what the first one, ``model``, can do.
    """
    page = gr.Blocks(
        title="Speech2Video",
        analytics_enabled=False,
        delete_cache=(CHECK_CACHE_EVERY, FORGET_AFTER),
    )
    jobs, observed = Runs(), Speakers.of(model)
    studios = {m.name: Studio(m, m.model_set.syncnet()) for m in (model, *others)}
    syncnet = studios[model.name].syncnet
    with page:
        gr.Markdown(TITLE, elem_id="title")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Compare"):
                speech = compare.build(studios, jobs)
            if observed:
                with gr.Tab("Mix") as tab:
                    mix.build(model, observed, jobs, tab)
                with gr.Tab("What it heard") as tab:
                    same_speech(tab, speech, explain.build(model, observed, syncnet, jobs))
            with gr.Tab("Live"):
                live.build(model)
            with gr.Tab("Study"):
                study.build(model)
            with gr.Tab("About"):
                gr.Markdown(ABOUT, elem_classes="prose")
        gr.Markdown(CONSENT, elem_id="consent")
        names = " and ".join(f"**{name}**" for name in studios)
        gr.Markdown(f"Faces of {names}, running on **{model.device}**.", elem_id="model")
        page.unload(jobs.leave)
    return page.queue(max_size=MAX_WAITING)


def same_speech(tab: gr.Tab, speech: gr.Audio, box: gr.Audio) -> None:
    """Take the Compare tab's speech along into an empty speech box when ``tab`` is opened."""
    tab.select(
        lambda there, here: gr.skip() if here else there,
        [speech, box],
        box,
        api_visibility="private",
        show_progress="hidden",
    )


def settings() -> dict[str, Any]:
    """What `launch` needs for this page, wherever it is served."""
    return {
        "theme": theme(),
        "css_paths": HERE / "page.css",
        "allowed_paths": [str(widgets.EXAMPLES)],
        "max_file_size": "30mb",
        "run_history": False,  # a voice should not stay in the browser either
        "footer_links": ["api", "settings"],
    }


def theme() -> gr.themes.Base:
    """Return calm colours, one accent, and the visitor's own fonts, so that nothing is fetched."""
    return gr.themes.Base(
        primary_hue="teal",
        neutral_hue="stone",
        radius_size="lg",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_border_width="1px",
        block_shadow="none",
        color_accent="*primary_700",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_label_background_fill="transparent",
        block_label_border_width="0px",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_text_color="white",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
    )
