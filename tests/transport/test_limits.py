"""The limits of an answer, with a clock that tests set, and the thread that enforces them."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from securepip.transport import allowance as allowances
from securepip.transport import watch as watches
from securepip.transport.allowance import Ahead, Allowance, Early, Holding, NoRoomError, unlimited
from securepip.transport.pool import Pool
from securepip.transport.watch import (
    CountedSocket,
    OutOfTimeError,
    TooManyBytesError,
    Watch,
    Watchdog,
    deadline_for,
    watching,
)

START = 1000.0
_LONG = 60.0
"""Seconds that nobody waits for but where something is wrong, however busy the machine is."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of these modules: ``clock.now``. ``clock.slept`` has the sleeps."""
    found = SimpleNamespace(now=START, slept=[])
    found.monotonic = lambda: found.now
    found.sleep = found.slept.append
    for one in (allowances, watches):
        monkeypatch.setattr(one, "time", found)
    return found


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(_LONG)
    with ours, theirs:
        yield ours, theirs


def watch_of(allowance: Allowance | None = None, seconds: float = 200) -> Watch:
    shared = unlimited() if allowance is None else allowance
    return Watch(START + seconds, shared, "the server", lambda text: None)


# ------------------------------------------------------------- time of many answers


def test_the_clock_runs_while_an_answer_is_under_way_and_what_arrives_earns_time(
    clock: SimpleNamespace,
) -> None:
    allowance = Allowance(10)
    assert allowance.left() == 10
    clock.now = 1005
    allowance.begin()
    clock.now = 1007
    allowance.begin()
    clock.now = 1008
    assert allowance.left() == 7
    allowance.end(0, whole=False)
    assert allowance.left() == 7
    clock.now = 1009
    allowance.end(20_000, whole=True)
    assert allowance.left() == 10 - 4 + 1 + 2
    clock.now = 1100
    assert allowance.left() == 9
    allowance.begin()
    clock.now = 1101
    assert allowance.left() == 8
    allowance.end(40_000, whole=False)
    assert allowance.left() == 10


def test_memory_for_what_is_fetched_early_is_counted_to_the_byte() -> None:
    allowance = Allowance(early_bytes=10)
    one, other = Holding(allowance), Holding(allowance)
    one.clear()
    one.grow(3)
    one.grow(3)
    other.grow(4)
    with pytest.raises(NoRoomError):
        other.grow(1)
    one.clear()
    one.clear()
    with pytest.raises(NoRoomError):
        other.grow(7)
    other.grow(6)
    other.drop()
    with pytest.raises(NoRoomError):
        other.grow(1)
    one.grow(10)
    with pytest.raises(NoRoomError):
        one.grow(1)
    Allowance().take(1)


def test_a_body_without_room_is_fetched_when_it_is_asked_for_and_its_memory_is_given_back() -> None:
    allowance = Allowance(early_bytes=4)
    holdings: list[Holding | None] = []

    def fetch(holding: Holding | None) -> bytes:
        holdings.append(holding)
        if holding is not None:
            holding.grow(4)
        return b"body"

    def submit(function: Callable[[Holding | None], bytes], holding: Holding) -> Future[bytes]:
        future: Future[bytes] = Future()
        try:
            future.set_result(function(holding))
        except NoRoomError as error:
            future.set_exception(error)
        return future

    waits = Early(fetch, lambda function, holding: Future(), allowance)
    assert not waits.has_failed(), "nobody waits to hear it"
    first, second = (Early(fetch, submit, allowance) for _ in range(2))
    assert (first.has_failed(), second.has_failed()) == (False, True)
    assert first.result() == b"body"
    assert len(holdings) == 2
    assert second.result() == b"body"
    assert holdings[2:] == [None]
    del first
    allowance.take(4)


@pytest.mark.parametrize("how", ["begin", "expects", "take"])
def test_an_old_body_is_dropped_whoever_comes_next(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(allowances, "AHEAD_FILES", 1)
    ahead, begun = Ahead(), list[str]()

    def begin(url: str) -> None:
        def early() -> Any:
            begun.append(url)
            return SimpleNamespace(has_failed=lambda: False)

        ahead.begin(url, early)

    for url in ("a", "a", "b"):
        begin(url)
    assert begun == ["a"]
    clock.now += allowances.AHEAD_SECONDS
    assert ahead.expects("a")
    clock.now += 1
    if how == "begin":
        begin("b")
        assert begun == ["a", "b"], "there is room for it"
    elif how == "expects":
        assert not ahead.expects("a")
    else:
        assert ahead.take("a") is None


# -------------------------------------------------------------- time of one answer


def test_an_answer_has_the_time_that_its_bytes_take_and_begins_within_the_grace(
    clock: SimpleNamespace,
) -> None:
    assert deadline_for(100_000, math.inf) == START + 120 + 5
    assert deadline_for(100_000, 3) == START + 3
    watch = watch_of()
    assert watch.due() == START + 120
    assert watch.notice_due() == START + watches.NOTICE_SECONDS
    assert watch.at_most(1000) == 120
    assert watch.at_most(1) == 1
    watch.accept(10)
    assert watch.due() == START + 200
    assert watch.notice_due() == math.inf
    watch.hurry(5)
    watch.hurry(50)
    assert watch.due() == START + 5
    assert watch_of(seconds=7).due() == START + 7
    clock.now += 4.9
    watch.check()
    clock.now = START + 5
    assert watch.at_most(10) == 0.001
    with pytest.raises(OutOfTimeError, match="too slow") as caught:
        watch.check()
    assert not caught.value.together
    clock.now = START
    with pytest.raises(OutOfTimeError):
        watch.check()
    assert not OutOfTimeError().together


def test_what_others_have_waited_counts_where_the_time_is_shared(clock: SimpleNamespace) -> None:
    allowance = Allowance(5)
    allowance.begin()
    watch = watch_of(allowance)
    assert watch.due() == START + 5
    clock.now += 5
    with pytest.raises(OutOfTimeError) as caught:
        watch.check()
    assert caught.value.together


def test_every_raw_byte_counts_up_to_what_the_answer_can_need(clock: SimpleNamespace) -> None:
    watch = watch_of()
    watch.count(1000)
    watch.accept(10)
    watch.count((1 << 20) - 1000)
    watch.count(20)
    assert watch.received == (1 << 20) + 20
    with pytest.raises(TooManyBytesError):
        watch.count(1)
    clock.now += 1000
    with pytest.raises(OutOfTimeError):
        watch.count(0)


@pytest.mark.parametrize("shared", [math.inf, 60.0])
def test_nobody_waits_for_another_try_that_would_come_too_late(
    clock: SimpleNamespace, shared: float
) -> None:
    allowance = Allowance(shared)
    allowance.begin()
    watch = watch_of(allowance)
    most = min(shared, 120)
    watch.pause(most - 1)
    assert clock.slept == [most - 1]
    with pytest.raises(OutOfTimeError) as caught:
        watch.pause(most)
    assert caught.value.together == (shared == 60)
    assert len(clock.slept) == 1


def test_a_connection_is_shut_when_the_time_is_over(
    clock: SimpleNamespace, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    watch = watch_of()
    assert watch.guard(ours) is ours
    assert watch.guard(theirs) is theirs
    watch.expire()
    assert theirs.recv(1) == b""
    with pytest.raises(OutOfTimeError):
        watch.check()
    handles = list(watch._sockets)
    watch.close()
    assert [handle.fileno() for handle in handles] == [-1, -1]
    assert watch._sockets == []
    with pytest.raises(OutOfTimeError):
        watch.guard(ours)
    assert ours.fileno() == -1


def test_what_a_connection_brings_is_counted_as_it_leaves_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    dog = Watchdog()
    with dog.watch(time.monotonic() + 60, unlimited(), "the server") as watch:
        stream = CountedSocket(ours).makefile("rb")
        theirs.sendall(b"answer")
        assert stream.read(6) == b"answer"
        ours.setblocking(False)
        assert stream.read(1) is None
        theirs.shutdown(socket.SHUT_WR)
        assert stream.read() == b""
        assert watch.received == 6
        raw: Any = stream.raw
        stream.close()
        assert raw.closed
        assert raw._raw.closed


# ----------------------------------------------------------------------- watchdog


def test_what_is_watched_shares_the_allowance_while_it_lasts(clock: SimpleNamespace) -> None:
    dog, allowance = Watchdog(), Allowance(10)
    with dog.watch(START + 60, allowance, "one") as one:
        clock.now += 1
        with pytest.raises(ZeroDivisionError), dog.watch(START + 60, allowance, "two") as two:
            assert watching() is two
            two.count(20_000)
            raise ZeroDivisionError
        assert watching() is one
        assert allowance.left() == 10 - 1 + 1
        assert dog._watches == {one}
    assert dog._watches == set()
    assert allowance.left() == 10 - 1 + 1 + 2
    assert watching() is None


def shut_within(seconds: float, theirs: socket.socket) -> bool:
    theirs.settimeout(seconds)
    try:
        return theirs.recv(1) == b""
    except TimeoutError:
        return False


def is_waiting(dog: Watchdog) -> bool:
    """Whether the thread has checked all answers."""
    with dog._changed:
        return dog._wakes > 0


def test_one_thread_shuts_each_connection_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watches, "NOTICE_SECONDS", 300.0)  # nothing else wakes the thread
    before = set(threading.enumerate())
    dog = Watchdog()
    pairs = [socket.socketpair() for _ in range(4)]
    now = time.monotonic()
    begun = []
    for (ours, _), seconds in zip(pairs, (300, 0.1, 0.1, 300), strict=True):
        context = dog.watch(now + seconds, unlimited(), "the server")
        begun.append((context, context.__enter__()))
        with suppress(OutOfTimeError):  # it is over already, and the connection shut
            begun[-1][1].guard(ours)
        while not is_waiting(dog):
            time.sleep(0.001)
    try:
        (thread,) = set(threading.enumerate()) - before
        assert thread.name == "watchdog"
        assert thread.daemon
        assert not shut_within(0.01, pairs[0][1])
        assert shut_within(_LONG, pairs[1][1])
        assert shut_within(_LONG, pairs[2][1])
        assert not shut_within(0.01, pairs[3][1])
        dog.hurry(begun[3][1], 0.05)
        assert shut_within(_LONG, pairs[3][1])
        dog.close()
        assert shut_within(_LONG, pairs[0][1])
    finally:
        for context, _ in reversed(begun):
            context.__exit__(None, None, None)
        for ours, theirs in pairs:
            ours.close()
            theirs.close()


def test_the_thread_ends_when_nothing_is_left_and_another_begins() -> None:
    dog = Watchdog()
    for _ in range(2):
        ours, theirs = socket.socketpair()
        with ours, theirs, dog.watch(time.monotonic() + _LONG, unlimited(), "it") as watch:
            watch.guard(ours)
            dog.hurry(watch, 0.01)
            assert shut_within(_LONG, theirs)
            end = time.monotonic() + _LONG
            while dog._running and time.monotonic() < end:
                time.sleep(0.005)
            assert not dog._running


def test_who_does_not_answer_is_said_once_and_again_when_much_else_was_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watches, "NOTICE_SECONDS", 0.02)
    monkeypatch.setattr(watches, "_MAX_SAID", 2)
    caplog.set_level("INFO", "securepip.waiting")
    dog = Watchdog()
    end = time.monotonic() + 60
    one, same, other = (dog.watch(end, unlimited(), who) for who in ("one", "one", "other"))
    with one, same, other:
        until = time.monotonic() + _LONG
        while len(caplog.messages) < 2 and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(0.05)
    said = "waiting for {}, which does not answer yet".format
    assert sorted(caplog.messages) == [said("one"), said("other")]
    for text in (said("one"), said("third"), said("third"), said("one"), said("other")):
        dog._say(text)
    assert caplog.messages[2:] == [said("third"), said("one"), said("other")]


# --------------------------------------------------------------------------- pool


def test_a_pool_has_as_many_threads_as_it_needs_and_not_more_than_it_may() -> None:
    pool = Pool(2)
    begun, goes_on = threading.Semaphore(0), threading.Event()

    def work(number: int) -> tuple[int, int]:
        begun.release()
        goes_on.wait(_LONG)
        return number, threading.get_ident()

    futures = [pool.submit(work, number) for number in range(3)]
    assert begun.acquire(timeout=_LONG)
    assert begun.acquire(timeout=_LONG)
    assert not begun.acquire(timeout=0.05)
    assert pool._threads == 2
    goes_on.set()
    results = [future.result(_LONG) for future in futures]
    assert begun.acquire(timeout=_LONG)
    assert [number for number, _ in results] == [0, 1, 2]
    assert len({thread for _, thread in results}) == 2
    end = time.monotonic() + _LONG
    while pool._idle < 2 and time.monotonic() < end:
        time.sleep(0.001)
    goes_on.clear()
    again = [pool.submit(work, number) for number in range(3)]
    assert pool._idle == 0
    assert pool._threads == 2
    assert begun.acquire(timeout=_LONG)
    assert begun.acquire(timeout=_LONG)
    pool.close()
    pool.close()
    goes_on.set()
    assert again[0].result(_LONG)
    assert again[1].result(_LONG)
    with pytest.raises(CancelledError):
        again[2].result(_LONG)
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(work, 4)


def test_one_idle_thread_is_used_again_and_daemons_hold_up_no_exit() -> None:
    pool = Pool(3)
    threads = set()
    for _ in range(4):
        threads.add(pool.submit(lambda _: threading.current_thread(), 0).result(_LONG))
        end = time.monotonic() + _LONG
        while not pool._idle and time.monotonic() < end:
            time.sleep(0.001)
    (thread,) = threads
    assert thread.daemon
    assert (pool._threads, pool._idle) == (1, 1)
    pool.close()
    thread.join(_LONG)
    assert not thread.is_alive()


def test_what_fails_in_a_pool_is_raised_where_it_is_asked_for_and_the_thread_goes_on() -> None:
    pool = Pool(1)
    failed = pool.submit(int, "no number")
    with pytest.raises(ValueError, match="no number"):
        failed.result(_LONG)
    goes_on = threading.Event()
    waits = pool.submit(goes_on.wait, _LONG)
    given_up = pool.submit(int, "1")
    assert given_up.cancel()
    goes_on.set()
    assert waits.result(_LONG)
    assert pool.submit(int, "2").result(_LONG) == 2
    pool.close()
