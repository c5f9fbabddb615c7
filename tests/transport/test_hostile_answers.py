"""Answers of hostile servers: none leads to a hang, a full memory or a traceback."""

from __future__ import annotations

import gzip
import socket
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from securepip.errors import TransportError
from securepip.transport import Transport, TransportOptions, connections
from tests.transport.test_transport import raw_server

# A connection that is used again while its server closes it would count as one more failure.
EMPTY = b"Connection: close\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> Iterator[Transport]:
    monkeypatch.setattr(connections, "RETRY_AFTER_SECONDS", 0.1)
    made = Transport(TransportOptions(timeout=60, retries=1))
    yield made
    made.close()


@pytest.mark.parametrize(
    "location",
    [
        b"http://127.0.0.1/\xff",
        b"http://a..b/",
        b"http://" + b"a" * 70 + b"/",
        b"http://[::1/",
        b"http://\xe2\x84\x80/",
        b"http://127.0.0.1:99999/",
        b"ftp://127.0.0.1/",
    ],
)
def test_a_redirect_to_what_is_no_address_is_an_error_in_words(
    transport: Transport, location: bytes
) -> None:
    def redirect(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\n" + EMPTY)

    with raw_server(redirect) as url, pytest.raises(TransportError) as raised:
        transport.get(url, max_bytes=10)
    assert raised.value.url == url


@pytest.mark.parametrize(
    "delay", [b"9" * 20, b"9" * 5000, b"Fri, 31 Dec 9999999 23:59:59 GMT", b"soon"]
)
def test_a_server_cannot_put_off_the_next_try_for_ever(transport: Transport, delay: bytes) -> None:
    def busy(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: " + delay + b"\r\n" + EMPTY)

    began = time.monotonic()
    with raw_server(busy) as url, pytest.raises(TransportError, match="answers 503") as raised:
        transport.get(url, max_bytes=10)
    assert raised.value.status == 503
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", b"HTTP/1.1 503 Busy\r\n\r\n"]
)
def test_the_body_of_an_answer_that_nobody_wants_is_not_read(
    transport: Transport, head: bytes
) -> None:
    sent = 0

    def endless(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(head)
        while sent < 200_000_000:
            sent += connection.send(b"x" * 1_000_000)

    tracemalloc.start()
    try:
        with raw_server(endless) as url, pytest.raises(TransportError):
            transport.get(url, max_bytes=10)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert sent < 200_000_000


def test_the_body_of_a_redirect_is_not_unpacked(transport: Transport) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    head = b"HTTP/1.1 %s\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\nLocation: /x\r\n\r\n"

    def redirect(connection: socket.socket) -> None:
        connection.sendall(head % (b"302 Found", len(bomb)) + bomb)
        connection.recv(65536)
        connection.sendall(head % (b"404 No", 0))

    tracemalloc.start()
    try:
        with raw_server(redirect) as url, pytest.raises(TransportError, match="404"):
            transport.get(url, max_bytes=10)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_the_connection_of_a_short_redirect_is_used_again(transport: Transport) -> None:
    connections = 0

    def redirect_then_answer(connection: socket.socket) -> None:
        nonlocal connections
        connections += 1
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 5\r\n\r\nthere")
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with raw_server(redirect_then_answer) as url:
        assert transport.get(url, max_bytes=10).body == b"ok"
    assert connections == 1


def test_a_length_of_thousands_of_digits_is_no_length(transport: Transport) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nx")

    with raw_server(answer) as url:
        assert transport.get(url, max_bytes=10).body == b"x"


def test_an_address_that_is_none_is_shown_without_its_password(transport: Transport) -> None:
    with pytest.raises(TransportError) as raised:
        transport.get("http://user:secret@host:port/", max_bytes=10)
    assert "secret" not in str(raised.value)
