"""The threads that wait for servers: their number, and the results that they keep."""

from __future__ import annotations

import math
import socket
import threading
import time

import pytest

from securepip.transport import Allowance, watch
from securepip.transport.pool import Pool
from securepip.transport.watch import Watchdog


def test_what_comes_at_once_is_done_at_once_as_far_as_there_may_be_threads() -> None:
    before = threading.active_count()
    pool, together = Pool(8), threading.Barrier(8)
    for _ in range(2):  # also where all threads are there already
        done = [pool.submit(lambda _: together.wait(timeout=60), None) for _ in range(8)]
        assert sorted(each.result() for each in done) == list(range(8))
    waiting = threading.Event()
    held = [pool.submit(waiting.wait, 60) for _ in range(20)]
    assert threading.active_count() < before + 20
    waiting.set()
    assert all(each.result() for each in held)
    pool.close()


def test_all_threads_that_have_nothing_to_do_are_used_again() -> None:
    pool, together = Pool(8), threading.Barrier(2)
    for _ in range(3):
        until = time.monotonic() + 60
        for each in [pool.submit(lambda _: together.wait(60), None) for _ in range(2)]:
            each.result()
        while pool._idle < 2:  # the result is there a moment before its thread is free
            assert time.monotonic() < until
            time.sleep(0.001)
    assert pool._threads == 2
    pool.close()


def test_a_pool_may_be_closed_twice() -> None:
    pool, waiting = Pool(1), threading.Event()
    under_way, later = (pool.submit(waiting.wait, 60) for _ in range(2))
    while not under_way.running():
        time.sleep(0.001)
    pool.close()
    pool.close()
    assert later.cancelled()
    waiting.set()
    assert under_way.result(60)


@pytest.mark.parametrize("silent", [True, False])
def test_the_watchdog_wakes_when_something_is_due_and_says_it_once(
    monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    waits: list[float] = []

    class Noted(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(math.inf if timeout is None else timeout)
            return super().wait(timeout)

    told: list[str] = []
    monkeypatch.setattr(watch, "NOTICE_SECONDS", 0.02 if silent else 60.0)
    watchdog = Watchdog()
    watchdog._changed = Noted()
    here, there = socket.socketpair()
    deadline = time.monotonic() + (30 if silent else 0.2)

    def say(text: str) -> None:
        nonlocal deadline
        told.append(text)
        deadline = time.monotonic() + 0.2
        watched.hurry(0.2)

    monkeypatch.setattr(watchdog, "_say", say)
    with here, there, watchdog.watch(deadline, Allowance(), "company") as watched:
        watched.guard(here)
        assert here.recv(1) == b"", "it was shut"
        assert time.monotonic() >= deadline
    assert max(waits) <= 0.2
    assert told == (["waiting for company, which does not answer yet"] if silent else [])


def test_what_a_server_lets_people_be_told_is_not_remembered_without_end() -> None:
    """It chooses for how many seconds it puts a client off: each time for others."""
    watchdog = Watchdog()
    for number in range(5000):
        watchdog._say(f"example answers 503, trying again in {number} s")
    assert len(watchdog._said) <= 1000
