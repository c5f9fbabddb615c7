"""Calls in many threads whose results are taken in one, for as long as there is time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from securepip.transport import PARALLEL
from securepip.transport.pool import Pool

T = TypeVar("T")

PATIENCE_SECONDS = 1800.0
"""When nothing at all has come to an end for so long, what is still under way is given up."""

RUN_SECONDS = 6 * 3600.0
"""After so long, what has been read is signed, and the rest left to the next sync.

Servers that let their answers drip, one after the other, could else hold back everybody's
signatures until they expire.
"""


class Work(Generic[T]):
    """The calls of one run."""

    def __init__(self) -> None:
        self._pool = Pool(PARALLEL)
        self._results: SimpleQueue[Callable[[], T]] = SimpleQueue()
        self._deadline = time.monotonic() + RUN_SECONDS
        self.under_way = 0
        """How many calls have no result yet."""

    def submit(self, call: Callable[[], T]) -> None:
        """Call ``call`` in a thread."""
        self.under_way += 1
        self._pool.submit(self._do, call)

    def expect(self) -> Callable[[T], None]:
        """One more result comes from elsewhere: what is returned takes it, in any thread."""
        self.under_way += 1
        return lambda result: self._results.put(lambda: result)

    def results(self) -> Iterator[T]:
        """Each result as it arrives, those of calls that are submitted meanwhile included.

        Ends when nothing is under way any more, or when the time is up: what is still under way
        then is given up. What a call raises is raised here.
        """
        while self.under_way:
            patience = min(PATIENCE_SECONDS, max(self._deadline - time.monotonic(), 0))
            try:
                result = self._results.get(timeout=patience)
            except Empty:
                return
            self.under_way -= 1
            yield result()
            if time.monotonic() > self._deadline:
                return

    def close(self) -> None:
        """Cancel what has not begun; wait for nothing."""
        self._pool.close()

    def _do(self, call: Callable[[], T]) -> None:
        future: Future[T] = Future()
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        self._results.put(future.result)
