"""The time and the raw bytes that an answer may take, watched over from outside.

Rule: no library that reads an answer decides when it has read enough. Whatever a server sends
(headers without end, chunk sizes, trailers, a compressed nothing), every byte is counted as it
leaves the socket, and one thread shuts the connections of an answer when its time is over. Its
redirects and its further tries are part of the answer: they get no time of their own.

A slow server is not an attack (a four-second limit gives false alarms), an endless one is: the
time is a generous floor plus what the allowed bytes take at a rate that any network reaches (TUF
specification, slow retrieval attacks).
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
"""What any answer may take, and how long each of its bodies may take to begin."""

MIN_BYTES_PER_SECOND = 20_000
SLACK_BYTES = 1 << 20
"""Headers, redirects, answers that are tried again, and what a body has around it."""

NOTICE_SECONDS = 3.0
"""After so long a person is told what is waited for."""

_MAX_SAID = 1000

_waiting = logging.getLogger("securepip.waiting")
_here = threading.local()


class GivenUpError(Exception):
    """An answer took more than it may; not for the libraries in between, which would try again."""


class OutOfTimeError(GivenUpError):
    """It took too long.

    Args:
        together: Whether the time of all answers of its piece of work is over.
    """

    def __init__(self, *, together: bool = False) -> None:
        super().__init__("too slow")
        self.together = together


class TooManyBytesError(GivenUpError):
    """There were more raw bytes than its body can need."""


def deadline_for(max_bytes: int, longest: float = math.inf) -> float:
    """When an answer of that length has to be there, all tries together (monotonic seconds)."""
    return time.monotonic() + min(GRACE_SECONDS + max_bytes / MIN_BYTES_PER_SECOND, longest)


class Watch:
    """What one answer may still take.

    Args:
        deadline: When it has to be whole (monotonic seconds).
        allowance: What it shares with the other answers of its piece of work.
        who: Who is asked, for people.
        tell: Tells a person who does not answer; the same words once.
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
        """Shut this connection too when the time is over; closed at once where it is.

        A second handle is kept: TLS takes the first one away while it shakes hands, which a
        server can draw out as well.

        Raises:
            OutOfTimeError: It is over.
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
            TooManyBytesError: They are more than the answer can need.
        """
        self.check()
        self.received += received
        self._left -= received
        if self._left < 0:
            raise TooManyBytesError

    def check(self) -> None:
        """Go on, if there is time.

        Raises:
            OutOfTimeError: There is none. A connection that was shut looks like a body's end.
        """
        if self._expired or self.due() <= time.monotonic():
            self._expired = True
            raise OutOfTimeError(together=self._allowance.left() <= 0)

    def accept(self, max_bytes: int) -> None:
        """The answer has begun: ``max_bytes`` may follow (raw twice that, in small chunks)."""
        self._until, self._notice = self._deadline, math.inf
        self._left += 2 * max_bytes

    def at_most(self, seconds: float) -> float:
        """``seconds``, or what is left where that is less."""
        return min(seconds, max(self.due() - time.monotonic(), 0.001))

    def pause(self, seconds: float) -> None:
        """Wait before another try.

        Raises:
            OutOfTimeError: The time would be over then.
        """
        if time.monotonic() + seconds >= self.due():
            raise OutOfTimeError(together=self._allowance.left() <= seconds)
        time.sleep(seconds)

    def hurry(self, seconds: float) -> None:
        """The rest has so many seconds at most."""
        self._until = min(self._until, time.monotonic() + seconds)

    def due(self) -> float:
        """When the time is over, as far as is known now: others may earn more of it."""
        return min(self._until, time.monotonic() + self._allowance.left())

    def unsaid(self) -> float:
        """When a person should hear who is waited for."""
        return self._notice

    def said(self) -> None:
        """A person has heard it."""
        self._notice = math.inf

    def expire(self) -> None:
        """Shut all connections; whoever reads from them finds out."""
        with self._lock:
            self._expired = True
            for handle in self._sockets:
                with suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The answer is over."""
        with self._lock:
            for handle in self._sockets:
                handle.close()
            self._sockets.clear()


class Watchdog:
    """The thread that looks after all answers which are under way."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: set[Watch] = set()
        self._said: set[str] = set()
        self._wakes = 0.0
        self._running = False

    @contextmanager
    def watch(self, deadline: float, allowance: Allowance, who: str) -> Iterator[Watch]:
        """Look after what this thread fetches while the ``with`` lasts; see ``Watch``."""
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
        # Of sixteen requests to one server that fail at once, one is told, and each further wait.
        with self._changed:
            if text in self._said:
                return
            if len(self._said) == _MAX_SAID:  # a server chooses for how long it puts us off
                self._said.clear()
            self._said.add(text)
        _waiting.info("%s", text)

    def _add(self, watch: Watch) -> None:
        with self._changed:
            self._watches.add(watch)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="watchdog", daemon=True).start()
            elif min(watch.due(), watch.unsaid()) < self._wakes:
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
                    if watch.unsaid() <= now:
                        slow.append(watch)
                        watch.said()
                    self._wakes = min(self._wakes, watch.due(), watch.unsaid())
                if not self._watches:
                    self._running = False
                    return
                if not slow:
                    self._changed.wait(max(self._wakes - now, 0.0))
            for watch in slow:  # without the lock: who prints may have to wait
                watch.tell(f"waiting for {watch.who}, which does not answer yet")


def watching() -> Watch:
    """The watch over what this thread fetches."""
    watch: Watch = _here.watch
    return watch


class CountedSocket:
    """What ``http.client`` takes for a socket: each byte that it reads is counted.

    Args:
        connected: A socket, perhaps with TLS.
    """

    def __init__(self, connected: Any) -> None:
        self._connected = connected

    def makefile(self, mode: str) -> io.BufferedReader:
        """The stream that the whole answer is read from."""
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
