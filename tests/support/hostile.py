"""A web server for a folder, which changes, delays, withholds and records as a test tells it."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import BaseServer
from urllib.parse import unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from securepip.formats.digests import sha256_of


@dataclass(frozen=True)
class Coded:
    """A body of unknown length with a ``Content-Encoding``, sent piece by piece."""

    coding: str
    pieces: Iterator[bytes]


Reply = bytes | int | str | Iterator[bytes] | Coded
"""An answer: bytes are a body; a number is an HTTP status; a string is another server's URL, to
which the path is redirected; an iterator is a body of unknown length, sent piece by piece."""

Alteration = Callable[[bytes], Reply]
"""Makes the answer from a file's bytes."""


@dataclass
class HostileServer:
    """A server that changes some of its answers.

    Attributes:
        folder: The folder that it serves.
        url: Its address, ending in a slash.
        seen: The paths of all requests, in order, without the leading slash.
        authorized: The path and the ``Authorization`` of each request that had one.
        delay: Seconds before each answer, as on a slow network.
        date: The ``Date`` of its answers; if empty, the true one.
        headers: Further headers of each answer.
    """

    folder: Path
    url: str = ""
    seen: list[str] = field(default_factory=list)
    authorized: list[tuple[str, str]] = field(default_factory=list)
    delay: float = 0.0
    date: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    _alterations: list[tuple[re.Pattern[str], Alteration]] = field(default_factory=list)

    def alter(self, pattern: str, alteration: Alteration) -> None:
        """Change every answer whose whole path matches the regular expression."""
        self._alterations.append((re.compile(pattern), alteration))

    def withhold(self, pattern: str, status: int = 404) -> None:
        """Answer matching paths with a status."""
        self.alter(pattern, lambda data: status)

    def redirect(self, pattern: str, base: str) -> None:
        """Redirect matching paths to the same paths below another URL."""
        self.alter(pattern, lambda data: base)

    def forge(self, project: str, filename: str, wheel: bytes) -> None:
        """Serve ``wheel`` in place of a genuine one, with its digest and length on every page."""
        genuine = (self.folder / "packages" / project / filename).read_bytes()
        old, new = sha256_of(genuine).encode(), sha256_of(wheel).encode()
        lengths = (b'"size":%d' % len(genuine), b'"size":%d' % len(wheel))
        self.alter(rf"simple/{project}/.*", lambda page: page.replace(old, new).replace(*lengths))
        self.alter(rf"packages/{project}/[^/]*{filename}", lambda _: wheel)

    def honest(self) -> None:
        """Serve every file unchanged again."""
        self._alterations.clear()

    def answer(self, path: str) -> Reply:
        """The answer for a path below the folder."""
        file = self.folder / path
        if file.is_dir():
            file /= "index.html"
        body: Reply = file.read_bytes() if file.is_file() else 404
        for pattern, alteration in self._alterations:
            if pattern.fullmatch(path):
                body = alteration(body if isinstance(body, bytes) else b"")
        return body


@contextmanager
def running(server: BaseServer) -> Iterator[None]:
    """Run a server in a thread for as long as the ``with`` lasts."""
    thread = threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def serve_hostile(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[HostileServer]:
    """Run a ``HostileServer`` on loopback, perhaps over TLS, for as long as the ``with`` lasts."""
    state = HostileServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).lstrip("/")
            state.seen.append(path)
            if "Authorization" in self.headers:
                state.authorized.append((path, self.headers["Authorization"]))
            if state.delay:
                time.sleep(state.delay)
            body = state.answer(path)
            if isinstance(body, Iterator):
                body = Coded("", body)
            if isinstance(body, Coded):
                self._send_pieces(path, body)
                return
            if isinstance(body, str):
                self.send_response(302)
                self.send_header("Location", body + path)
                data = b""
            else:
                status, data = (body, b"") if isinstance(body, int) else (200, body)
                self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self._send_kind(path)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def _send_kind(self, path: str) -> None:
            for name, value in state.headers:
                self.send_header(name, value)
            is_page = path.endswith(("/", ".html"))
            self.send_header("Content-Type", "text/html" if is_page else "application/octet-stream")

        def _send_pieces(self, path: str, body: Coded) -> None:
            self.close_connection = True
            self.send_response(200)
            self.send_header("Connection", "close")
            self._send_kind(path)
            if body.coding:
                self.send_header("Content-Encoding", body.coding)
            self.end_headers()
            with suppress(OSError):  # the client has closed the connection
                for piece in body.pieces:
                    self.wfile.write(piece)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def date_time_string(self, timestamp: float | None = None) -> str:
            return state.date or super().date_time_string(timestamp)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 64  # whoever finds a full queue waits for a second

        def handle_error(self, *args: object) -> None:
            """Say nothing of a client that went away in the middle."""

    with Server(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}/"
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            state.url = state.url.replace("http", "https", 1)
        with running(server):
            yield state


def flip_byte(data: bytes, at: int | None = None) -> bytes:
    """``data`` with one byte changed, in the middle unless told where."""
    at = len(data) // 2 if at is None else at
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def make_certificate(folder: Path) -> Path:
    """Make a PEM file with a key and its certificate for the loopback address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
