"""Makes calls in many threads and collects the results in one, until the time is up."""

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
"""The calls that are under way are given up if none of them ends for this long."""

RUN_SECONDS = 6 * 3600.0
"""After this time, a sync signs what it has read, and leaves the rest to the next one.

Otherwise hostile servers that send their answers very slowly could delay all signatures until they
expire.
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
        """Expect one more result that another thread or process produces.

        Returns:
            A function that takes the result, in any thread.
        """
        self.under_way += 1
        return lambda result: self._results.put(lambda: result)

    def results(self) -> Iterator[T]:
        """Yield each result as it arrives, also of calls that are submitted in between.

        It ends when no call is under way, or when the time is up: calls that are still under way
        are then given up. An error that a call raises is raised here.
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
        """Cancel the calls that have not begun. Do not wait for the others."""
        self._pool.close()

    def _do(self, call: Callable[[], T]) -> None:
        future: Future[T] = Future()
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        self._results.put(future.result)
