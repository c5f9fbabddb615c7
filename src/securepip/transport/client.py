"""One transport for a whole run: parallel, bounded in bytes and in time, configured as pip is.

Two rules. Every answer has a limit in bytes, known before the request, and a time that follows
from it (``watch``). And what cannot be fetched is a ``TransportError`` that names the address.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import BinaryIO, TypeVar

import requests
import urllib3

from securepip.errors import TransportError, UnreachableError
from securepip.redaction import redact
from securepip.transport.allowance import Ahead, Allowance, Early, Holding, unlimited
from securepip.transport.body import (
    BrokenBodyError,
    check_range,
    given_up,
    read_body,
    reason,
    refused,
    too_large,
    validator,
)
from securepip.transport.connections import Session, new_session
from securepip.transport.local_files import open_file
from securepip.transport.options import TransportOptions
from securepip.transport.pool import PARALLEL, Pool
from securepip.transport.urls import asked_as_pip, is_local, site
from securepip.transport.watch import GivenUpError, Watch, Watchdog, deadline_for

_BROKEN_BODY_RETRIES = 2
_PARTIAL_CONTENT = 206
_ERROR_PAGE_BYTES = 64_000
_ERROR_PAGE_SECONDS = 2.0

_log = logging.getLogger(__name__)

# The libraries below let some answers through as errors of their own: an address in a redirect
# that is none, a date that no calendar has.
_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    ValueError,
    OverflowError,
)
_NO_ANSWER = (requests.ConnectionError, requests.Timeout)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Answer:
    """A whole answer, held in memory.

    Attributes:
        url: Where it came from in the end, redirects followed.
        status: The HTTP status; 200 for a file.
        headers: Names without regard to case; empty for a file.
        body: The bytes, unpacked if they were compressed on the way.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Traffic:
    """What a transport has moved so far: requests sent, body bytes received."""

    requests: int = 0
    bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *, requests: int = 0, received: int = 0) -> None:
        """Count, from any thread."""
        with self._lock:
            self.requests += requests
            self.bytes += received

    def take(self) -> tuple[int, int]:
        """What was counted, which is counted from zero again: requests, and bytes."""
        with self._lock:
            taken = self.requests, self.bytes
            self.requests = self.bytes = 0
            return taken


class _Wire:
    """What all views of a transport share."""

    def __init__(self, options: TransportOptions) -> None:
        self.options = options
        self.pool = Pool(PARALLEL)
        self.watchdog = Watchdog()
        self.ahead = Ahead()
        self.lock = threading.Lock()

    @cached_property
    def _session(self) -> Session:
        return new_session(self.options)

    @property
    def session(self) -> Session:
        """Made when something is fetched from the network."""
        with self.lock:
            return self._session

    def close(self) -> None:
        self.pool.close()
        self.watchdog.close()
        if "_session" in self.__dict__:
            self._session.close()


class Transport:
    """Fetches URLs (http, https, file) over one ``requests`` session. Safe to share by threads."""

    def __init__(self, options: TransportOptions | None = None) -> None:
        self.options = options or TransportOptions()
        self.traffic = Traffic()
        self._wire = _Wire(self.options)
        self._allowance = unlimited()
        self._who = ""

    def __reduce__(self) -> tuple[type[Transport], tuple[TransportOptions]]:
        """In another process it is one that is configured alike, with connections of its own."""
        return Transport, (self.options,)

    def __copy__(self) -> Transport:
        """A view of the same transport, of its kind: it shares the connections."""
        view = type(self).__new__(type(self))
        view.__dict__.update(self.__dict__)
        return view

    def within(self, allowance: Allowance) -> Transport:
        """The same transport, for one piece of work, whose answers share an allowance."""
        view = copy.copy(self)
        view._allowance = allowance
        return view

    def renew(self) -> None:
        """Give the piece of work all of its time again: somebody else is asked now."""
        self._allowance.renew()

    def called(self, who: str) -> Transport:
        """The same transport, for what is fetched from ``who``, as people call it."""
        view = copy.copy(self)
        view._who = who
        return view

    def get(
        self,
        url: str,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        accept: Iterable[int] = (200,),
    ) -> Answer:
        """The whole answer to a GET of ``url``.

        Args:
            url: An http, https or file URL.
            max_bytes: The longest body that is read.
            headers: Sent with the request.
            accept: The statuses that are answers and not errors.

        Raises:
            TooLargeError: The body is longer than ``max_bytes``.
            TransportError: There was no answer, or one with another status.
        """
        return self._get(url, max_bytes, headers or {}, tuple(accept), None)

    def early(self, url: str, *, max_bytes: int) -> Early:
        """Begin to GET ``url``, for when somebody asks for its ``result()``.

        What is held of all that was begun early is bounded together (``Allowance``): give this
        object up when the body is not wanted any more.
        """

        def fetch(holding: Holding | None) -> bytes:
            if holding is not None:
                holding.grow(0)  # it may have been given up before its turn came
            return self._get(url, max_bytes, {}, (200,), holding).body

        return Early(fetch, self.submit, self._allowance)

    def begin_ahead(self, url: str, *, max_bytes: int) -> None:
        """As ``early``, where nobody is there yet to hold what it returns; see ``begun_ahead``."""
        self._wire.ahead.begin(url, lambda: self.early(url, max_bytes=max_bytes))

    def expects(self, url: str) -> bool:
        """Whether ``begun_ahead`` may have a body of ``url``."""
        return self._wire.ahead.expects(url)

    def begun_ahead(self, url: str) -> Early | None:
        """What some view of this transport has begun at ``url``; for one caller, and not for long.

        Its limits are those of that view.
        """
        return self._wire.ahead.take(url)

    def peek(
        self, url: str, *, headers: Mapping[str, str] | None = None, accept: Iterable[int] = (200,)
    ) -> Answer:
        """Status and headers of the answer to a GET of ``url``, whose body is not read.

        Raises:
            TransportError: There was no answer, or one with another status than those of
                ``accept``.
        """
        deadline = deadline_for(0, self.options.answer_seconds)
        with self._open(url, 0, headers or {}, tuple(accept), deadline) as (answer, _):
            return answer

    def download(
        self,
        url: str,
        into: BinaryIO,
        *,
        max_bytes: int,
        progress: Callable[[int], None] = lambda received: None,
    ) -> None:
        """Write the body of ``url`` into ``into``, a seekable file, as it arrives.

        As pip: what is compressed already is not compressed again on the way, and what a server
        says of it is passed over.

        Args:
            url: An http, https or file URL.
            into: Where the bytes go; what is before its position is dropped. What it holds after
                an error is not to be used.
            max_bytes: The longest body that is read.
            progress: Called with the number of bytes of each piece; negative when a broken
                download starts again.

        Raises:
            TooLargeError: The body is longer than ``max_bytes``.
            TransportError: There was no answer, or not a 200.
        """
        deadline = deadline_for(max_bytes, self.options.answer_seconds)
        same = ""
        retries = max(0, self.options.resume_retries)
        for attempt in range(retries + 1):
            position = into.tell()
            headers = {"Accept-Encoding": "identity"}
            accept: tuple[int, ...] = (200,)
            if position and same:
                headers |= {"Range": f"bytes={position}-", "If-Range": same}
                accept = (200, _PARTIAL_CONTENT)
            try:
                opened = self._open(url, max_bytes, headers, accept, deadline, unpack=False)
                with opened as (answer, pieces):
                    if answer.status == _PARTIAL_CONTENT:
                        check_range(answer.headers, position, redact(url))
                    elif position:
                        progress(-position)
                        into.seek(0)
                        into.truncate()
                    same = validator(answer.headers)
                    for piece in pieces:
                        if into.tell() + len(piece) > max_bytes:
                            raise too_large(redact(url), max_bytes)
                        into.write(piece)
                        progress(len(piece))
                return
            except BrokenBodyError as error:
                if attempt == retries:
                    raise error.as_transport_error() from None
                _log.warning("Connection interrupted while downloading %s.", error.shown)

    def submit(self, function: Callable[[T], R], item: T) -> Future[R]:
        """Run ``function(item)`` in one of the session's threads."""
        return self._wire.pool.submit(function, item)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """``function`` of each item, in parallel, the results in order.

        The first error is raised when its turn comes, after what had not begun was cancelled.
        """
        futures = [self.submit(function, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; what is still under way is given up."""
        self._wire.close()

    def _get(
        self,
        url: str,
        max_bytes: int,
        headers: Mapping[str, str],
        accept: tuple[int, ...],
        holding: Holding | None,
    ) -> Answer:
        deadline = deadline_for(max_bytes, self.options.answer_seconds)
        for attempt in range(_BROKEN_BODY_RETRIES + 1):
            held = []
            try:
                opened = self._open(url, max_bytes, headers, accept, deadline)
                with opened as (answer, pieces):
                    for piece in pieces:
                        if holding is not None:
                            holding.grow(len(piece))
                        held.append(piece)
                return Answer(answer.url, answer.status, answer.headers, b"".join(held))
            except BrokenBodyError as error:
                if attempt == _BROKEN_BODY_RETRIES:
                    raise error.as_transport_error() from None
                if holding is not None:
                    holding.clear()
        raise AssertionError("unreachable")

    @contextmanager
    def _open(
        self,
        url: str,
        max_bytes: int,
        headers: Mapping[str, str],
        accept: tuple[int, ...],
        deadline: float,
        *,
        unpack: bool = True,
    ) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """One try: the beginning of the answer, and the pieces of its body."""
        if is_local(url):
            with open_file(url, max_bytes) as pieces:
                yield Answer(url, 200, {}, b""), pieces
            return
        shown = redact(url)
        self.traffic.add(requests=1)
        watchdog = self._wire.watchdog
        with watchdog.watch(deadline, self._allowance, self._who or site(url)) as watch:
            try:
                watch.check()
                response = self._wire.session.open(asked_as_pip(url), headers, self.options.timeout)
            except (GivenUpError, *_FAILURES) as error:
                raise _failed(error, watch, shown, max_bytes) from None
            with response:
                if response.status_code not in accept:
                    watchdog.hurry(watch, _ERROR_PAGE_SECONDS)
                    # Every run asks for a next root that is hardly ever there; a connection with a
                    # rest on it cannot be used again, and a new one costs up to three round trips.
                    with suppress(TransportError, BrokenBodyError):
                        for _ in read_body(response, watch, shown, _ERROR_PAGE_BYTES, unpack=False):
                            pass
                    raise refused(response, shown)
                watch.accept(max_bytes)
                answer = Answer(response.url, response.status_code, response.headers, b"")
                pieces = read_body(response, watch, shown, max_bytes, unpack=unpack)
                yield answer, self._counted(pieces)

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.traffic.add(received=len(piece))
            yield piece


def _failed(error: Exception, watch: Watch, shown: str, max_bytes: int) -> TransportError:
    """What is said when there was no answer."""
    if isinstance(error, GivenUpError):
        return given_up(error, watch, shown, max_bytes)
    why = reason(error)
    what = f"{shown} could not be fetched: {why}"
    remedy = "Check the address, your network and your proxy settings, then try again."
    if isinstance(error, _NO_ANSWER):
        if "Read timed out" in why:
            return UnreachableError(
                f"{watch.who} does not answer: {what}",
                url=shown,
                meaning="There is a connection, but the server says nothing on it: it is "
                "overloaded, or something on the way holds its answers back.",
                remedy="Try again later, or give it longer with --timeout SECONDS.",
            )
        if isinstance(error, requests.exceptions.SSLError):
            remedy = (
                "Check this machine's clock, your network, and which certificates are believed "
                "(--cert FILE): a proxy that reads along needs its own there."
            )
        return UnreachableError(f"cannot reach {watch.who}: {what}", url=shown, remedy=remedy)
    return TransportError(what, url=shown, remedy=remedy)
