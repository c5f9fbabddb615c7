"""An object store on loopback: moto's S3 server, behind a proxy that can be told to fail.

``scripts/test`` installs moto into a folder of its own. Without it, tests that need it are skipped.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.support.hostile import running

MOTO = Path(sys.prefix) / "store"
BUCKET = "packages"
_RUN = "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"

# The credentials of a CDN that may read the bucket. Moto does not check the signature.
_CDN = "AWS4-HMAC-SHA256 Credential=cdn/x/us-east-1/s3/aws4_request, SignedHeaders=, Signature=0"

Answer = int | None
"""A status in place of the store's answer; None for the store's answer."""


@dataclass
class Store:
    """An S3 server on loopback, with one bucket that anybody may read and write.

    Attributes:
        url: Its address, which is the proxy's.
        decide: Called with the method and key of each request; returns the answer.
        seen: All requests, such as ``PUT metadata/timestamp.json``.
    """

    url: str
    decide: Callable[[str, str], Answer] = lambda method, name: None
    seen: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by which obstore finds it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "operator",
            "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-operator",
            "AWS_REGION": "us-east-1",
        }

    def public_url(self, address: str) -> str:
        """The URL at which clients read a repository, with a slash at the end."""
        return f"{self.url}/{address.removeprefix('s3://')}/"

    def put(self, key: str, data: bytes) -> None:
        """Write an object, as somebody else who may write to the bucket."""
        self.ask("PUT", f"{BUCKET}/{key}", data)

    def get(self, key: str) -> bytes:
        """Read an object, as anybody can."""
        return self.ask("GET", f"{BUCKET}/{key}")

    def names(self, folder: str) -> list[str]:
        """The keys below a folder, relative to it."""
        listed = self.ask("GET", f"{BUCKET}?prefix={folder}/&max-keys=1000").decode()
        return [key.removeprefix(f"{folder}/") for key in re.findall("<Key>(.*?)</Key>", listed)]

    def ask(self, method: str, path: str, data: bytes | None = None) -> bytes:
        """Send a request without a signature, and return the body of the answer."""
        url = f"{self.url}/{quote(path, safe='/?&=')}"
        kind = {"Content-Type": "application/octet-stream"}
        asked = urllib.request.Request(url, data, kind, method=method)  # noqa: S310 # loopback
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 # loopback
            return bytes(answer.read())


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto's server in a process, and yield its URL."""
    if not (MOTO / "moto").is_dir():
        pytest.skip("moto is not here: `scripts/test` puts it into its environment")
    environment = {**os.environ, "PYTHONPATH": str(MOTO), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", _RUN]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield _announced(process)
        finally:
            process.terminate()


def _announced(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if "Running on " in line:
            # It logs each request, and would block if nobody read its log.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return line.split("Running on ")[1].strip()
    raise AssertionError("moto did not start")


@contextmanager
def store_behind(moto: str) -> Iterator[Store]:
    """Empty moto's store, and yield it with a proxy in front of it."""
    with _Doorway(moto) as server, running(server):
        store = server.store
        urllib.request.urlopen(f"{moto}/moto-api/reset", data=b"").close()  # noqa: S310 # loopback
        store.ask("PUT", BUCKET)
        store.seen.clear()
        yield store


class _Doorway(ThreadingHTTPServer):
    request_queue_size = 64  # a client waits a second if the queue is full

    def __init__(self, moto: str) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.moto = moto
        self.store = Store(f"http://127.0.0.1:{self.server_address[1]}")

    def handle_error(self, *of: object) -> None:
        """Print nothing: tests kill clients in the middle of a request."""


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Doorway

    def do_GET(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        store, moto = self.server.store, self.server.moto
        name = self.path.partition("?")[0].removeprefix(f"/{BUCKET}/")
        store.seen.append(f"{self.command} {name}")
        status = store.decide(self.command, name)
        if status is not None:
            self._answer(status, {}, b"<Error><Code>SlowDown</Code></Error>")
            return
        host, port = urlsplit(moto).hostname or "", urlsplit(moto).port
        behind = http.client.HTTPConnection(host, port, timeout=30)
        with closing(behind):
            behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for header in self.headers.items():
                behind.putheader(*header)
            if "Authorization" not in self.headers:
                behind.putheader("Authorization", _CDN)
            behind.endheaders(data or None)
            answer = behind.getresponse()
            self._answer(answer.status, dict(answer.headers), answer.read())

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 # the library's names

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            dropped = ["connection", "transfer-encoding", "server", "date"]
            dropped += ["content-length"] * (self.command != "HEAD")
            if name.lower() not in dropped:
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the library's name
        """Print nothing."""
