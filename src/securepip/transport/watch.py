"""Limits the time and the raw bytes of an answer, whatever the HTTP libraries do with them.

Rule: no library that reads an answer decides when it has read enough. Whatever a server sends
(endless headers, chunk sizes, trailers, compressed zeros), every byte is counted as it leaves the
socket, and one thread shuts the connections of an answer when its time is over. Redirects and
retries are part of the answer: they get no time of their own.

A slow server is not an attack (a four-second limit gave others false alarms), an endless answer is.
So the limit is a generous grace time plus what the allowed bytes take at a rate that any network
reaches (TUF specification, slow retrieval attacks).
"""

from __future__ import annotations

import io
import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from securepip.transport.allowance import Allowance

GRACE_SECONDS = 120.0
"""The time that any answer may take, and that its body may take to begin."""

MIN_BYTES_PER_SECOND = 20_000
SLACK_BYTES = 1 << 20
"""Bytes beyond the body: headers, chunk sizes, redirects and retries."""

NOTICE_SECONDS = 3.0
"""After this time without an answer a person is told which server is waited for."""

_MAX_SAID = 1000

_waiting = logging.getLogger("securepip.waiting")
_here = threading.local()


class GivenUpError(Exception):
    """An answer took more than it may.

    It is no error of a library's kind, so that no library catches it and tries again.
    """


class OutOfTimeError(GivenUpError):
    """It took too long.

    Args:
        together: Whether the time of the whole piece of work is over (``Allowance``).
    """

    def __init__(self, *, together: bool = False) -> None:
        super().__init__("too slow")
        self.together = together


class TooManyBytesError(GivenUpError):
    """There were more raw bytes than the body can need."""


def deadline_for(max_bytes: int, longest: float) -> float:
    """When an answer must be complete, with all its retries (monotonic seconds).

    Args:
        max_bytes: The longest body that it may have.
        longest: The most seconds that it may take, whatever its length.
    """
    return time.monotonic() + min(GRACE_SECONDS + max_bytes / MIN_BYTES_PER_SECOND, longest)


class Watch:
    """What one answer may still take.

    Args:
        deadline: When it must be complete (monotonic seconds).
        allowance: The time that it shares with the other answers of its piece of work.
        who: What messages call the server.
        tell: Shows a message to a person, each message once.
    """

    def __init__(
        self, deadline: float, allowance: Allowance, who: str, tell: Callable[[str], None]
    ) -> None:
        now = time.monotonic()
        self.who = who
        self.tell = tell
        self.received = 0
        self.began = now
        self._deadline = deadline
        self._until = min(deadline, now + GRACE_SECONDS)
        self._notice = now + NOTICE_SECONDS
        self._allowance = allowance
        self._left = SLACK_BYTES
        self._sockets: list[socket.socket] = []
        self._expired = False
        self._lock = threading.Lock()

    def guard(self, connected: socket.socket) -> socket.socket:
        """Shut this connection when the time is over.

        It keeps a second handle, because the TLS handshake detaches the first one, and a malicious
        server can delay the handshake too.

        Raises:
            OutOfTimeError: The time is over already. The connection is closed.
        """
        handle = socket.fromfd(connected.fileno(), connected.family, connected.type)
        with self._lock:
            self._sockets.append(handle)
        try:
            self.check()
        except OutOfTimeError:
            connected.close()
            raise
        return connected

    def count(self, received: int) -> None:
        """Count raw bytes.

        Raises:
            OutOfTimeError: The time is over.
            TooManyBytesError: There are more than the answer can need.
        """
        self.check()
        self.received += received
        self._left -= received
        if self._left < 0:
            raise TooManyBytesError

    def check(self) -> None:
        """Check that there is time left. A connection that was shut looks like the body's end.

        Raises:
            OutOfTimeError: There is none.
        """
        if self._expired or self.due() <= time.monotonic():
            self._expired = True
            raise OutOfTimeError(together=self._allowance.left() <= 0)

    def accept(self, max_bytes: int) -> None:
        """Allow the body of an answer that has begun.

        Args:
            max_bytes: Its longest length. Twice as many raw bytes are allowed, for small chunks.
        """
        self._until, self._notice = self._deadline, math.inf
        self._left += 2 * max_bytes

    def at_most(self, seconds: float) -> float:
        """``seconds``, or the time that is left if that is less."""
        return min(seconds, max(self.due() - time.monotonic(), 0.001))

    def pause(self, seconds: float) -> None:
        """Wait before another try.

        Raises:
            OutOfTimeError: The time would be over before that.
        """
        if time.monotonic() + seconds >= self.due():
            raise OutOfTimeError(together=self._allowance.left() <= seconds)
        time.sleep(seconds)

    def hurry(self, seconds: float) -> None:
        """Allow the rest of the answer at most so many seconds."""
        self._until = min(self._until, time.monotonic() + seconds)

    def due(self) -> float:
        """When the time is over (monotonic seconds). Other answers may add time until then."""
        return min(self._until, time.monotonic() + self._allowance.left())

    def notice_due(self) -> float:
        """When to tell a person which server is waited for (monotonic seconds)."""
        return self._notice

    def noticed(self) -> None:
        """Note that a person was told."""
        self._notice = math.inf

    def expire(self) -> None:
        """Shut all connections, so that threads that read from them go on."""
        with self._lock:
            self._expired = True
            for handle in self._sockets:
                with suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the handles; the answer is over."""
        with self._lock:
            for handle in self._sockets:
                handle.close()
            self._sockets.clear()


class Watchdog:
    """The thread that enforces the watches of all answers that are under way."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: set[Watch] = set()
        self._said: set[str] = set()
        self._wakes = 0.0
        self._running = False

    @contextmanager
    def watch(self, deadline: float, allowance: Allowance, who: str) -> Iterator[Watch]:
        """Watch over what this thread fetches while the ``with`` lasts; see ``Watch``."""
        before = getattr(_here, "watch", None)
        watch = Watch(deadline, allowance, who, self._say)
        self._add(watch)
        _here.watch = watch
        whole = False
        allowance.begin()
        try:
            yield watch
            whole = True
        finally:
            _here.watch = before
            with self._changed:
                self._watches.discard(watch)
            allowance.end(watch.received, whole=whole)
            watch.close()

    def hurry(self, watch: Watch, seconds: float) -> None:
        """As ``Watch.hurry``."""
        watch.hurry(seconds)
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Shut the connections of all answers that are still under way."""
        with self._changed:
            for watch in self._watches:
                watch.expire()

    def _say(self, text: str) -> None:
        # If sixteen requests to one server fail at once, a person sees one message.
        with self._changed:
            if text in self._said:
                return
            if len(self._said) == _MAX_SAID:  # a server can make each message differ (Retry-After)
                self._said.clear()
            self._said.add(text)
        _waiting.info("%s", text)

    def _add(self, watch: Watch) -> None:
        with self._changed:
            self._watches.add(watch)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="watchdog", daemon=True).start()
            elif min(watch.due(), watch.notice_due()) < self._wakes:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            slow = []
            with self._changed:
                now, self._wakes = time.monotonic(), math.inf
                for watch in list(self._watches):
                    if watch.due() <= now:
                        watch.expire()
                        self._watches.discard(watch)
                        continue
                    if watch.notice_due() <= now:
                        slow.append(watch)
                        watch.noticed()
                    self._wakes = min(self._wakes, watch.due(), watch.notice_due())
                if not self._watches:
                    self._running = False
                    return
                if not slow:
                    self._changed.wait(max(self._wakes - now, 0.0))
            for watch in slow:  # without the lock: printing may block
                watch.tell(f"waiting for {watch.who}, which does not answer yet")


def watching() -> Watch:
    """The watch over what this thread fetches."""
    watch: Watch = _here.watch
    return watch


class CountedSocket:
    """A socket for ``http.client`` that counts each byte that is read from it.

    Args:
        connected: A connected socket, perhaps with TLS.
    """

    def __init__(self, connected: Any) -> None:
        self._connected = connected

    def makefile(self, mode: str) -> io.BufferedReader:
        """The counted stream that ``http.client`` reads the whole answer from."""
        return io.BufferedReader(_Counted(self._connected.makefile(mode, buffering=0)))


class _Counted(io.RawIOBase):
    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        received: int | None = self._raw.readinto(buffer)
        watching().count(received or 0)
        return received

    def close(self) -> None:
        self._raw.close()
        super().close()
