"""The page behind a proxy: it talks to its visitors only, so no proxy is in its way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# In small or capital letters, as httpx reads them.
NAMES = ("http_proxy", "https_proxy", "all_proxy")


@contextmanager
def no_proxies() -> Iterator[None]:
    """Hide the proxies that the environment names.

    When Gradio is imported, and when it checks that its own address answers, it would otherwise go
    through them; and it fails where they are of a kind that httpx does not know.
    """
    hidden = {key: value for key, value in os.environ.items() if key.lower() in NAMES}
    for key in hidden:
        del os.environ[key]
    try:
        yield
    finally:
        os.environ.update(hidden)
