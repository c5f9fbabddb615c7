"""What a client has begun and nobody has waited for: a test that looks at it waits first.

A client asks early for what it may need, and gives up what it does not. Until that has its answer,
or is not begun any more, the number of requests that a server has seen is a matter of chance.

``all_answered()`` before requests are counted, or forgotten; ``with as_a_process():`` around what
runs here in the place of a process.
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
"""The name of the thread in which an index asks for pages before anybody needs them."""

T = TypeVar("T")
R = TypeVar("R")

_submit = Pool.submit
_changed = threading.Condition()
_under_way: set[Future[object]] = set()
"""All that any pool of this process has begun since the test began."""


def all_answered() -> None:
    """Wait until all that was begun in this test has its answer."""
    _wait_without(frozenset())


@contextmanager
def as_a_process() -> Iterator[None]:
    """Wait in the end for what is begun here: when a process has ended, nothing of it goes on."""
    with _changed:
        before = frozenset(_under_way)
    try:
        yield
    finally:
        _wait_without(before)


def forget() -> None:
    """Wait no more for what an earlier test has begun, or the process that this one comes from."""
    global _changed
    _changed = threading.Condition()
    _under_way.clear()


def _wait_without(others: frozenset[Future[object]]) -> None:
    for thread in threading.enumerate():
        if thread.name == _BEGINNING:
            thread.join(_SECONDS)
    with _changed:
        answered = _changed.wait_for(lambda: _under_way <= others, _SECONDS)
    assert answered, "what was begun has no answer"


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
