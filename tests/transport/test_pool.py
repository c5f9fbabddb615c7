"""Threads that wait for servers: as many as have something to do, and what they remember."""

from __future__ import annotations

import threading
import time

from securepip.transport.pool import Pool
from securepip.transport.watch import Watchdog


def test_a_thread_that_has_nothing_to_do_is_used_before_another_one_is_started() -> None:
    pool, threads = Pool(64), set[int]()
    for turn in range(64):
        pool.submit(lambda _: threads.add(threading.get_ident()), None).result()
        if turn % 8 == 0:
            time.sleep(0.001)  # the result is there a moment before its thread is free
    pool.close()
    assert len(threads) < 16


def test_what_comes_at_once_is_done_at_once_as_far_as_there_may_be_threads() -> None:
    before = threading.active_count()
    pool, together = Pool(8), threading.Barrier(8)
    for _ in range(2):  # also where all threads are there already
        done = [pool.submit(lambda _: together.wait(timeout=10), None) for _ in range(8)]
        assert sorted(each.result() for each in done) == list(range(8))
    waiting = threading.Event()
    held = [pool.submit(waiting.wait, 10) for _ in range(20)]
    assert threading.active_count() < before + 20
    waiting.set()
    assert all(each.result() for each in held)
    pool.close()


def test_what_a_server_lets_people_be_told_is_not_remembered_without_end() -> None:
    """It chooses for how many seconds it puts a client off: each time for others."""
    watchdog = Watchdog()
    for number in range(5000):
        watchdog._say(f"example answers 503, trying again in {number} s")
    assert len(watchdog._said) <= 1000
