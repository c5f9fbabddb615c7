"""Threads that wait for servers, and that nobody waits for.

Rule: what is still under way when everything has been decided is given up. The threads of
``concurrent.futures`` are joined when the process ends: a server that sends a byte now and then
could hold a person for minutes after the answer was printed, and after Ctrl-C too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

PARALLEL = 16
"""How many answers of one transport are under way at most."""

T = TypeVar("T")
R = TypeVar("R")


class Pool:
    """Calls functions in at most ``size`` daemon threads.

    One is started when all that there are have something to do, and stays.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: SimpleQueue[tuple[Future[object], Callable[[], object]] | None] = SimpleQueue()
        self._threads = self._idle = 0
        self._closed = False
        self._lock = threading.Lock()

    def submit(self, function: Callable[[T], R], item: T) -> Future[R]:
        """Call ``function(item)`` in one of the threads.

        Raises:
            RuntimeError: The pool is closed.
        """
        future: Future[R] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._jobs.put((future, lambda: function(item)))  # type: ignore[arg-type] # its own R
            if self._idle:
                self._idle -= 1
            elif self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._work, name="transport", daemon=True).start()
        return future

    def close(self) -> None:
        """Cancel what has not begun; wait for nothing."""
        with self._lock:
            self._closed = True
            with suppress(Empty):
                while True:
                    job = self._jobs.get_nowait()
                    if job is not None:
                        job[0].cancel()
            for _ in range(self._threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            _do(*job)
            del job  # what it made may be large, and the next one may not come
            with self._lock:
                self._idle += 1


def _do(future: Future[object], call: Callable[[], object]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)
