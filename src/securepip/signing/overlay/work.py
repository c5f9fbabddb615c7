"""Calls in many threads whose results are taken in one, for as long as there is time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
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
        self._pending: set[Future[T]] = set()
        self._deadline = time.monotonic() + RUN_SECONDS

    def submit(self, call: Callable[[], T]) -> None:
        """Call ``call``, which raises nothing, in a thread."""
        self._pending.add(self._pool.submit(lambda _: call(), None))

    @property
    def under_way(self) -> int:
        """How many calls have no result yet."""
        return len(self._pending)

    def results(self) -> Iterator[T]:
        """Each result as it arrives, those of calls that are submitted meanwhile included.

        Ends when nothing is under way any more, or when the time is up: what is still under way
        then is given up.
        """
        while self._pending:
            patience = min(PATIENCE_SECONDS, max(self._deadline - time.monotonic(), 0))
            done, self._pending = wait(self._pending, patience, FIRST_COMPLETED)
            for future in done:
                yield future.result()
            if not done or time.monotonic() > self._deadline:
                return

    def close(self) -> None:
        """Cancel what has not begun; wait for nothing."""
        self._pool.close()
