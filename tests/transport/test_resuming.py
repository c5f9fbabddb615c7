"""An interrupted download continues at its end, and is never a mixture of two files."""

from __future__ import annotations

import io
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from securepip.errors import TooLargeError, TransportError
from securepip.transport import Transport, TransportOptions

_OLD, _NEW = b"a" * 70_000 + b"b" * 70_000, b"c" * 100_000


@dataclass
class Breaking:
    """A server whose answers end after ``piece`` bytes, the first ``times`` times.

    Attributes:
        etag: Says that the file is the same; "" for a server that says nothing.
        after: What the file is after the first answer.
        lie: Added to where it says that its part begins.
        asked: The ``Range`` of each request.
        ways: How each may be packed.
    """

    url: str = ""
    piece: int = 30_000
    times: int = 2
    etag: str = '"old"'
    after: bytes = _OLD
    lie: int = 0
    asked: list[str] = field(default_factory=list)
    ways: set[str] = field(default_factory=set)


@pytest.fixture
def server() -> Iterator[Breaking]:
    made = Breaking()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            made.asked.append(wanted)
            made.ways.add(self.headers.get("Accept-Encoding", ""))
            body = made.after if len(made.asked) > 1 else _OLD
            etag = made.etag if body == _OLD else '"new"'
            start = 0
            found = re.fullmatch(r"bytes=(\d+)-", wanted)
            if found and self.headers.get("If-Range") == etag:
                start = int(found[1])
                self.send_response(206)
                said = start + made.lie
                self.send_header("Content-Range", f"bytes {said}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            if etag:
                self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            breaks = len(made.asked) <= made.times
            self.wfile.write(body[start:][: made.piece if breaks else None])

        def log_message(self, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    made.url = f"http://127.0.0.1:{listening.server_port}/file"
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    listening.shutdown()
    listening.server_close()
    thread.join()


def download(server: Breaking, *, retries: int = 5, max_bytes: int = 200_000) -> tuple[bytes, int]:
    """The file, and the sum of the progress."""
    into = io.BytesIO()
    received: list[int] = []
    options = TransportOptions(retries=0, timeout=60, resume_retries=retries)
    with Transport(options) as transport:
        transport.download(server.url, into, max_bytes=max_bytes, progress=received.append)
    return into.getvalue(), sum(received)


def test_it_goes_on_where_it_ended(server: Breaking, caplog: pytest.LogCaptureFixture) -> None:
    assert download(server) == (_OLD, len(_OLD))
    assert server.asked == ["", "bytes=30000-", "bytes=60000-"]
    assert server.ways == {"identity"}
    said = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert said == [f"Connection interrupted while downloading {server.url}."] * 2


@pytest.mark.parametrize("etag", ["", 'W/"old"'])
def test_it_starts_again_where_nothing_says_that_the_file_is_the_same(
    server: Breaking, etag: str
) -> None:
    server.etag = etag
    assert download(server) == (_OLD, len(_OLD))
    assert server.asked == ["", "", ""]


def test_nothing_is_gone_on_with_where_nothing_came(server: Breaking) -> None:
    server.piece = 0
    assert download(server) == (_OLD, len(_OLD))
    assert server.asked == ["", "", ""]


@pytest.mark.parametrize("new", [_NEW, _NEW[:10_000]])
def test_it_starts_again_when_the_file_has_changed(server: Breaking, new: bytes) -> None:
    server.after = new
    assert download(server) == (new, len(new))


@pytest.mark.parametrize("retries", [0, 1, -1])
def test_it_is_given_up_after_as_many_tries_as_the_user_wants(
    server: Breaking, retries: int
) -> None:
    server.times = 10
    with pytest.raises(TransportError, match="broke off while it was fetched"):
        download(server, retries=retries)
    assert len(server.asked) == max(retries, 0) + 1


def test_another_part_of_the_file_is_not_written(server: Breaking) -> None:
    server.lie = 1
    with pytest.raises(TransportError, match="another part of it than was asked for"):
        download(server)


def test_the_parts_together_are_no_longer_than_allowed(server: Breaking) -> None:
    server.piece = 100_000
    with pytest.raises(TooLargeError):
        download(server, max_bytes=139_999)
    server.asked.clear()
    assert download(server, max_bytes=140_000)[0] == _OLD
