"""Writes files in threads, a few at a time.

A new file costs the file system some time, and this process little. Rule: a long file is written at
once, so that little is held in memory, and ``wait`` is called before anything relies on the files.
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
    """Writes files in threads.

    Args:
        at_once: How many requests the storage can usefully handle in parallel.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._waiting: deque[Future[Any]] = deque()

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor  # imported only if something is written

        return ThreadPoolExecutor(max(_THREADS, self._at_once), "writing")

    def each(self, ask: Callable[[_A], _R], arguments: Sequence[_A]) -> list[_R]:
        """Call ``ask`` with each argument, in parallel if the storage is slow; the results."""
        if self._at_once == 1 or len(arguments) < 2:
            return list(map(ask, arguments))
        return list(self._threads.map(ask, arguments))

    def submit(self, held: int, write: Callable[..., object], *arguments: Any) -> None:
        """Call ``write`` in a thread, or now if its arguments take much memory.

        Args:
            held: The bytes that the arguments keep in memory.
            write: The function. An error that it raises is raised by ``wait``, or by a later call
                of this method.
            arguments: The arguments of ``write``.
        """
        if held > _LONG:
            write(*arguments)
            return
        self._waiting.append(self._threads.submit(write, *arguments))
        if len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft().result()

    def wait(self) -> None:
        """Return when everything is written; raise the first error, if there was one."""
        from concurrent.futures import wait

        written = list(self._waiting)
        self._waiting.clear()
        wait(written)
        for each in written:
            each.result()

    def end(self) -> None:
        """Give up calls that have not begun, and return when the others have ended."""
        from concurrent.futures import wait

        left = list(self._waiting)
        self._waiting.clear()
        wait([each for each in left if not each.cancel()])
