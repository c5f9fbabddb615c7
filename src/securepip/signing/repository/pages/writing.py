"""Files that are written a few at a time, in threads.

A new file takes a file system some time and this process little. Rule: what is long is written at
once, so that little is held in memory, and ``wait`` is reached before anything relies on the files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_A = TypeVar("_A")
_R = TypeVar("_R")

_THREADS = 4
_MOST_WAITING = 64
_LONG = 256 << 10


class Writing:
    """What is being written.

    Args:
        at_once: How many requests to the storage are worth having under way.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._waiting: deque[Future[Any]] = deque()

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor  # not for who writes nothing

        return ThreadPoolExecutor(max(_THREADS, self._at_once), "writing")

    def each(self, ask: Callable[[_A], _R], arguments: Sequence[_A]) -> list[_R]:
        """What ``ask`` says of each, which is asked side by side where answers take their time."""
        if self._at_once == 1 or len(arguments) < 2:
            return list(map(ask, arguments))
        return list(self._threads.map(ask, arguments))

    def submit(self, held: int, write: Callable[..., object], *arguments: Any) -> None:
        """Call ``write``, soon or now.

        Args:
            held: The bytes that its arguments keep in memory.
            write: Raises what ``wait``, or a later call of this, raises.
            arguments: Its own.
        """
        if held > _LONG:
            write(*arguments)
            return
        self._waiting.append(self._threads.submit(write, *arguments))
        if len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft().result()

    def wait(self) -> None:
        """Return when all is written; raise the first error then."""
        from concurrent.futures import wait

        written = list(self._waiting)
        self._waiting.clear()
        wait(written)
        for each in written:
            each.result()

    def end(self) -> None:
        """Return when nothing is being written: what has not begun is given up."""
        from concurrent.futures import wait

        left = list(self._waiting)
        self._waiting.clear()
        wait([each for each in left if not each.cancel()])
