"""Behind any proxy, and where somebody else has the temporary folder, the page starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.proxies import no_proxies

ROOT = Path(__file__).parents[2]
STARTED = """
from demo.proxies import no_proxies
from demo.visitors import private_files
with private_files(), no_proxies():
    import gradio
    from demo import page
    with gradio.Blocks(analytics_enabled=False) as blocks:
        gradio.Markdown("Here")
    blocks.launch(prevent_thread_lock=True, quiet=True, **page.settings())
    blocks.close()
    print("started")
"""
NAMES = st.sampled_from(["http", "https", "all"]).map("{}_proxy".format)
KEYS = NAMES | NAMES.map(str.upper) | st.sampled_from(["All_Proxy", "no_proxy", "NO_PROXY", "HOME"])
HIDDEN = ("http_proxy", "https_proxy", "all_proxy")
ADDRESSES = st.sampled_from(["http://127.0.0.1:9", "socks5://127.0.0.1:9", "socks://h:1", "x", ""])


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(KEYS, ADDRESSES))
def test_proxies_are_hidden_and_come_back(variables) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for key, value in variables.items():
            patch.setenv(key, value)
        before = dict(os.environ)
        with no_proxies():
            hidden = set(before) - set(os.environ)
            assert hidden == {key for key in before if key.lower() in HIDDEN}
        assert dict(os.environ) == before


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks://h:1"])
def test_the_page_starts_behind_a_proxy_on_a_shared_machine(tmp_path, proxy) -> None:
    # Somebody else's, as far as writing into it goes.
    (tmp_path / "gradio").write_text("taken")
    environment = os.environ | dict.fromkeys(["http_proxy", "HTTPS_PROXY", "all_proxy"], proxy)
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop("GRADIO_TEMP_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.stdout.endswith("started\n"), done.stderr[-2_000:]
    assert {path.name for path in tmp_path.iterdir()} == {"gradio", f"speech2video-{os.getuid()}"}
