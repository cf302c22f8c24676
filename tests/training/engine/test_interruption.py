"""Signals wait until work is whole; a second one, later, does not."""

from __future__ import annotations

import os
import signal
from threading import Thread

import pytest

from s2v_core.command import TerminationError, run_command
from training.engine import interruption
from training.engine.interruption import held, resumable


@pytest.mark.parametrize("number", interruption.SIGNALS)
def test_a_signal_is_noted_and_passed_on_and_the_handlers_come_back(number) -> None:
    before, passed = [signal.getsignal(n) for n in interruption.SIGNALS], []
    with held(passed.append) as stop:
        assert not stop.requested
        # As a terminal and a parent do for one Ctrl-C.
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert stop.requested
    assert set(passed) == {number}
    assert [signal.getsignal(n) for n in interruption.SIGNALS] == before
    assert isinstance(stop.error(""), TerminationError) == (number == signal.SIGTERM)


def test_a_second_signal_a_while_after_does_not_wait(monkeypatch) -> None:
    monkeypatch.setattr(interruption, "SAME", 0.0)
    with pytest.raises(KeyboardInterrupt, match="twice"), held():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_in_another_thread_nothing_is_held() -> None:
    def work() -> None:
        with held() as stop:
            seen.append(stop.requested)

    seen: list[bool] = []
    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_says_in_one_line_that_it_resumes(capsys, number, status) -> None:
    # A shell's background jobs ignore Ctrl-C, and Python then leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def work() -> None:
        os.kill(os.getpid(), number)

    assert run_command("cpc", lambda: resumable(work)) == status
    assert capsys.readouterr().err == "cpc: interrupted; the same command resumes.\n"
