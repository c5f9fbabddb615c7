"""Serves a repository over HTTP and takes uploads, within limits for length, time and number.

Rule: the body of a request is read only after its token was found to be valid. The text of an
answer is in the status line too, because twine, flit and poetry show that line; uv shows the body.

The standard library's server suits this: each upload waits for a signature in its own thread, and
the status line can have any text, which ASGI servers do not allow.
"""

from __future__ import annotations

import base64
import binascii
import re
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from securepip.errors import RepositoryStateError, SecurepipError, UsageError
from securepip.formats.digests import CHUNK
from securepip.signing.publish.serve import Handler, RepositoryServer
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.site import Site
from securepip.signing.repository.state.tokens import Token
from securepip.signing.uploads.accept import accept
from securepip.signing.uploads.batches import Batches
from securepip.signing.uploads.form import MAX_TEXT, Limits, read_form, too_large
from securepip.signing.uploads.publisher import Answer, Publisher, Upload
from securepip.signing.uploads.refusal import UploadRefusedError
from securepip.signing.uploads.turns import Turns
from securepip.transport import is_loopback

UPLOAD_PATH = "/legacy/"
USER = "__token__"
AT_ONCE = 32
"""How many uploads are read, or wait for their publication, at the same time."""

UPLOADS_DIR = "uploads"
"""The folder for uploads that are being received. It is not served."""
_TURN_SECONDS = 30
_LINGER_SECONDS = 30
_LEFT_OVER_SECONDS = 86_400
_MAX_REASON = 300
_DIGITS = re.compile(r"[0-9]{1,15}")
_HEADERS = {
    HTTPStatus.UNAUTHORIZED: [("WWW-Authenticate", 'Basic realm="uploads", charset="UTF-8"')],
    HTTPStatus.SERVICE_UNAVAILABLE: [("Retry-After", "60")],
}


class UploadServer(RepositoryServer):
    """Serves a repository, and takes uploads at ``UPLOAD_PATH``. ``server_close`` ends both.

    Args:
        where: The folder of the repository, or another place.
        open_repository: Opens the repository with its online key; called in several threads.
        host: The address to listen on.
        port: The port; 0 for any free one.
        log: Called with one line for each request.
        say: Called with one line for each publication.
        limits: How much one upload may take.
        insecure: Whether to listen on addresses that other machines can reach, without TLS.
        publisher: Publishes the uploads; by default this process does, with the online key.

    Raises:
        UsageError: Tokens would cross a network without TLS.
        RepositoryStateError: There is no repository, the online key is missing, or the address is
            not available.
    """

    def __init__(
        self,
        where: Path | Site,
        open_repository: Callable[[], Repository],
        host: str = "127.0.0.1",
        port: int = 0,
        log: Callable[[str], None] = lambda line: None,
        say: Callable[[str], None] = lambda line: None,
        *,
        limits: Limits | None = None,
        insecure: bool = False,
        publisher: Publisher | None = None,
    ) -> None:
        if not insecure and not is_loopback(host):
            raise UsageError(
                f"uploads at {host} would be without TLS: whoever sees one has its token",
                remedy="Listen on 127.0.0.1, behind a web server that has a certificate. In a "
                "network of which you trust every machine: --insecure-uploads.",
            )
        self.open_repository = open_repository
        self.limits = limits or Limits()
        self.turns = Turns(AT_ONCE, _TURN_SECONDS)
        with open_repository() as repository:
            if publisher is None:
                check_key(repository)
            self.uploads = repository.home / UPLOADS_DIR
        clear_old(self.uploads)
        super().__init__(where, host, port, log)
        self.publisher = publisher or Batches(open_repository, say)

    @property
    def handler(self) -> type[Handler]:
        """The class that answers requests."""
        return UploadHandler

    @property
    def upload_url(self) -> str:
        """The URL for uploads."""
        return self.url.rstrip("/") + UPLOAD_PATH

    def server_close(self) -> None:
        """End, after all waiting uploads are published."""
        super().server_close()
        self.publisher.close()


class UploadHandler(Handler):
    """Answers the requests of one connection, uploads too."""

    server: UploadServer

    def do_POST(self) -> None:  # noqa: N802 # the library's name
        """Take an upload and answer it."""
        self._left = 0
        try:
            answer = self._take()
        except UploadRefusedError as error:
            self.server.log(f"refused: {error.words}")
            self._say(error.status, error.words)
        except (SecurepipError, sqlite3.Error) as error:
            self.server.log(f"an upload could not be looked at: {error}")
            self._say(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the repository cannot be read now: try again later",
            )
        except OSError as error:
            self.server.log(f"an upload could not be kept: {error}")
            self._say(
                HTTPStatus.INSUFFICIENT_STORAGE,
                "the upload could not be kept: the server's disk may be full",
            )
        else:
            self._say(answer.status, answer.words)

    def _take(self) -> Answer:
        """Read, check and publish an upload.

        Raises:
            UploadRefusedError: It is refused.
        """
        length = self._length()
        token = self._token()
        if length > self.server.limits.file_bytes + MAX_TEXT:
            raise too_large(self.server.limits.file_bytes)
        with self.server.turns.take(token.id):
            return self._publish(length, token)

    def _publish(self, length: int, token: Token) -> Answer:
        folder = Path(tempfile.mkdtemp(dir=self.server.uploads))
        try:
            content_type = self.headers.get("Content-Type", "")
            form = read_form(content_type, length, self._read, folder, self.server.limits)
            return self.server.publisher.publish(Upload(accept(form, token), token.id))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _length(self) -> int:
        """The length of the body. From now on, ``_left`` is the number of unread bytes, or -1."""
        if self.path.partition("?")[0].rstrip("/") != UPLOAD_PATH.rstrip("/"):
            self._left = -1
            raise UploadRefusedError(
                HTTPStatus.NOT_FOUND, f"uploads go to the address that ends with {UPLOAD_PATH}"
            )
        lengths = self.headers.get_all("Content-Length", [])
        if (
            "Transfer-Encoding" in self.headers
            or len(lengths) != 1
            or not _DIGITS.fullmatch(lengths[0].strip(" \t"))
        ):
            self._left = -1
            raise UploadRefusedError(
                HTTPStatus.LENGTH_REQUIRED, "an upload has to say its length (Content-Length)"
            )
        self._left = int(lengths[0])
        return self._left

    def _token(self) -> Token:
        if self.headers.get("X-Forwarded-Proto", "https").lower() != "https":
            raise UploadRefusedError(
                HTTPStatus.FORBIDDEN,
                "the upload came without TLS, so others may have seen its token: use https, and "
                "have the token replaced",
            )
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise UploadRefusedError(
                HTTPStatus.UNAUTHORIZED,
                f"uploads need a token: the user name is {USER}, and the token is the password",
            )
        try:
            user, _, text = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = text = ""
        # Each request opens the ledger itself, because a connection belongs to one thread.
        with self.server.open_repository() as repository:
            token = repository.state.tokens.find(text)
        if token is None or user != USER:
            raise UploadRefusedError(
                HTTPStatus.FORBIDDEN,
                f"no such token, or it was revoked (the user name has to be {USER})",
            )
        return token

    def _read(self, most: int) -> bytes:
        """The bytes that have arrived: one system call, so that the time limit is checked often."""
        data = self.rfile.read1(most)
        self._left -= len(data)
        return data

    def _say(self, status: HTTPStatus, words: str) -> None:
        """Send an answer, also if the body was not read to its end."""
        if self._left:
            self.close_connection = True
        # The text may quote the upload, and the sender's tool prints it to a terminal.
        words = "".join(each if each.isprintable() or each == "\n" else "?" for each in words)
        body = f"{words}\n".encode()
        line = " ".join(words.split()).encode("ascii", "replace").decode()[:_MAX_REASON]
        self._answer(
            status,
            *_HEADERS.get(status, ()),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            reason=line if status >= HTTPStatus.BAD_REQUEST else None,
        )
        self.wfile.write(body)
        self.wfile.flush()
        if self._left:
            self._linger()

    def _linger(self) -> None:
        """Read on for a while: a client that is still sending would not get the answer."""
        end = time.monotonic() + _LINGER_SECONDS
        most = self.server.limits.file_bytes + MAX_TEXT
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_SECONDS / 10)
            while most > 0 and time.monotonic() < end and (data := self.rfile.read1(CHUNK)):
                most -= len(data)


def check_key(repository: Repository) -> None:
    """Load the online key now: later, nobody is there to enter a passphrase.

    Raises:
        RepositoryStateError: The key is not here, or cannot be loaded.
    """
    root = repository.roles().root.signed
    keys = (root.get_key(keyid) for keyid in root.roles["timestamp"].keyids)
    if not any(repository.keys.find(key) is not None for key in keys):
        raise RepositoryStateError(
            "uploads cannot be signed: the online key is not here",
            remedy="Name its folder with --keys.",
        )


def clear_old(folder: Path) -> None:
    """Make the folder for uploads, and remove old files that a killed server has left there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in folder.iterdir():
        with suppress(OSError):
            if time.time() - each.stat().st_mtime > _LEFT_OVER_SECONDS:
                shutil.rmtree(each)
