"""What the answers of one piece of work may take together: time, and memory for those held.

Each answer has a limit of its own (``watch``); but a resolution asks for hundreds of small files,
and a server could draw out each of them, or have all of them held at the same time.
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
"""What each whole answer adds: the round trips of a slow network."""

EARNING_BYTES_PER_SECOND = 20_000
EARLY_BYTES = 64 << 20
AHEAD_FILES = 1024
AHEAD_SECONDS = 30.0
"""How old an answer may be that was begun before it was known who would ask for it."""


class NoRoomError(Exception):
    """There is no memory for a body that nobody has asked for yet."""


class Allowance:
    """For all threads of one piece of work.

    The clock runs while at least one answer is under way. What is received adds to the time: bytes
    at the rate of a slow network, and a little for each answer that is whole. So a long resolution
    over a bad line has all the time that it needs, and a server that sends nothing has none.

    Args:
        seconds: What is waited for nothing, at most.
        early_bytes: How much of what was fetched early may be in memory.
    """

    def __init__(self, seconds: float = WORK_SECONDS, early_bytes: int = EARLY_BYTES) -> None:
        self._whole = self._seconds = seconds
        self._bytes = early_bytes
        self._active = 0
        self._since = 0.0
        # Memory is given back by the garbage collector too, which may come in between.
        self.lock = threading.RLock()

    def begin(self) -> None:
        """One more answer is under way."""
        with self.lock:
            if not self._active:
                self._since = time.monotonic()
            self._active += 1

    def end(self, received: int, *, whole: bool) -> None:
        """An answer has ended, after so many bytes."""
        with self.lock:
            self._active -= 1
            if not self._active:
                self._seconds -= time.monotonic() - self._since
            self._seconds += received / EARNING_BYTES_PER_SECOND + (ANSWER_SECONDS if whole else 0)

    def left(self) -> float:
        """Seconds that may still be waited."""
        with self.lock:
            spent = time.monotonic() - self._since if self._active else 0.0
            return self._seconds - spent

    def renew(self) -> None:
        """Somebody else is asked now, who has taken none of the time: there is all of it again."""
        with self.lock:
            self._seconds = max(self.left(), self._whole)
            self._since = time.monotonic()

    def take(self, size: int) -> None:
        """Take memory for ``size`` bytes.

        Raises:
            NoRoomError: So much is not left.
        """
        with self.lock:
            if size > self._bytes:
                raise NoRoomError
            self._bytes -= size

    def give_back(self, size: int) -> None:
        """The bytes are held no longer."""
        with self.lock:
            self._bytes += size


def unlimited() -> Allowance:
    """For what is no piece of work: each answer has its own limits only."""
    return Allowance(math.inf)


class Holding:
    """The memory that one early body takes, as it grows."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._size = 0
        self._dropped = False

    def grow(self, size: int) -> None:
        """Take memory for more of it.

        Raises:
            NoRoomError: There is none, or nobody wants the body any more.
        """
        with self._allowance.lock:
            if self._dropped:
                raise NoRoomError
            self._allowance.take(size)
            self._size += size

    def clear(self) -> None:
        """Nothing of it is held: it begins anew, or was given up."""
        with self._allowance.lock:
            self._allowance.give_back(self._size)
            self._size = 0

    def drop(self) -> None:
        """Nobody wants it any more."""
        with self._allowance.lock:
            self.clear()
            self._dropped = True


class Early:
    """A body that is fetched before anybody asks for it. The memory is free when this object is.

    Where the bodies that are held would be too many bytes together, one is dropped, and fetched
    when it is asked for.

    Args:
        fetch: Fetches it; given a ``Holding``, counts it there.
        submit: Runs a function in another thread.
        allowance: What all early bodies share.
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
        """Whether it is known already that there is no body."""
        return self._future.done() and self._future.exception() is not None

    def result(self) -> bytes:
        """The body; waits for it.

        Raises:
            TransportError: As ``Transport.get``.
        """
        try:
            return self._future.result()
        except NoRoomError:
            return self._fetch(None)


class Ahead:
    """Early bodies for whoever asks for their addresses first. From any thread."""

    def __init__(self) -> None:
        self._early: dict[str, tuple[float, Early]] = {}
        self._lock = threading.Lock()

    def begin(self, url: str, begin: Callable[[], Early]) -> None:
        """Have ``begin`` begin the body at ``url``, unless it is on its way already."""
        with self._lock:
            self._drop_old()
            if url not in self._early and len(self._early) < AHEAD_FILES:
                self._early[url] = time.monotonic(), begin()

    def expects(self, url: str) -> bool:
        """Whether there is a body for ``url``, or may be soon."""
        with self._lock:
            self._drop_old()
            return url in self._early and not self._early[url][1].has_failed()

    def take(self, url: str) -> Early | None:
        """The body that was begun for ``url``, which is then the caller's; None where none was."""
        with self._lock:
            self._drop_old()
            found = self._early.pop(url, None)
            return found[1] if found else None

    def _drop_old(self) -> None:
        oldest = time.monotonic() - AHEAD_SECONDS
        for url in [url for url, (since, _) in self._early.items() if since < oldest]:
            del self._early[url]
