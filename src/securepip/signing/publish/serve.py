"""Serves a repository over HTTP, for one machine, a test, or a small team.

``find`` says which file the path of a request names, ``plan_reply`` plans the answer, and the
handler here sends it.

The standard library's server is enough: everything is public, read-only and verified by clients.
For more load, any static host or CDN can serve the same files.
"""

from __future__ import annotations

import gzip
import io
import re
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from email.errors import (
    MultipartInvariantViolationDefect,
    NoBoundaryInMultipartDefect,
    StartBoundaryNotFoundDefect,
)
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import BinaryIO

from securepip import __version__
from securepip.errors import RepositoryStateError
from securepip.formats.layout import METADATA_DIR
from securepip.signing.publish.reply import Header, plan_reply
from securepip.signing.publish.served_files import Found, NotServedError, Redirect, find
from securepip.signing.repository.roles import TIMESTAMP_NAME
from securepip.signing.repository.site import FolderSite, Site
from securepip.signing.repository.storage.interface import Opened, Reader, StorageError

_IDLE_SECONDS = 60
_HEADER_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2
_CACHE_BYTES = 64 << 20
# The email parser reports these for the headers of a form, because it does not see the body.
_OF_NO_BODY = (
    NoBoundaryInMultipartDefect,
    StartBoundaryNotFoundDefect,
    MultipartInvariantViolationDefect,
)


class RepositoryServer(ThreadingMixIn, TCPServer):
    """Serves a repository, with ``serve_forever`` and ``shutdown`` of ``socketserver``.

    Args:
        where: The folder of the repository, or another place.
        host: The address to listen on.
        port: The port; 0 for any free one.
        log: Called with one line for each request.

    Raises:
        RepositoryStateError: There is no repository, or the address is not available.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        where: Path | Site,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        site = FolderSite(where) if isinstance(where, Path) else where
        if not site.storage.exists(f"{METADATA_DIR}/{TIMESTAMP_NAME}"):
            raise RepositoryStateError(
                f"{site.address} is not a repository (it has no {METADATA_DIR}/{TIMESTAMP_NAME})",
                remedy=f"`securepip repo init {site.address}` makes one.",
            )
        self.storage: Reader = site.storage
        self.compressed = _Compressed()
        self.log = log
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), self.handler)
        except (OSError, OverflowError) as error:
            raise RepositoryStateError(
                f"cannot listen on {host} port {port}: {error}", remedy="Try another --port."
            ) from None

    @property
    def handler(self) -> type[Handler]:
        """The class that answers requests."""
        return Handler

    @property
    def url(self) -> str:
        """The URL of the repository, with a slash at the end."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else str(host)
        return f"http://{shown}:{port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a client that goes away in the middle is no error."""


@dataclass
class _Compressed:
    """A cache of compressed files by name and mark, with a limit in bytes."""

    _data: OrderedDict[tuple[str, str], bytes] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, name: str, opened: Opened) -> bytes:
        key = (name, opened.mark)
        with self._lock:
            if key in self._data:
                self._data.move_to_end(key)
                return self._data[key]
        data = gzip.compress(opened.stream.read(), compresslevel=9, mtime=0)
        with self._lock:
            if key not in self._data:
                self._data[key] = data
                self._bytes += len(data)
            while self._bytes > _CACHE_BYTES:
                self._bytes -= len(self._data.popitem(last=False)[1])
        return data


class _Lines(io.BufferedReader):
    """The bytes that arrive over a connection.

    The library also takes a line feed or a carriage return alone for the end of a header. A proxy
    that takes it for a character sends on a header that it does not see.

    Attributes:
        are_plain: Whether every line that was read ended as lines end (RFC 9112, section 2.2).
    """

    are_plain = True

    def readline(self, size: int | None = -1, /) -> bytes:
        """As in the base class."""
        line = super().readline(size)
        self.are_plain &= line.find(b"\r") == len(line) - 2 and line.endswith(b"\n")
        return line


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: RepositoryServer
    rfile: _Lines
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    # Headers and a small body are sent in one packet, at once. With Nagle's algorithm, an answer in
    # two packets would wait for the client's delayed acknowledgement.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """As the library."""
        super().setup()
        self.rfile = _Lines(self.rfile.detach())

    def parse_request(self) -> bool:
        """Parse a request, and close the connection if a proxy could see its end elsewhere.

        A proxy sends the requests of many clients over one connection. If it and this server
        disagree about where a request ends, an attacker can write the beginning of another client's
        request (request smuggling).
        """
        if not super().parse_request():
            return False
        if not (self.rfile.are_plain and _is_plain(self.headers)):
            self.close_connection = True
            self._answer_empty(HTTPStatus.BAD_REQUEST)
            return False
        lengths = self.headers.get_all("Content-Length", [])
        has_body = "Transfer-Encoding" in self.headers or lengths not in ([], ["0"])
        if has_body and self.command in ("GET", "HEAD"):
            # Nothing reads that body, and it must not be taken for the next request.
            self.close_connection = True
        return True

    def do_GET(self) -> None:
        """Send a file, a redirect or an error."""
        try:
            reply = find(self.path, self.headers.get("Accept", ""))
            if isinstance(reply, Redirect):
                self._answer_empty(HTTPStatus.MOVED_PERMANENTLY, ("Location", reply.location))
            else:
                opened = self.server.storage.open(reply.name)
                with opened.stream:
                    self._send(reply, opened)
        except StorageError:
            self._answer_empty(HTTPStatus.SERVICE_UNAVAILABLE, ("Retry-After", "10"))
        except (
            NotServedError,
            FileNotFoundError,
            NotADirectoryError,
            PermissionError,
            ValueError,
        ):
            self._answer_empty(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815 # the library's name

    def version_string(self) -> str:
        """The ``Server`` header, without the version of Python."""
        return f"securepip/{__version__}"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log one line, in which the control characters of the request are escaped."""
        status = int(code) if isinstance(code, int) else code
        self.server.log(f"{status} {self.command} {self.path!r}")

    def log_error(self, format: str, *args: object) -> None:  # noqa: A002 # the library's name
        """Log nothing: ``log_request`` logs the answer."""

    def _send(self, found: Found, opened: Opened) -> None:
        reply = plan_reply(found, opened.size, opened.mark, self.headers)
        if reply.compressed:
            data = self.server.compressed.get(found.name, opened)
            self._answer(reply.status, *reply.headers, ("Content-Length", str(len(data))))
            if self.command != "HEAD":
                self.wfile.write(data)
            return
        self._answer(reply.status, *reply.headers)
        if self.command != "HEAD" and reply.length:
            self._send_bytes(opened.stream, reply.start, reply.length)

    def _send_bytes(self, stream: BinaryIO, start: int, length: int) -> None:
        if length < self.wbufsize:
            stream.seek(start)
            self.wfile.write(stream.read(length))
        else:
            self.wfile.flush()
            self.connection.sendfile(stream, start, length)

    def _answer(self, code: HTTPStatus, *headers: Header, reason: str | None = None) -> None:
        self.send_response(code, reason)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _answer_empty(self, code: HTTPStatus, *headers: Header) -> None:
        self._answer(code, *headers, ("Content-Length", "0"))


def _is_plain(headers: Message) -> bool:
    """Whether every parser finds the same headers. The library parses them like an email."""
    return (
        all(isinstance(defect, _OF_NO_BODY) for defect in headers.defects)
        and headers.get_unixfrom() is None  # a first line that begins with `From `
        and not headers.get_payload()  # text that the email parser takes for the body
        and all(_HEADER_NAME.fullmatch(name) for name in headers.keys())  # noqa: SIM118 # repeated
        and not any("\r" in value or "\n" in value for value in headers.values())
    )
