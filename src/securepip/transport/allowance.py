"""Limits for all answers of one piece of work together: their time, and the memory they take.

Each answer has a time limit of its own (``watch``). But a resolution asks for hundreds of small
files, and a malicious server could delay each of them up to that limit, or make the client hold all
of them in memory at once.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future

WORK_SECONDS = 300.0
ANSWER_SECONDS = 2.0
"""The seconds that each complete answer adds: the round trips of a slow network."""

EARNING_BYTES_PER_SECOND = 20_000
EARLY_BYTES = 64 << 20
AHEAD_FILES = 1024
AHEAD_SECONDS = 30.0
"""How long a download of ``Ahead`` is kept for somebody to take it."""


class NoRoomError(Exception):
    """There is no memory left for a body that was fetched early."""


class Allowance:
    """The time and memory that all threads of one piece of work share.

    The clock runs while at least one answer is under way. Received data adds time: each byte at the
    rate of a slow network, and each complete answer a little. So a long resolution over a bad line
    has all the time that it needs, and a server that sends nothing uses up the time.

    Args:
        seconds: The time in the beginning.
        early_bytes: The most bytes of early downloads that are held in memory.
    """

    def __init__(self, seconds: float = WORK_SECONDS, early_bytes: int = EARLY_BYTES) -> None:
        self._whole = self._seconds = seconds
        self._bytes = early_bytes
        self._active = 0
        self._since = 0.0
        # The garbage collector may call `give_back` in a thread that holds the lock already.
        self.lock = threading.RLock()

    def begin(self) -> None:
        """Note that one more answer is under way."""
        with self.lock:
            if not self._active:
                self._since = time.monotonic()
            self._active += 1

    def end(self, received: int, *, whole: bool) -> None:
        """Note that an answer has ended.

        Args:
            received: Its bytes.
            whole: Whether it was complete.
        """
        with self.lock:
            self._active -= 1
            if not self._active:
                self._seconds -= time.monotonic() - self._since
            self._seconds += received / EARNING_BYTES_PER_SECOND + (ANSWER_SECONDS if whole else 0)

    def left(self) -> float:
        """The seconds that are left."""
        with self.lock:
            spent = time.monotonic() - self._since if self._active else 0.0
            return self._seconds - spent

    def renew(self) -> None:
        """Give all of the time again, because another server is asked from now on."""
        with self.lock:
            self._seconds = max(self.left(), self._whole)
            self._since = time.monotonic()

    def take(self, size: int) -> None:
        """Take memory for ``size`` bytes.

        Raises:
            NoRoomError: There is not so much left.
        """
        with self.lock:
            if size > self._bytes:
                raise NoRoomError
            self._bytes -= size

    def give_back(self, size: int) -> None:
        """Give the memory of ``size`` bytes back."""
        with self.lock:
            self._bytes += size


def unlimited() -> Allowance:
    """An allowance without a time limit: each answer then has only its own."""
    return Allowance(math.inf)


class Holding:
    """The memory of one early body, which grows as the body arrives."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._size = 0
        self._dropped = False

    def grow(self, size: int) -> None:
        """Take memory for ``size`` more bytes of the body.

        Raises:
            NoRoomError: There is none left, or ``drop`` was called.
        """
        with self._allowance.lock:
            if self._dropped:
                raise NoRoomError
            self._allowance.take(size)
            self._size += size

    def clear(self) -> None:
        """Give all of its memory back."""
        with self._allowance.lock:
            self._allowance.give_back(self._size)
            self._size = 0

    def drop(self) -> None:
        """Give all of its memory back, and take none from now on."""
        with self._allowance.lock:
            self.clear()
            self._dropped = True


class Early:
    """A body that is fetched before it is asked for. Its memory is freed with this object.

    A body for which there is no memory left is dropped, and fetched again by ``result``.

    Args:
        fetch: Fetches the body. It takes the memory from the ``Holding``; None means no limit.
        submit: Runs a function in another thread.
        allowance: Holds the memory that all early bodies share.
    """

    def __init__(
        self,
        fetch: Callable[[Holding | None], bytes],
        submit: Callable[[Callable[[Holding | None], bytes], Holding], Future[bytes]],
        allowance: Allowance,
    ) -> None:
        holding = Holding(allowance)
        self._fetch = fetch
        self._future = submit(fetch, holding)
        weakref.finalize(self, holding.drop).atexit = False

    def has_failed(self) -> bool:
        """Whether the download has failed already."""
        return self._future.done() and self._future.exception() is not None

    def result(self) -> bytes:
        """Wait for the body.

        Raises:
            TransportError: As ``Transport.get``.
        """
        try:
            return self._future.result()
        except NoRoomError:
            return self._fetch(None)


class Ahead:
    """Early bodies by URL, for the first caller that takes them. Safe to use from any thread."""

    def __init__(self) -> None:
        self._early: dict[str, tuple[float, Early]] = {}
        self._lock = threading.Lock()

    def begin(self, url: str, begin: Callable[[], Early]) -> None:
        """Call ``begin`` for ``url``, unless its download was begun already or there are many."""
        with self._lock:
            self._drop_old()
            if url not in self._early and len(self._early) < AHEAD_FILES:
                self._early[url] = time.monotonic(), begin()

    def expects(self, url: str) -> bool:
        """Whether a download of ``url`` was begun and has not failed yet."""
        with self._lock:
            self._drop_old()
            return url in self._early and not self._early[url][1].has_failed()

    def take(self, url: str) -> Early | None:
        """Remove and return the download of ``url``; None if there is none."""
        with self._lock:
            self._drop_old()
            _, early = self._early.pop(url, (0.0, None))
            return early

    def _drop_old(self) -> None:
        oldest = time.monotonic() - AHEAD_SECONDS
        for url in [url for url, (since, _) in self._early.items() if since < oldest]:
            del self._early[url]
