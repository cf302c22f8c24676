from __future__ import annotations

import threading
import time

import pytest
import torch

from s2v_core.streaming.prefetch import prefetch


@pytest.mark.parametrize("workers", [1, 3])
def test_results_keep_their_order(workers):
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))  # later ones are ready first
        return item * item

    assert list(prefetch(work, iter(range(20)), workers)) == [i * i for i in range(20)]


def test_nothing_is_made_of_nothing():
    assert list(prefetch(str, iter([]), 2)) == []


def test_work_runs_at_the_same_time():
    both = threading.Barrier(2, timeout=10)  # one thread alone would wait for ever
    assert len(list(prefetch(lambda _: both.wait(), iter([1, 2, 3, 4]), 2))) == 4


def test_every_thread_works_with_one_core():
    threads = list(prefetch(lambda _: torch.get_num_threads(), iter([1, 2, 3]), 2))
    assert threads == [1, 1, 1]


def test_few_results_wait_to_be_taken():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    results = prefetch(lambda i: i, items(), 2)
    next(results)
    time.sleep(0.05)
    assert len(taken) <= 2 * 2 + 3
    results.close()


def test_stopping_early_leaves_no_thread():
    before = threading.active_count()
    results = prefetch(lambda i: i, iter(range(1000)), 2)
    next(results)
    results.close()
    assert threading.active_count() == before


def broken_items():
    yield 1
    raise ZeroDivisionError


def test_an_error_of_the_items_comes_through():
    with pytest.raises(ZeroDivisionError):
        list(prefetch(str, broken_items(), 2))


def test_an_error_of_the_work_comes_through():
    results = prefetch(lambda i: 1 // (3 - i), iter(range(9)), 2)
    with pytest.raises(ZeroDivisionError):
        list(results)
    assert threading.active_count() == 1 or all(
        not t.name.startswith("ThreadPool") for t in threading.enumerate()
    )
