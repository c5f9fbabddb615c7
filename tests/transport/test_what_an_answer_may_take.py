"""An answer has one limit of time and one of raw bytes, however slowly a server sends it.

Each attack is run twice: as it is, and on a copy of the client whose watch was taken out, which
goes on for as long as the server likes.
"""

from __future__ import annotations

import gzip
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from securepip.errors import TooSlowError, TransportError
from securepip.transport import (
    Allowance,
    Transport,
    TransportOptions,
    allowance,
    path_to_url,
    watch,
)
from tests.transport.test_transport import raw_server

BUDGET = 0.1
"""Seconds that an answer has."""

LONG, SHORT = 60.0, 0.4
"""Seconds after which the servers here end by themselves: much later, and a little later."""

OK = b"HTTP/1.1 200 OK\r\n"
GZIP = OK + b"Content-Encoding: gzip\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HEADER = gzip.compress(b"")[:3]

Endless = tuple[bytes, bytes]
"""What is sent first, and then again and again."""

ENDLESS: dict[str, Endless] = {
    "a status line": (b"HTTP/1.1 200 ", b"x"),
    "a header": (OK + b"X-Long: ", b"x"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a gzip header": (GZIP + HEADER + b"\x08" + bytes(6), b"x"),
    "gzip of nothing": (GZIP + HEADER + bytes(7), b"\0\0\0\xff\xff"),
    "a chunk's length": (CHUNKED + b"1;", b"x"),
    "trailers": (CHUNKED + b"0\r\n", b"X: " + b"y" * 95 + b"\r\n"),
    "a page that says 404": (b"HTTP/1.1 404 Not Found\r\n\r\n", b"x"),
    "the body of a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"x"),
}
FAST = ("a gzip header", "gzip of nothing", "trailers")


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "GRACE_SECONDS", BUDGET)
    monkeypatch.setattr(watch, "MIN_BYTES_PER_SECOND", 1 << 40)


def seconds_of(talk: Callable[[socket.socket], None], scheme: str = "http") -> float:
    """The seconds after which a client gives up."""
    with (
        raw_server(talk) as url,
        Transport(TransportOptions(timeout=60, retries=20)) as transport,
        pytest.raises(TransportError) as raised,
    ):
        began = time.monotonic()
        transport.get(url.replace("http", scheme, 1), max_bytes=1000)
    assert raised.value.url.startswith(scheme)
    return time.monotonic() - began


def seconds_without_a_watch(
    talk: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch, scheme: str = "http"
) -> float:
    """The seconds after which the same client gives up with its watch taken out."""
    monkeypatch.setattr(watch.Watch, "due", lambda self: time.monotonic() + 100)
    monkeypatch.setattr(watch.Watch, "count", lambda self, received: None)
    began = time.monotonic()
    options = TransportOptions(timeout=60, retries=0)
    with raw_server(talk) as url, Transport(options) as transport, suppress(TransportError):
        transport.get(url.replace("http", scheme, 1), max_bytes=1000)
    return time.monotonic() - began


def drip(endless: Endless, seconds: float) -> Callable[[socket.socket], None]:
    """A function that sends ``endless`` for so long, or until the client has gone."""
    first, again = endless
    stop = 0.0

    def talk(connection: socket.socket) -> None:
        nonlocal stop
        stop = stop or time.monotonic() + seconds
        connection.sendall(first)
        while time.monotonic() < stop:
            connection.sendall(again)
            time.sleep(0.01)

    return talk


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("what", ENDLESS)
def test_what_drips_without_end_is_given_up_when_its_time_is_over(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("securepip.transport.client._ERROR_PAGE_SECONDS", BUDGET)
    assert seconds_of(drip(ENDLESS[what], LONG)) < LONG, "it was given up before the server ended"
    assert seconds_without_a_watch(drip(ENDLESS[what], SHORT), monkeypatch) > SHORT - 0.1


@pytest.mark.parametrize("what", FAST)
def test_what_comes_fast_without_end_is_given_up_after_few_bytes(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again = ENDLESS[what]
    sent, whole = 0, 20_000_000

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(first)
        for piece in itertools.repeat(again * (100_000 // len(again))):
            if sent > whole:
                return
            sent += connection.send(piece)

    seconds_of(pour)
    assert sent < whole / 2
    sent = 0
    seconds_without_a_watch(pour, monkeypatch)
    assert sent > whole


@pytest.mark.usefixtures("_impatient")
def test_a_tls_handshake_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # A record of 16 kB with the beginning of a message of 16 MB.
    slow = b"\x16\x03\x03\x40\x00\x02\xff\xff\xff", b"x"
    assert seconds_of(drip(slow, LONG), "https") < LONG, "it was given up before the server ended"
    assert seconds_without_a_watch(drip(slow, SHORT), monkeypatch, "https") > SHORT - 0.1


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /again\r\n",
        b"HTTP/1.1 503 Busy\r\n",
        b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n",
    ],
)
def test_redirects_and_further_tries_get_no_time_of_their_own(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def talk(connection: socket.socket) -> None:
        nonlocal asked
        asked += 1
        time.sleep(BUDGET / 8)
        connection.sendall(head + b"Connection: close\r\nContent-Length: 0\r\n\r\n")

    seconds_of(talk)
    assert asked <= 9, "it was given up before the server was done"
    if head.startswith(b"HTTP/1.1 302"):
        asked = 0
        seconds_without_a_watch(talk, monkeypatch)
        assert asked > 30


@pytest.fixture
def transport() -> Iterator[Transport]:
    with Transport(TransportOptions(timeout=60, retries=0)) as made:
        yield made


def test_the_small_files_of_one_piece_of_work_have_a_time_together(transport: Transport) -> None:
    """Each of them alone is in time: its budget is minutes."""

    def slowly(connection: socket.socket) -> None:
        time.sleep(0.06)
        connection.sendall(
            b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )

    def tries(view: Transport, url: str, most: int) -> int:
        for number in range(most):
            try:
                view.get(url, max_bytes=10)
            except TooSlowError:
                return number
            except TransportError:
                pass
        return most

    with raw_server(slowly) as url:
        assert tries(transport.within(Allowance(seconds=0.15)), url, 6) <= 3
        assert tries(transport, url, 6) == 6


def test_what_arrives_earns_the_time_that_a_slow_network_needs(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(allowance, "time", SimpleNamespace(monotonic=lambda: now))

    def slowly(connection: socket.socket) -> None:
        nonlocal now
        now += 1.5
        connection.sendall(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok")

    view = transport.within(Allowance(seconds=60))
    with raw_server(slowly) as url:
        for _ in range(60):
            assert view.get(url, max_bytes=10).body == b"ok"
    assert now == 90


def test_bodies_that_are_fetched_early_are_held_up_to_a_limit_and_then_fetched_when_asked_for(
    transport: Transport,
) -> None:
    asked = 0

    def answer(connection: socket.socket) -> None:
        nonlocal asked
        asked += 1
        connection.sendall(OK + b"Connection: close\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)

    allowance = Allowance(early_bytes=2500)
    view = transport.within(allowance)
    with raw_server(answer) as url:
        early = [view.early(f"{url}{number}", max_bytes=1000) for number in range(5)]
        assert [each.result() for each in early] == [b"x" * 1000] * 5
        assert asked == 5 + 3
        early.clear()
        # What nobody holds any more makes room again.
        early = [view.early(f"{url}{number}", max_bytes=1000) for number in range(2)]
        assert [len(each.result()) for each in early] == [1000] * 2
        # A thread may hold the last one for a moment after it has handed it over.
        assert asked < 5 + 3 + 2 * 2


def test_what_was_begun_ahead_is_for_one_caller_and_kept_neither_for_long_nor_without_end(
    transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / str(number) for number in range(4)]
    for file in files:
        file.write_text(file.name)
    first, second, third, fourth = map(path_to_url, files)
    now = 0.0
    monkeypatch.setattr(allowance, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(allowance, "AHEAD_FILES", 3)
    for url in (first, second, third, fourth):
        transport.begin_ahead(url, max_bytes=9)
    assert not transport.expects(fourth)
    monkeypatch.setattr(allowance, "AHEAD_FILES", 4)
    with monkeypatch.context() as patched:
        patched.setattr(transport, "early", lambda url, max_bytes: pytest.fail("it was begun"))
        transport.begin_ahead(first, max_bytes=9)
    now += allowance.AHEAD_SECONDS
    early = transport.begun_ahead(first)
    assert early is not None
    assert early.result() == b"0"
    assert transport.begun_ahead(first) is None
    assert transport.expects(second)
    now += 1
    assert transport.begun_ahead(second) is None
    assert not transport.expects(third)
    transport.begin_ahead(third, max_bytes=9)
    assert transport.expects(third)


def test_what_was_begun_ahead_and_has_failed_is_expected_by_nobody(
    transport: Transport, tmp_path: Path
) -> None:
    url = path_to_url(tmp_path / "missing")
    transport.begin_ahead(url, max_bytes=9)
    until = time.monotonic() + 60
    while transport.expects(url):
        assert time.monotonic() < until
        time.sleep(0.001)
