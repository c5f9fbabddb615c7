"""Reads the body of an answer in pieces: bounded, decompressed, and checked for its end.

Rule: this module turns every way in which a body can be wrong into an error that names the URL.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping

import requests
import urllib3

from securepip.errors import TooLargeError, TooSlowError, TransportError
from securepip.formats.digests import CHUNK
from securepip.redaction import redact
from securepip.transport.decoding import DecodingError, decoded
from securepip.transport.watch import GivenUpError, OutOfTimeError, Watch

_MAX_DIGITS = 18
_UNAUTHORIZED = 401
_CONNECTION = re.compile(r"^<?\w+\(host=[^)]*\)[^:]*: ")


class BrokenBodyError(Exception):
    """The connection ended in the middle of a body: worth another try."""

    def __init__(self, shown: str, cause: Exception) -> None:
        super().__init__(shown)
        self.shown = shown
        self.cause = cause

    def as_transport_error(self) -> TransportError:
        """The error that is raised after the last try."""
        return TransportError(
            f"{self.shown} broke off while it was fetched: {reason(self.cause)}",
            url=self.shown,
            remedy="Try again.",
        )


def read_body(
    response: requests.Response, watch: Watch, shown: str, max_bytes: int, *, unpack: bool
) -> Iterator[bytes]:
    """The pieces of the body of ``response``.

    Args:
        response: An answer whose body was not read yet.
        watch: The watch over the answer.
        shown: Its URL, for messages.
        max_bytes: The longest body that is read, after decompression.
        unpack: Whether to undo the ``Content-Encoding``.

    Raises:
        BrokenBodyError: The body is incomplete, or cannot be decompressed.
        TooLargeError: It is longer than ``max_bytes``.
        TransportError: It takes too long.
    """
    encoding = response.headers.get("Content-Encoding", "") if unpack else ""
    announced = None if encoding else _announced(response)
    if announced is not None and announced > max_bytes:
        raise too_large(shown, max_bytes)
    received = 0
    try:
        for piece in decoded(_raw_pieces(response), encoding):
            received += len(piece)
            if received > max_bytes:
                raise too_large(shown, max_bytes)
            yield piece
    except GivenUpError as error:
        raise given_up(error, watch, shown, max_bytes) from None
    except (urllib3.exceptions.HTTPError, OSError, DecodingError) as error:
        raise BrokenBodyError(shown, error) from None
    # `read1` does not notice that the connection was closed too early.
    if announced is not None and received < announced:
        raise BrokenBodyError(shown, EOFError("the connection was closed"))


def _raw_pieces(response: requests.Response) -> Iterator[bytes]:
    # `read1` returns what has arrived; `read` would wait for a whole piece.
    while piece := response.raw.read1(CHUNK, decode_content=False):
        yield piece


def _announced(response: requests.Response) -> int | None:
    """The ``Content-Length``; None if there is none, or one that makes no sense."""
    text = response.headers.get("Content-Length", "")
    if not text.isdecimal() or len(text) > _MAX_DIGITS:
        return None
    return int(text)


def given_up(error: GivenUpError, watch: Watch, shown: str, max_bytes: int) -> TransportError:
    """The error for an answer that took more time or bytes than it may."""
    if not isinstance(error, OutOfTimeError):
        return too_large(shown, max_bytes)
    seconds = time.monotonic() - watch.began
    what = f"{shown} arrives too slowly: {watch.received} bytes in {seconds:.0f} seconds"
    meaning = "A broken network, or a server that wants to keep you waiting."
    if error.together:
        return TooSlowError(
            f"{what}; with what was waited for before, that is too long", url=shown, meaning=meaning
        )
    return TransportError(what, url=shown, meaning=meaning)


def too_large(shown: str, max_bytes: int) -> TooLargeError:
    """The error for an answer that is longer than ``max_bytes``."""
    return TooLargeError(
        f"{shown} is longer than the {max_bytes} bytes that it may have; the rest was not read",
        url=shown,
    )


def validator(headers: Mapping[str, str]) -> str:
    """The value for ``If-Range`` (RFC 9110): a strong ETag, else the modification time, else "".

    Without it, a download that goes on after a broken connection could join the beginning of an
    old file with the rest of a new one.
    """
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def check_range(headers: Mapping[str, str], position: int, shown: str) -> None:
    """Check that a partial answer (206) begins at ``position``.

    Raises:
        TransportError: It begins elsewhere.
    """
    if not headers.get("Content-Range", "").lower().startswith(f"bytes {position}-"):
        raise TransportError(
            f"{shown} could not be fetched: the server sends another part of it than was asked for",
            url=shown,
            remedy="Try again with --resume-retries 0.",
        )


def refused(response: requests.Response, shown: str) -> TransportError:
    """The error for an answer with an unexpected status."""
    why = meaning = remedy = ""
    if response.status_code == _UNAUTHORIZED:
        meaning = "The server is there, and does not let this machine in."
        remedy = (
            "Put the right user name and password into .netrc, a keyring or the address, and try "
            "again."
        )
    if response.status_code == _UNAUTHORIZED and "Authorization" in response.request.headers:
        why = (
            ": the user name and password that were found (in the address, .netrc or a keyring) "
            "are not right"
        )
    elif response.status_code == _UNAUTHORIZED:
        why = (
            ": it wants a user name and a password, which may stand in your .netrc file, in a "
            "keyring or in the address"
        )
    status = f"{response.status_code} {response.reason or ''}".rstrip()
    return TransportError(
        f"HTTP error {response.status_code} while getting {shown}: "
        f"the server answers {status}{why}",
        url=shown,
        status=response.status_code,
        meaning=meaning,
        remedy=remedy,
    )


def reason(error: BaseException) -> str:
    """The innermost cause of an error, in one line, without what four libraries wrap around it."""
    outer: BaseException = error
    by = proxy = ""
    while True:
        inner = getattr(outer, "reason", None) or (outer.args[0] if outer.args else None)
        if isinstance(outer, urllib3.exceptions.PoolError):
            address = getattr(outer.pool, "proxy", None)
            proxy = f" {redact(str(address))}" if address else ""
        if isinstance(outer, urllib3.exceptions.ProxyError):
            by, inner = f"{outer.args[0]}{proxy}: ", outer.original_error
        if not isinstance(inner, BaseException):
            # urllib3 puts its class and the host first; the message has the URL already.
            return by + (_CONNECTION.sub("", str(outer)) or type(outer).__name__)
        outer = inner
