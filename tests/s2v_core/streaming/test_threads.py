"""The host's own threads and processes: generation leaves them as they were."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v_core.streaming.threads import one_core_threads

ROOT = Path(__file__).parents[3]
SPEECH = ROOT / "demo" / "examples" / "calm_woman_english.wav"


def in_new_thread() -> int:
    """Return how many threads torch uses in a thread that has just begun."""
    counts: list[int] = []
    thread = Thread(target=lambda: counts.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return counts[0]


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(workers=st.integers(1, 6), pools=st.integers(1, 3))
def test_a_pool_computes_on_one_core_and_others_on_as_many_as_before(workers, pools) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(pools) as hosts:
            counts = hosts.map(_counts_in_pool, [workers] * pools)
        assert {count for found in counts for count in found} == {1}
        assert torch.get_num_threads() == in_new_thread() == 3
    finally:
        torch.set_num_threads(before)


def _counts_in_pool(workers: int) -> list[int]:
    with one_core_threads(workers) as pool:
        tasks = [pool.submit(torch.get_num_threads) for _ in range(3 * workers)]
        return [task.result() for task in tasks]


def settings_of_the_host() -> dict[str, object]:
    """Return what a library may change behind its host's back."""
    return {
        "torch threads": torch.get_num_threads(),
        "of a new thread": in_new_thread(),
        "between operations": torch.get_num_interop_threads(),
        "OpenCV threads": cv2.getNumThreads(),
        "torch rng": torch.get_rng_state().tolist(),
        "numpy rng": np.random.get_state()[1].tolist(),
        "python rng": random.getstate(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "numpy errors": np.geterr(),
        "warnings": list(warnings.filters),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        # None where there is no such folder.
        "open files": len(list(Path("/proc/self/fd").glob("*"))),
    }


def test_the_host_keeps_its_settings(model, tmp_path, three_threads) -> None:
    # What is imported when first used comes first.
    model.generate(SPEECH, tmp_path, methods=["s2f_sdfa"])
    before = settings_of_the_host()
    model.generate(SPEECH, tmp_path, methods=["speech2video", "sdfa"])
    next(model.frames("sdfa", torch.linspace(-0.5, 0.5, 32_000)))
    model.stream().feed(torch.zeros(4_000))
    after = settings_of_the_host()
    assert {name: value for name, value in after.items() if value != before[name]} == {}


FORKING = """
import multiprocessing, sys
import cv2, numpy, torch
import s2v_core

speech, out, picture = sys.argv[1:]
model = s2v_core.load(device="cpu")
model.generate(speech, out)
cv2.GaussianBlur(numpy.zeros((2000, 2000, 3), numpy.uint8), (9, 9), 2)

def make(number):
    cv2.GaussianBlur(numpy.zeros((2000, 2000, 3), numpy.uint8), (9, 9), 2)
    torch.rand(700, 700) @ torch.rand(700, 700)
    made = model.generate(speech, f"{out}/{number}", methods=["sdfa", "speech2video"], reference=picture)
    return [video.frames for video in made]

counts = cv2.getNumThreads(), torch.get_num_threads()
with multiprocessing.get_context("fork").Pool(2) as pool:
    frames = pool.map_async(make, range(3)).get(timeout=120)
assert counts == (cv2.getNumThreads(), torch.get_num_threads())
model.generate(speech, f"{out}/after", methods=["sdfa"], reference=picture)
assert all(found == frames[0] for found in frames) and frames[0][0] > 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_processes_forked_after_generating_generate_too(tmp_path) -> None:
    picture = cv2.imread(str(ROOT / "checkpoints" / "avatars" / "portrait.png"))
    cv2.imwrite(str(tmp_path / "large.jpg"), cv2.resize(picture, None, fx=20, fy=20))
    command = [sys.executable, "-c", FORKING, SPEECH, tmp_path / "out", tmp_path / "large.jpg"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
