"""A thread pool for downloads that does not delay the end of the process.

Rule: downloads that are still under way when the command is done are given up. Python joins the
threads of ``concurrent.futures`` when the process ends, so a server that sends a byte now and then
could keep the process running for minutes after its last output, and after Ctrl-C too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

PARALLEL = 16
"""The most answers of one transport that are under way at once."""

T = TypeVar("T")
R = TypeVar("R")


class Pool:
    """Calls functions in at most ``size`` daemon threads.

    It starts a thread when all others are busy, and keeps it.
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
        """Cancel the calls that have not begun, and wait for none."""
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
            del job  # its result may be large, and the next job may never come
            with self._lock:
                self._idle += 1


def _do(future: Future[object], call: Callable[[], object]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)
