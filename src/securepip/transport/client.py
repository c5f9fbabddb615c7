"""The transport of a whole run: parallel, bounded in bytes and in time, configured as pip is.

Two rules. Every answer has a limit in bytes, known before the request, and a time limit that
follows from it (``watch``). And every failure is a ``TransportError`` that names the URL.
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

# Some answers make the libraries raise other errors than their own: a redirect to an invalid URL, a
# date that does not exist.
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
    """An answer, held in memory.

    Attributes:
        url: The URL that it came from, after redirects.
        status: The HTTP status; 200 for a local file.
        headers: The headers, by case-insensitive name; empty for a local file.
        body: The body, decompressed; empty if it was not read.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Traffic:
    """Counts the requests that a transport has sent and the body bytes that it has received."""

    requests: int = 0
    bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *, requests: int = 0, received: int = 0) -> None:
        """Count so many more. Any thread may call it."""
        with self._lock:
            self.requests += requests
            self.bytes += received

    def take(self) -> tuple[int, int]:
        """Return the requests and bytes that were counted, and count from zero again."""
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
        """The ``requests`` session, made on first use."""
        with self.lock:
            return self._session

    def close(self) -> None:
        self.pool.close()
        self.watchdog.close()
        if "_session" in self.__dict__:
            self._session.close()


class Transport:
    """Fetches URLs (http, https, file) over one ``requests`` session. Threads may share it.

    ``within`` and ``called`` give views, which share connections and threads with the original.

    Args:
        options: How to connect.
    """

    def __init__(self, options: TransportOptions | None = None) -> None:
        self.options = options or TransportOptions()
        self.traffic = Traffic()
        self._wire = _Wire(self.options)
        self._allowance = unlimited()
        self._who = ""

    def __reduce__(self) -> tuple[type[Transport], tuple[TransportOptions]]:
        """Pickle the options alone: another process gets connections of its own."""
        return Transport, (self.options,)

    def __copy__(self) -> Transport:
        """A view, of the same class."""
        view = type(self).__new__(type(self))
        view.__dict__.update(self.__dict__)
        return view

    def within(self, allowance: Allowance) -> Transport:
        """A view for one piece of work, whose answers share an allowance."""
        view = copy.copy(self)
        view._allowance = allowance
        return view

    def renew(self) -> None:
        """As ``Allowance.renew``."""
        self._allowance.renew()

    def called(self, who: str) -> Transport:
        """A view whose messages call the server ``who``."""
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
            headers: Headers to send with the request.
            accept: The statuses that are not errors.

        Raises:
            TooLargeError: The body is longer than ``max_bytes``.
            TransportError: There was no answer, or one with another status.
        """
        return self._get(url, max_bytes, headers or {}, tuple(accept), None)

    def early(self, url: str, *, max_bytes: int) -> Early:
        """Begin to GET ``url``; the ``result`` of the returned object is the body.

        The object takes memory of the ``Allowance`` until it is deleted.
        """

        def fetch(holding: Holding | None) -> bytes:
            if holding is not None:
                holding.grow(0)  # raises if the caller has deleted the object meanwhile
            return self._get(url, max_bytes, {}, (200,), holding).body

        return Early(fetch, self.submit, self._allowance)

    def begin_ahead(self, url: str, *, max_bytes: int) -> None:
        """As ``early``, but keep the download for a later caller of ``begun_ahead``."""
        self._wire.ahead.begin(url, lambda: self.early(url, max_bytes=max_bytes))

    def expects(self, url: str) -> bool:
        """As ``Ahead.expects``."""
        return self._wire.ahead.expects(url)

    def begun_ahead(self, url: str) -> Early | None:
        """The download of ``url`` that ``begin_ahead`` of any view began; for one caller.

        It counts against the ``Allowance`` of that view, and is dropped after ``AHEAD_SECONDS``.
        """
        return self._wire.ahead.take(url)

    def peek(
        self, url: str, *, headers: Mapping[str, str] | None = None, accept: Iterable[int] = (200,)
    ) -> Answer:
        """The answer to a GET of ``url``, without its body, which is not read.

        Args:
            url: An http, https or file URL.
            headers: Headers to send with the request.
            accept: The statuses that are not errors.

        Raises:
            TransportError: There was no answer, or one with another status.
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

        As in pip, the server is asked not to compress the body, and a ``Content-Encoding`` that it
        sends all the same is ignored. A download that breaks off goes on where it ended, if the
        server supports that.

        Args:
            url: An http, https or file URL.
            into: Takes the bytes, in place of whatever it holds up to its position. After an error
                its contents are not to be used.
            max_bytes: The longest body that is read.
            progress: Called with the number of bytes of each piece, and with a negative number
                when a broken download starts again.

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
        """Run ``function(item)`` in one of the transport's threads."""
        return self._wire.pool.submit(function, item)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Run ``function`` on each item, in parallel, and yield the results in order.

        The first error, in that order, is raised, and the items that have not begun are cancelled.
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
        """Close all connections, and give up what is still under way."""
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
        """Send one request: the answer without its body, and the pieces of the body."""
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
                    # Read the error page, so that the connection can be used again. Every run asks
                    # for a next root, which hardly ever exists, and a new connection costs up to
                    # three round trips.
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
    """The error for a request without an answer."""
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
                "Check this machine's clock, your network, and which certificates are trusted "
                "(--cert FILE): a proxy that intercepts TLS needs its own there."
            )
        return UnreachableError(f"cannot reach {watch.who}: {what}", url=shown, remedy=remedy)
    return TransportError(what, url=shown, remedy=remedy)
