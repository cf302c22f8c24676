"""The words that the page uses."""

from __future__ import annotations

from demo.names import NAMES, PANELS


def test_every_panel_has_a_name():
    assert set(NAMES) == set(PANELS)
