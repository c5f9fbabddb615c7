"""A repository over HTTP, for one machine, a test, or a small team.

Rule: what is served are plain files of ``metadata``, ``simple`` and ``packages``, and nothing
else: no ``state``, no hidden name, nothing that a link outside of these three leads to.

The standard library's server is enough: everything is public, read-only and verified by clients,
and any static host or CDN takes its place where more is asked of it.

Sources: PEP 503 and 691 (names, content negotiation), RFC 9110 (ranges, conditions, encodings).
"""

from __future__ import annotations

import gzip
import os
import re
import socket
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import BinaryIO
from urllib.parse import unquote

from securepip import __version__
from securepip.errors import FormatError, RepositoryStateError
from securepip.formats.layout import (
    METADATA_DIR,
    METADATA_SUFFIX,
    PACKAGES_DIR,
    PAGE_NAME,
    SIMPLE_DIR,
    parse_project,
)
from securepip.formats.negotiation import PLAIN_HTML, negotiate, weight
from securepip.formats.page import JSON_TYPE
from securepip.signing.repository.config import load_config
from securepip.signing.repository.repository import HTML_NAME

_SERVED = (METADATA_DIR, SIMPLE_DIR, PACKAGES_DIR)
_IDLE_SECONDS = 60
_CACHE_BYTES = 64 << 20
_MIN_COMPRESSED, _MAX_COMPRESSED = 500, 16 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class RepositoryServer(ThreadingMixIn, TCPServer):
    """Serves the repository in ``folder``; ``serve_forever`` and ``shutdown`` as usual.

    Args:
        folder: The repository.
        host: The address to listen on.
        port: The port; 0 for any that is free.
        log: Told of each request in one line.

    Raises:
        RepositoryStateError: No repository there, or the address cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        folder: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        load_config(folder)
        # Resolved once: each of the three may itself be a link to another disk.
        self.roots = {name: (folder / name).resolve() for name in _SERVED}
        self.compressed = _Compressed()
        self.log = log
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise RepositoryStateError(
                f"cannot listen on {host} port {port}: {error}", remedy="Try another --port."
            ) from None

    @property
    def url(self) -> str:
        """Where it is served, with a slash at the end."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else str(host)
        return f"http://{shown}:{port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in the middle is nothing to talk about."""


@dataclass
class _Compressed:
    """What was compressed lately, by path, time and encoding-free size; bounded in bytes."""

    _data: OrderedDict[tuple[Path, int, int], bytes] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, path: Path, stream: BinaryIO, modified: int, size: int) -> bytes:
        key = (path, modified, size)
        with self._lock:
            if key in self._data:
                self._data.move_to_end(key)
                return self._data[key]
        data = gzip.compress(stream.read(), compresslevel=6, mtime=0)
        with self._lock:
            if key not in self._data:
                self._data[key] = data
                self._bytes += len(data)
            while self._bytes > _CACHE_BYTES:
                self._bytes -= len(self._data.popitem(last=False)[1])
        return data


class _NotServedError(Exception):
    """The address names nothing that is served."""


@dataclass(frozen=True)
class _Redirect:
    location: str


@dataclass(frozen=True)
class _Found:
    path: Path
    content_type: str
    compressible: bool
    immutable: bool
    negotiated: bool = False


class _Handler(BaseHTTPRequestHandler):
    server: RepositoryServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    # Headers and a small body leave in one packet, and at once: with Nagle's algorithm, every
    # answer that takes two waits for the client's delayed acknowledgement.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Send a file, a redirect or an error."""
        if "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0":
            # Nobody reads that body, and it must not be taken for the next request.
            self.close_connection = True
        try:
            found = self._find()
            if isinstance(found, _Redirect):
                self._answer_empty(HTTPStatus.MOVED_PERMANENTLY, [("Location", found.location)])
            elif not stat.S_ISREG(found.path.stat().st_mode):
                raise _NotServedError
            else:
                with found.path.open("rb") as stream:
                    self._send(found, stream)
        except (
            _NotServedError,
            FileNotFoundError,
            NotADirectoryError,
            PermissionError,
            ValueError,
        ):
            self._answer_empty(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815 # the library's name

    def version_string(self) -> str:
        """Not which Python it is."""
        return f"securepip/{__version__}"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line, without the control characters that a request may hold."""
        status = int(code) if isinstance(code, int) else code
        self.server.log(f"{status} {self.command} {self.path!r}")

    def log_error(self, format: str, *args: object) -> None:  # noqa: A002 # the library's name
        """Said by ``log_request`` already."""

    def _find(self) -> _Found | _Redirect:
        parts = unquote(self.path.partition("?")[0], errors="strict").split("/")
        if parts[0] or len(parts) < 2 or parts[1] not in _SERVED:
            raise _NotServedError
        kind, *rest = parts[1:]
        for part in rest[:-1] if rest and not rest[-1] else rest:
            # No way up, no hidden file, no other system's separator or device.
            if not part or part.startswith(".") or any(char in part for char in "\\:\0"):
                raise _NotServedError
        if kind == SIMPLE_DIR:
            return self._find_simple(rest)
        if not rest or not rest[-1]:
            raise _NotServedError
        path = self._inside(kind, rest)
        if kind == METADATA_DIR:
            return _Found(path, "application/json", compressible=True, immutable=False)
        is_metadata = path.name.endswith(METADATA_SUFFIX)
        content_type = "text/plain; charset=utf-8" if is_metadata else "application/octet-stream"
        return _Found(path, content_type, compressible=is_metadata, immutable=True)

    def _find_simple(self, rest: list[str]) -> _Found | _Redirect:
        if not rest:
            return _Redirect(f"/{SIMPLE_DIR}/")
        *folders, name = rest
        if name == "" or (not folders and name not in (PAGE_NAME, HTML_NAME)):
            # A folder. Names are normalized by redirect, as PEP 503 asks.
            if rest == [""]:
                return self._page([])
            try:
                project = parse_project("/".join(part for part in rest if part))
            except FormatError:
                raise _NotServedError from None
            if rest != [project, ""]:
                return _Redirect(f"/{SIMPLE_DIR}/{project}/")
            return self._page([project])
        content_type = PLAIN_HTML if name == HTML_NAME else JSON_TYPE
        return _Found(
            self._inside(SIMPLE_DIR, rest), content_type, compressible=True, immutable=False
        )

    def _page(self, folders: list[str]) -> _Found:
        chosen = negotiate(self.headers.get("Accept", ""))
        name = PAGE_NAME if chosen == JSON_TYPE else HTML_NAME
        path = self._inside(SIMPLE_DIR, [*folders, name])
        return _Found(path, chosen, compressible=True, immutable=False, negotiated=True)

    def _inside(self, kind: str, parts: list[str]) -> Path:
        root = self.server.roots[kind]
        path = root.joinpath(*parts).resolve(strict=True)
        if not path.is_relative_to(root):
            raise _NotServedError
        return path

    def _send(self, found: _Found, stream: BinaryIO) -> None:
        status = os.fstat(stream.fileno())
        size = status.st_size
        compress = (
            found.compressible
            and _MIN_COMPRESSED <= size <= _MAX_COMPRESSED
            and weight(self.headers.get("Accept-Encoding", ""), "gzip") > 0
        )
        etag = f'"{status.st_mtime_ns:x}-{size:x}{"-gz" if compress else ""}"'
        headers = [
            ("ETag", etag),
            ("Cache-Control", "max-age=31536000, immutable" if found.immutable else "no-cache"),
        ]
        vary = ["Accept"] * found.negotiated + ["Accept-Encoding"] * found.compressible
        if vary:
            headers.append(("Vary", ", ".join(vary)))
        if etag in self.headers.get("If-None-Match", ""):
            self._answer_empty(HTTPStatus.NOT_MODIFIED, headers)
            return
        headers.append(("Content-Type", found.content_type))
        if compress:
            data = self.server.compressed.get(found.path, stream, status.st_mtime_ns, size)
            headers += [("Content-Encoding", "gzip"), ("Content-Length", str(len(data)))]
            self._answer(HTTPStatus.OK, headers)
            if self.command != "HEAD":
                self.wfile.write(data)
            return
        headers.append(("Accept-Ranges", "bytes"))
        start, length = 0, size
        code = HTTPStatus.OK
        if (asked := self._asked_range(size, etag)) is not None:
            start, length = asked
            if not length:
                headers.append(("Content-Range", f"bytes */{size}"))
                self._answer_empty(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
                return
            code = HTTPStatus.PARTIAL_CONTENT
            headers.append(("Content-Range", f"bytes {start}-{start + length - 1}/{size}"))
        self._answer(code, [*headers, ("Content-Length", str(length))])
        if self.command != "HEAD" and length:
            self._send_bytes(stream, start, length)

    def _send_bytes(self, stream: BinaryIO, start: int, length: int) -> None:
        if length < self.wbufsize:
            stream.seek(start)
            self.wfile.write(stream.read(length))
        else:
            self.wfile.flush()
            self.connection.sendfile(stream, start, length)

    def _asked_range(self, size: int, etag: str) -> tuple[int, int] | None:
        """Start and length of the one range that is asked for; length 0 when there is no such."""
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        if not match or match[0] == "bytes=-" or self.headers.get("If-Range", etag) != etag:
            return None
        first, last = match[1], match[2]
        if not first:
            length = min(int(last), size)
            return size - length, length
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
        return start, max(end - start + 1, 0)

    def _answer(self, code: HTTPStatus, headers: list[tuple[str, str]]) -> None:
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _answer_empty(self, code: HTTPStatus, headers: list[tuple[str, str]] | None = None) -> None:
        length = [] if code is HTTPStatus.NOT_MODIFIED else [("Content-Length", "0")]
        self._answer(code, [*(headers or []), *length])
