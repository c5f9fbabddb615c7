"""One HTTP session for a whole run: parallel, bounded in bytes and time, configured as pip is.

Two rules. Every answer has a limit in bytes, known before the request, and a time budget derived
from it; both are enforced while the bytes arrive. And what cannot be fetched is a
``TransportError`` that names the URL.

A slow server is not an attack (a four-second limit gives false alarms), an endless one is: the
budget is a generous floor plus the time that the allowed bytes take at a rate that any network
reaches (TUF specification, slow retrieval attacks).
"""

from __future__ import annotations

import logging
import math
import re
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import truststore
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse, HTTPResponse
from urllib3.util import Retry

from securepip import __version__
from securepip.errors import TooLargeError, TransportError
from securepip.formats.digests import CHUNK
from securepip.transport.credentials import Credentials
from securepip.transport.pool import Pool
from securepip.transport.urls import file_url_to_path, is_local, redact

GRACE_SECONDS = 120.0
MIN_BYTES_PER_SECOND = 20_000
HEADER_SECONDS = 60.0
RETRY_AFTER_SECONDS = 30.0
PARALLEL = 16
_DRAINED_BYTES = 1 << 16
_DRAIN_SECONDS = 5.0
_MAX_DIGITS = 18
_BROKEN_BODY_RETRIES = 2
_PARTIAL_CONTENT = 206
_UNAUTHORIZED = 401
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

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class TransportOptions:
    """pip's network options, with pip's meaning.

    Attributes:
        timeout: Seconds that connecting, or waiting for the next bytes, may take.
        retries: How often a failed connection or a 429/5xx answer is tried again.
        cert: A PEM file of certificate authorities, instead of the system's.
        client_cert: A PEM file with a client certificate and its key.
        proxy: ``scheme://[user:password@]host:port`` for every request.
        trusted_hosts: ``host`` or ``host:port`` whose TLS certificates are not checked.
        stay_encrypted: Refuse every redirect that leads from https to anything else: for those
            who believe what an encrypted connection brings. Who verifies signatures need not.
        answer_seconds: The longest that one answer may take, whatever its length.
        resume_retries: How often a download that broke off is gone on with.
        keyring: ``auto``, ``disabled``, ``import`` or ``subprocess``: how a keyring is asked.
        named: URLs that the user named, whose credentials are for all of the same origin.
    """

    timeout: float = 15.0
    retries: int = 5
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    stay_encrypted: bool = False
    answer_seconds: float = math.inf
    resume_retries: int = 5
    keyring: str = "disabled"
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A whole answer, held in memory.

    Attributes:
        url: Where it came from in the end, redirects followed.
        status: The HTTP status; 200 for a file.
        headers: Names without regard to case; empty for a file.
        body: The bytes, decoded if they were compressed on the way.
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


class Transport:
    """Fetches URLs (http, https, file) over one ``requests`` session. Safe to share by threads."""

    def __init__(self, options: TransportOptions | None = None) -> None:
        self.options = options or TransportOptions()
        self.traffic = Traffic()
        self._session: requests.Session | None = None
        self._pool = Pool(PARALLEL)
        self._lock = threading.Lock()

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
        deadline = self._deadline(max_bytes)
        for attempt in range(_BROKEN_BODY_RETRIES + 1):
            try:
                with self._open("GET", url, max_bytes, headers, accept, deadline) as found:
                    answer, chunks = found
                    body = b"".join(chunks)
                return Answer(answer.url, answer.status, answer.headers, body)
            except _BrokenBodyError as error:
                if attempt == _BROKEN_BODY_RETRIES:
                    raise error.as_transport_error() from None
        raise AssertionError("unreachable")

    def peek(
        self, url: str, *, headers: Mapping[str, str] | None = None, accept: Iterable[int] = (200,)
    ) -> Answer:
        """Status and headers of the answer to a GET of ``url``, whose body is not read.

        Raises:
            TransportError: There was no answer, or one with another status than those of
                ``accept``.
        """
        with self._open("GET", url, 0, headers, accept, self._deadline(0)) as (answer, _):
            return answer

    def download(
        self,
        url: str,
        into: BinaryIO,
        *,
        max_bytes: int,
        progress: Callable[[int], None] = lambda received: None,
    ) -> None:
        """Write the body of ``url`` into ``into``, an empty seekable file, as it arrives.

        Args:
            url: An http, https or file URL.
            into: Where the bytes go. What it holds after an error is not to be used.
            max_bytes: The longest body that is read.
            progress: Called with the number of bytes of each piece; negative when a broken
                download starts again.

        Raises:
            TooLargeError: The body is longer than ``max_bytes``.
            TransportError: There was no answer, or not a 200.
        """
        deadline = self._deadline(max_bytes)
        validator = ""
        retries = max(0, self.options.resume_retries)
        for attempt in range(retries + 1):
            position = into.tell()
            # As pip: what is compressed already is not compressed again on the way.
            headers = {"Accept-Encoding": "identity"}
            accept: tuple[int, ...] = (200,)
            if position and validator:
                headers |= {"Range": f"bytes={position}-", "If-Range": validator}
                accept = (200, _PARTIAL_CONTENT)
            try:
                with self._open("GET", url, max_bytes, headers, accept, deadline) as found:
                    answer, chunks = found
                    if answer.status == _PARTIAL_CONTENT:
                        _check_range(answer, position, redact(url))
                    elif position:
                        progress(-position)
                        into.seek(0)
                        into.truncate()
                    validator = _validator(answer)
                    for chunk in chunks:
                        if into.tell() + len(chunk) > max_bytes:
                            raise _too_large(redact(url), max_bytes)
                        into.write(chunk)
                        progress(len(chunk))
                return
            except _BrokenBodyError as error:
                if attempt == retries:
                    raise error.as_transport_error() from None
                _log.warning("Connection interrupted while downloading %s.", error.shown)

    def submit(self, function: Callable[[T], R], item: T) -> Future[R]:
        """Run ``function(item)`` in one of the session's threads."""
        return self._pool.submit(function, item)

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
        """Close all connections; downloads still under way are given up."""
        self._pool.close()
        if self._session is not None:
            self._session.close()

    def _deadline(self, max_bytes: int) -> float:
        """When an answer of that length has to be there, all tries together."""
        seconds = GRACE_SECONDS + max_bytes / MIN_BYTES_PER_SECOND
        return time.monotonic() + min(seconds, self.options.answer_seconds)

    @contextmanager
    def _open(
        self,
        method: str,
        url: str,
        max_bytes: int,
        headers: Mapping[str, str] | None,
        accept: Iterable[int],
        deadline: float,
    ) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        if is_local(url):
            with _open_file(url, max_bytes) as opened:
                yield opened
            return
        shown = redact(url)
        self.traffic.add(requests=1)
        try:
            response = self._http().request(
                method,
                url,
                headers=dict(headers or {}),
                stream=True,
                timeout=self.options.timeout,
                allow_redirects=True,
            )
        except _FAILURES as error:
            raise TransportError(
                f"{shown} could not be fetched: {_without_userinfo(_reason(error), url)}",
                url=shown,
                remedy="Check the address, your network and your proxy settings, then try again.",
            ) from None
        with response:
            if response.status_code not in accept:
                self._read_error_page(response, shown)
                raise TransportError(
                    f"{shown} could not be fetched: the server answers "
                    f"{response.status_code} {response.reason or ''}".rstrip()
                    + _why(response),
                    url=shown,
                    status=response.status_code,
                )
            answer = Answer(response.url, response.status_code, response.headers, b"")
            yield answer, self._chunks(response, shown, max_bytes, deadline)

    def _read_error_page(self, response: requests.Response, shown: str) -> None:
        """Read a short one to its end: a connection with a rest on it cannot be used again.

        Every run asks for a next root that is hardly ever there; a new connection for what follows
        would cost one to three round trips.
        """
        deadline = time.monotonic() + _ERROR_PAGE_SECONDS
        with suppress(TransportError, _BrokenBodyError):
            for _ in self._chunks(response, shown, _ERROR_PAGE_BYTES, deadline):
                pass

    def _chunks(
        self, response: requests.Response, shown: str, max_bytes: int, deadline: float
    ) -> Iterator[bytes]:
        announced = response.headers.get("Content-Length", "")
        plain = (
            "Content-Encoding" not in response.headers
            and announced.isdecimal()
            and len(announced) <= _MAX_DIGITS
        )
        if plain and response.request.method == "GET" and int(announced) > max_bytes:
            raise _too_large(shown, max_bytes)
        received = 0
        raw = response.raw
        while True:
            try:
                # read1 returns what has arrived; read would wait for a whole chunk, and a server
                # that sends a byte now and then could hold it for ever.
                chunk = raw.read1(CHUNK, decode_content=True)
            except (urllib3.exceptions.HTTPError, OSError, ssl.SSLError) as error:
                raise _BrokenBodyError(shown, error) from None
            if not chunk:
                # read1 does not notice an early end.
                if plain and response.request.method == "GET" and received < int(announced):
                    raise _BrokenBodyError(shown, EOFError("the connection was closed"))
                return
            received += len(chunk)
            self.traffic.add(received=len(chunk))
            if received > max_bytes:
                raise _too_large(shown, max_bytes)
            if time.monotonic() > deadline:
                raise TransportError(
                    f"{shown} arrives too slowly: {received} bytes so far",
                    url=shown,
                    meaning="A broken network, or a server that wants to keep you waiting.",
                )
            yield chunk

    def _http(self) -> requests.Session:
        with self._lock:
            if self._session is None:
                self._session = _new_session(self.options)
            return self._session


class _BrokenBodyError(Exception):
    """The connection ended in the middle of a body: worth another try."""

    def __init__(self, shown: str, cause: Exception) -> None:
        super().__init__(shown)
        self.shown = shown
        self.cause = cause

    def as_transport_error(self) -> TransportError:
        return TransportError(
            f"{self.shown} broke off while it was fetched: {_reason(self.cause)}",
            url=self.shown,
            remedy="Try again.",
        )


def _validator(answer: Answer) -> str:
    """What says that a file is still the same; "" where nothing does.

    Without it, the rest of a file that has changed meanwhile would be put after the beginning of
    the old one, which nobody signed.
    """
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")


def _check_range(answer: Answer, position: int, shown: str) -> None:
    if not answer.headers.get("Content-Range", "").lower().startswith(f"bytes {position}-"):
        raise TransportError(
            f"{shown} could not be fetched: the server sends another part of it than was asked for",
            url=shown,
            remedy="Try again with --resume-retries 0.",
        )


def _why(response: requests.Response) -> str:
    """Why the server refuses to answer, if it is for want of credentials."""
    if response.status_code != _UNAUTHORIZED:
        return ""
    if "Authorization" in response.request.headers:
        return (
            ": the user name and password that were found (in the address, .netrc or a keyring) "
            "are not right"
        )
    return (
        ": it wants a user name and a password, which may stand in your .netrc file, in a keyring "
        "or in the address"
    )


def _too_large(shown: str, max_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"{shown} is longer than the {max_bytes} bytes that it may have; the rest was not read",
        url=shown,
    )


@contextmanager
def _open_file(url: str, max_bytes: int) -> Iterator[tuple[Answer, Iterator[bytes]]]:
    path = file_url_to_path(url)
    try:
        # Not opened before it is known to be a plain file: a FIFO would wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise TransportError(f"{path} is not a file", url=url)
        stream = path.open("rb")
    except FileNotFoundError:
        raise TransportError(f"{path} does not exist", url=url, status=404) from None
    except OSError as error:
        raise TransportError(f"{path} cannot be read: {error.strerror}", url=url) from None
    with stream:
        yield Answer(url, 200, {}, b""), _file_chunks(stream, url, max_bytes)


def _file_chunks(stream: BinaryIO, url: str, max_bytes: int) -> Iterator[bytes]:
    left = max_bytes
    while chunk := _read(stream, url):
        left -= len(chunk)
        if left < 0:
            raise _too_large(url, max_bytes)
        yield chunk


def _read(stream: BinaryIO, url: str) -> bytes:
    try:
        return stream.read(CHUNK)
    except OSError as error:
        raise TransportError(f"{url} cannot be read: {error.strerror}", url=url) from None


def _new_session(options: TransportOptions) -> requests.Session:
    session = _EncryptedSession() if options.stay_encrypted else requests.Session()
    session.headers["User-Agent"] = f"securepip/{__version__}"
    retry = _Retry(
        total=options.retries,
        backoff_factor=0.25,
        status_forcelist=(429, 500, 502, 503, 504, 520, 524),
        allowed_methods=("GET", "HEAD"),
        raise_on_status=False,
    )
    adapter = _Adapter(_system_trust(options), retry)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.auth = Credentials(options.named, options.keyring, options.trusted_hosts)
    if options.cert:
        session.verify = options.cert
    if options.client_cert:
        session.cert = options.client_cert
    if options.proxy:
        session.proxies = {"http": options.proxy, "https": options.proxy}
        session.trust_env = False
    if options.trusted_hosts:
        insecure = _InsecureAdapter(None, retry)
        for host in options.trusted_hosts:
            session.mount(f"https://{host}/", insecure)
            if ":" not in host:
                session.mount(f"https://{host}:", insecure)
    return session


def _system_trust(options: TransportOptions) -> ssl.SSLContext | None:
    """The operating system's certificate authorities, as pip uses them; None where one is given."""
    if options.cert:
        return None
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class _EncryptedSession(requests.Session):
    """Follows no redirect out of https.

    Not even one that comes back to it later: whoever is on the way in between decides to where.
    """

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        before, after = urlsplit(resp.url), urlsplit(urljoin(resp.url, target))
        if before.scheme == "https" and after.scheme != "https":
            resp.close()
            raise TransportError(
                f"{redact(resp.url)} sends its reader to {redact(after.geturl())}, which is not "
                "encrypted",
                url=redact(resp.url),
                meaning="Anybody on the way could have written what comes from there.",
            )
        return target


class _Retry(Retry):
    """Retries that a server can put off, but not for as long as it likes."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            seconds = super().get_retry_after(response)
        except (urllib3.exceptions.HTTPError, ValueError, OverflowError):
            return None
        return seconds and min(seconds, RETRY_AFTER_SECONDS)


class _Adapter(HTTPAdapter):
    """pip's certificates and retries, and connections whose headers have a time budget."""

    def __init__(self, context: ssl.SSLContext | None, retry: Retry) -> None:
        self._context = context
        super().__init__(
            pool_connections=PARALLEL, pool_maxsize=PARALLEL, max_retries=retry, pool_block=False
        )

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        if response.is_redirect:
            # Or the session would read all of it, and keep it.
            response.raw.drain_conn()
        return response


class _InsecureAdapter(_Adapter):
    """For the hosts that the user declared trusted: TLS without a check of the certificate."""

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        super().cert_verify(conn, url, False, cert)  # type: ignore[no-untyped-call] # requests


@contextmanager
def _watched(connection: HTTPConnection) -> Iterator[None]:
    """Break the connection when the status line and headers do not arrive in time.

    A socket timeout starts again with every byte; a server that sends one now and then would
    never reach it.
    """
    expired = threading.Event()

    def give_up() -> None:
        expired.set()
        if connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(HEADER_SECONDS, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if expired.is_set():
        # The HTTP library takes a broken connection for the end of the headers.
        raise TimeoutError(f"no complete headers within {HEADER_SECONDS:.0f} seconds")


def _limit_drain(response: HTTPResponse) -> HTTPResponse:
    """Let the body of a redirect, or of an answer that is tried again, be read no longer than pays.

    Reading it to its end frees the connection for the next request; but it may have no end.
    """

    def drain() -> None:
        deadline, left = time.monotonic() + _DRAIN_SECONDS, _DRAINED_BYTES
        with suppress(urllib3.exceptions.HTTPError, OSError):
            while left > 0 and time.monotonic() < deadline:
                chunk = response.read1(CHUNK, decode_content=False)
                if not chunk:
                    return
                left -= len(chunk)
        response.close()

    response.drain_conn = drain  # type: ignore[method-assign] # no class of its own to derive from
    return response


class _HTTPConnection(HTTPConnection):
    def getresponse(self) -> Any:
        with _watched(self):
            return _limit_drain(super().getresponse())


class _HTTPSConnection(HTTPSConnection):
    def getresponse(self) -> Any:
        with _watched(self):
            return _limit_drain(super().getresponse())


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


def _without_userinfo(text: str, url: str) -> str:
    """``text``, an error of a library that may quote ``url``, without user name and password."""
    userinfo, at, _ = url.partition("://")[2].partition("/")[0].rpartition("@")
    return text.replace(f"{userinfo}@", "") if at else text


# How urllib3 begins: with the class of its connection and the host, which the URL says already.
_CONNECTION = re.compile(r"^<?\w+\(host=[^)]*\)[^:]*: ")


def _reason(error: BaseException) -> str:
    """The innermost cause, in one line, without the wrapping of four libraries."""
    seen: BaseException = error
    while True:
        inner = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        if not isinstance(inner, BaseException):
            return _CONNECTION.sub("", str(seen)) or type(seen).__name__
        seen = inner
