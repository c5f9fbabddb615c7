"""Waits for the requests that a client sends in the background.

A client prefetches what it may need, and abandons what it does not need. While such requests are
under way, the number of requests that a server has seen is a matter of chance.

A test calls ``all_answered()`` before it counts requests or clears their list. Code that stands in
for a process runs in ``with as_a_process():``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from securepip.transport.pool import Pool

_SECONDS = 120.0
_BEGINNING = "beginning"
"""The name of the thread in which an index prefetches pages."""

T = TypeVar("T")
R = TypeVar("R")

_submit = Pool.submit
_changed = threading.Condition()
_under_way: set[Future[object]] = set()
"""The calls that the pools of this process have begun in this test and not ended."""


def all_answered() -> None:
    """Wait until every call that was begun in this test has ended."""
    _wait_without(frozenset())


@contextmanager
def as_a_process() -> Iterator[None]:
    """At the end, wait for the calls begun inside: nothing of a process goes on after its end."""
    with _changed:
        before = frozenset(_under_way)
    try:
        yield
    finally:
        _wait_without(before)


def forget() -> None:
    """Forget the calls that an earlier test, or the parent process, has begun."""
    global _changed
    _changed = threading.Condition()
    _under_way.clear()


def _wait_without(others: frozenset[Future[object]]) -> None:
    for thread in threading.enumerate():
        if thread.name == _BEGINNING:
            thread.join(_SECONDS)
    with _changed:
        answered = _changed.wait_for(lambda: _under_way <= others, _SECONDS)
    assert answered, "a request that was begun has no answer"


def _noted(self: Pool, function: Callable[[T], R], item: T) -> Future[R]:
    future: Future[R] = _submit(self, function, item)
    with _changed:
        _under_way.add(future)  # type: ignore[arg-type] # whatever its result is
    future.add_done_callback(_ended)
    return future


def _ended(future: Future[R]) -> None:
    with _changed:
        _under_way.discard(future)
        _changed.notify_all()


Pool.submit = _noted  # type: ignore[method-assign] # every pool, whoever made it
os.register_at_fork(after_in_child=forget)
