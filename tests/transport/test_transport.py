"""Every download is bounded in bytes and time, and an error names its URL."""

from __future__ import annotations

import gc
import gzip
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from securepip.errors import FormatError, TooLargeError, TransportError
from securepip.transport import (
    Transport,
    TransportOptions,
    connections,
    file_url_to_path,
    join_url,
    path_to_url,
    redact,
    watch,
)
from tests.support.hostile import serve_hostile


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(TransportOptions(timeout=60, retries=0))
    yield made
    made.close()


@contextmanager
def raw_server(
    talk: Callable[[socket.socket], None], seen: list[bytes] | None = None
) -> Iterator[str]:
    """A server that reads a request of each connection, and then calls ``talk``.

    Args:
        talk: Given the connection, which is closed afterwards.
        seen: Takes the requests.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(60)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(60)
                try:
                    request = connection.recv(65536)
                    if seen is not None:
                        seen.append(request)
                    talk(connection)
                except OSError:
                    pass

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/file"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(60)


def test_a_body_is_read_up_to_its_limit_and_not_a_byte_further(
    tmp_path: Path, transport: Transport
) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    with serve_hostile(tmp_path) as server:
        for url in (f"{server.url}file", path_to_url(tmp_path / "file")):
            assert transport.get(url, max_bytes=1000).body == b"x" * 1000
            with pytest.raises(TooLargeError, match="file"):
                transport.get(url, max_bytes=999)
            with pytest.raises(TooLargeError):
                transport.download(url, io.BytesIO(), max_bytes=999)


def test_a_body_without_an_announced_length_is_bounded_too(transport: Transport) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(10_000):
            connection.sendall(b"x" * 65536)

    with raw_server(endless) as url, pytest.raises(TooLargeError):
        transport.get(url, max_bytes=100_000)


def test_a_compressed_bomb_is_bounded_by_what_it_unpacks_to(transport: Transport) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)

    def talk(connection: socket.socket) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
        connection.sendall(head.encode() + bomb)

    with raw_server(talk) as url, pytest.raises(TooLargeError):
        transport.get(url, max_bytes=1_000_000)


def test_compressed_answers_are_unpacked_whole(transport: Transport) -> None:
    text = os.urandom(300_000).hex().encode()
    packed = gzip.compress(text)

    def talk(connection: socket.socket) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        connection.sendall(head.encode() + packed)

    with raw_server(talk) as url:
        assert transport.get(url, max_bytes=len(text)).body == text


def test_a_body_that_drips_ends_with_its_time_budget(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "GRACE_SECONDS", 0.1)
    stopped = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not stopped.wait(0.02):
            connection.sendall(b"x")

    with raw_server(drip) as url:
        with pytest.raises(TransportError, match="too slowly"):
            transport.get(url, max_bytes=1000)
        stopped.set()


def test_headers_that_drip_end_with_their_time_budget(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "GRACE_SECONDS", 0.1)
    stopped = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not stopped.wait(0.02):
            connection.sendall(b"x")

    with raw_server(drip) as url:
        with pytest.raises(TransportError, match="too slowly"):
            transport.get(url, max_bytes=1000)
        stopped.set()


def test_a_connection_that_breaks_is_tried_again_and_then_named(transport: Transport) -> None:
    served: list[int] = []

    def breaks(connection: socket.socket) -> None:
        served.append(1)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    def mends(connection: socket.socket) -> None:
        breaks(connection)
        if len(served) > 1:
            connection.sendall(b"defghij")

    with raw_server(breaks) as url:
        with pytest.raises(TransportError, match="broke off"):
            transport.get(url, max_bytes=10)
        assert len(served) == 3
    served.clear()
    into = io.BytesIO()
    with raw_server(mends) as url:
        transport.download(url, into, max_bytes=10)
    assert into.getvalue() == b"abcdefghij"


def test_a_redirect_to_a_file_of_this_machine_is_not_followed(
    tmp_path: Path, transport: Transport
) -> None:
    (tmp_path / "secret").write_text("secret")
    location = path_to_url(tmp_path / "secret")

    def talk(connection: socket.socket) -> None:
        head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())

    with raw_server(talk) as url, pytest.raises(TransportError):
        transport.get(url, max_bytes=1000)


def test_an_error_names_the_url_without_its_secrets(transport: Transport) -> None:
    with pytest.raises(TransportError) as caught:
        transport.get("http://user:word@127.0.0.1:9/file?token=abc", max_bytes=1)
    assert "127.0.0.1:9/file" in str(caught.value)
    assert "could not be fetched: Failed to establish a new connection" in str(caught.value)
    assert "word" not in str(caught.value)
    assert "abc" not in str(caught.value)
    assert redact("https://user:word@packages.example.org/x?k=v#f") == (
        "https://packages.example.org/x?…"
    )


def test_only_plain_files_of_this_machine_are_read(tmp_path: Path, transport: Transport) -> None:
    with pytest.raises(TransportError) as caught:
        transport.get(path_to_url(tmp_path) + "missing", max_bytes=1)
    assert caught.value.status == 404
    with pytest.raises(TransportError, match="not a file"):
        transport.get(path_to_url(tmp_path), max_bytes=1)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TransportError, match=r"file/x cannot be read: Not a directory"):
        transport.get(path_to_url(tmp_path / "file") + "/x", max_bytes=1)
    if Path("/proc/self/mem").exists():  # begins with what no process may read
        with pytest.raises(TransportError, match=r"mem cannot be read: Input/output error"):
            transport.get("file:///proc/self/mem", max_bytes=1)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(TransportError, match="not a file"):
            transport.get(path_to_url(tmp_path / "fifo"), max_bytes=1)


@pytest.mark.parametrize(
    "url",
    [
        "file://server/share/file.whl",
        "ftp://packages.example.org/x",
        "javascript:alert(1)",
        "http:///nohost",
        "https://[::1/x",
        "http://packages.example.org:port/",
    ],
)
def test_urls_that_cannot_or_must_not_be_fetched_are_refused(url: str) -> None:
    with pytest.raises(FormatError):
        join_url("https://packages.example.org/simple/x/", url)


def test_paths_survive_the_way_through_a_url(tmp_path: Path) -> None:
    odd = tmp_path / "a b%20c+d#e.whl"
    odd.write_text("")
    assert file_url_to_path(path_to_url(odd)) == odd


def test_results_come_in_order_and_the_first_error_stops_the_rest(transport: Transport) -> None:
    assert list(transport.map(lambda n: n * n, range(50))) == [n * n for n in range(50)]

    def fail_at_three(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    with pytest.raises(ValueError, match="three"):
        list(transport.map(fail_at_three, range(5)))


def test_an_error_page_does_not_cost_the_connection(transport: Transport) -> None:
    connections: list[socket.socket] = []

    def refuse(connection: socket.socket) -> None:
        connections.append(connection)
        while True:
            connection.sendall(
                b"HTTP/1.1 404 Not Found\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\ngone"
            )
            if not connection.recv(65536):
                return

    with raw_server(refuse) as url:
        for _ in range(3):
            with pytest.raises(TransportError, match="404"):
                transport.get(url, max_bytes=100)
        transport.close()
    assert len(connections) == 1


@pytest.mark.parametrize("ended_by", ["another server", "the end"])
def test_a_connection_is_kept_open_neither_beside_many_others_nor_after_the_end(
    ended_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        while connection.recv(1000):
            pass
        ended.set()

    def other(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    monkeypatch.setattr(connections, "PARALLEL", 1)
    with raw_server(answer) as url, raw_server(other) as another, Transport() as transport:
        assert transport.get(f"{url}x", max_bytes=2).body == b"ok"
        assert not ended.is_set()
        if ended_by == "another server":
            assert transport.get(f"{another}x", max_bytes=2).body == b"ok"
        else:
            transport.close()
        gc.collect()
        assert ended.wait(60)


@given(st.text("/.a-~_:%@?#1\\", max_size=12))
@example("/a/../b")
@example("/./a")
@example("/a/..")
@example("/..a/...")
def test_an_address_that_is_sent_as_it_is_is_the_one_that_requests_makes_of_it(path: str) -> None:
    url = f"https://packages.example.org{path}"
    if connections._PLAIN_URL.fullmatch(url):
        assert requests.Request("GET", url).prepare().url == url
