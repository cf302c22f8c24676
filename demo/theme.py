"""The page's colours and fonts: calm, one accent, and nothing fetched from elsewhere."""

from __future__ import annotations

import gradio as gr

SUBDUED = {"light": "*neutral_600", "dark": "*neutral_400"}
# White is hard to read on any lighter teal, light page or dark.
PRIMARY_BUTTON = {
    "button_primary_background_fill": "*primary_700",
    "button_primary_background_fill_hover": "*primary_800",
    "button_primary_text_color": "white",
    "button_primary_background_fill_dark": "*primary_700",
    "button_primary_background_fill_hover_dark": "*primary_800",
}


def theme() -> gr.themes.Base:
    """Return the theme, with the visitor's own fonts."""
    base = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="stone",
        radius_size="lg",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return base.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_border_width="1px",
        block_shadow="none",
        color_accent="*primary_700",
        body_text_color_subdued=SUBDUED["light"],
        body_text_color_subdued_dark=SUBDUED["dark"],
        block_info_text_color=SUBDUED["light"],
        block_info_text_color_dark=SUBDUED["dark"],
        block_label_background_fill="transparent",
        block_label_border_width="0px",
        **PRIMARY_BUTTON,
    )
