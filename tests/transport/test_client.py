"""A transport: its counts, shared downloads, abandoned requests and errors."""

from __future__ import annotations

import copy
import io
import pickle
import runpy
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import securepip.transport
from securepip.errors import TooLargeError, TooSlowError, TransportError, UnreachableError
from securepip.transport import Allowance, Transport, TransportOptions, client, path_to_url
from securepip.transport.client import Traffic
from securepip.transport.pool import Pool
from tests.transport.test_transport import raw_server

OPTIONS = TransportOptions(timeout=60, retries=0)
LONG = 60.0
"""Seconds that nobody waits for but where something is wrong."""


@pytest.fixture
def transport() -> Iterator[Transport]:
    with Transport(OPTIONS) as made:
        yield made


def answers(
    body: bytes, *headers: str, status: str = "200 OK", short: int = 0
) -> Callable[[socket.socket], None]:
    """Sends an answer, perhaps without its last bytes, and closes the connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    head = "\r\n".join([*lines, "", ""]).encode()
    return lambda connection: connection.sendall(head + body[: len(body) - short])


def test_requests_and_the_bytes_of_wanted_bodies_are_counted(
    transport: Transport, tmp_path: Path
) -> None:
    with raw_server(answers(b"five!")) as url, raw_server(answers(b"x", status="404 No")) as bad:
        assert transport.get(f"{url}/a", max_bytes=5).body == b"five!"
        transport.within(Allowance()).download(f"{url}/b", io.BytesIO(), max_bytes=5)
        with pytest.raises(TransportError):
            transport.get(f"{bad}/c", max_bytes=5)
    (tmp_path / "file").write_bytes(b"of this machine")
    here = transport.get(path_to_url(tmp_path / "file"), max_bytes=99)
    assert (here.status, here.body) == (200, b"of this machine")
    assert transport.traffic.take() == (3, 10)
    assert transport.traffic.take() == (0, 0)
    transport.traffic.add()
    assert repr(transport.traffic) == repr(Traffic()) == "Traffic(requests=0, bytes=0)"


def test_a_peek_sees_status_and_headers_and_reads_no_body(transport: Transport) -> None:
    seen: list[bytes] = []
    with raw_server(answers(b"x" * 100, "X-Say: this"), seen) as url:
        answer = transport.peek(url)
        assert (answer.status, answer.headers["x-say"], answer.body) == (200, "this", b"")
        transport.peek(url, headers={"X-Ask": "that"})
    assert transport.traffic.take() == (2, 0)
    assert [b"X-Ask: that" in each for each in seen] == [False, True]
    with raw_server(answers(b"", status="404 No")) as url:
        with pytest.raises(TransportError) as raised:
            transport.peek(url)
        assert raised.value.status == 404
        assert transport.peek(url, accept=(404,)).status == 404


def test_a_header_that_is_given_is_sent(transport: Transport) -> None:
    seen: list[bytes] = []
    with raw_server(answers(b""), seen) as url:
        transport.get(url, max_bytes=0)
        transport.get(url, max_bytes=0, headers={"X-Ask": "that"})
    assert [b"X-Ask: that" in each for each in seen] == [False, True]


def test_a_copy_and_one_in_another_process_are_configured_alike() -> None:
    transport = Transport(OPTIONS)
    assert transport.options is copy.copy(transport).options is OPTIONS
    assert pickle.loads(pickle.dumps(transport)).options == OPTIONS  # noqa: S301 # its own
    assert Transport().options == TransportOptions()


def test_the_end_gives_up_what_is_under_way_and_begins_nothing(transport: Transport) -> None:
    asked, goes_on = threading.Event(), threading.Event()

    def silent(connection: socket.socket) -> None:
        asked.set()
        goes_on.wait(LONG)

    with raw_server(silent) as url:
        early = transport.early(url, max_bytes=9)
        assert asked.wait(LONG)
        began = time.monotonic()
        transport.close()
        with pytest.raises(TransportError):
            early.result()
        assert time.monotonic() - began < OPTIONS.timeout, "it was not its time that ended it"
        goes_on.set()
    with pytest.raises(RuntimeError, match="closed"):
        transport.submit(int, 1)


def test_who_leaves_a_transport_closes_it_and_what_was_never_asked_has_no_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(client, "new_session")
    with Transport(OPTIONS) as transport:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        transport.submit(int, 1)


def test_what_comes_after_an_error_is_not_begun(transport: Transport) -> None:
    transport._wire.pool = Pool(1)
    done: list[int] = []
    goes_on = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            raise ValueError
        goes_on.wait(LONG)
        done.append(number)

    with pytest.raises(ValueError):  # which has no words
        list(transport.map(work, range(9)))
    goes_on.set()
    transport.submit(int, 1).result(LONG)
    assert done in ([], [1])


def test_an_early_body_that_breaks_off_takes_its_memory_once(transport: Transport) -> None:
    asked = 0

    def breaks_once(connection: socket.socket) -> None:
        nonlocal asked
        asked += 1
        answers(b"0123456789", short=4 if asked == 1 else 0)(connection)

    with raw_server(breaks_once) as url:
        early = transport.within(Allowance(early_bytes=10)).early(url, max_bytes=10)
        assert early.result() == b"0123456789"
    assert asked == 2


def test_a_body_longer_than_what_is_around_it_may_be_is_read(transport: Transport) -> None:
    body = bytes(3_000_000)
    with raw_server(answers(body)) as url:
        assert transport.get(url, max_bytes=len(body)).body == body


def test_parts_that_are_longer_than_they_say_are_no_longer_together_than_allowed(
    transport: Transport,
) -> None:
    parts = [
        answers(b"0123456", 'ETag: "a"', short=1),
        answers(b"6789+more", 'ETag: "a"', "Content-Range: bytes 6-9/10", status="206 Part"),
    ]
    into = io.BytesIO()
    with (
        raw_server(lambda connection: parts.pop(0)(connection)) as url,
        pytest.raises(TooLargeError),
    ):
        transport.download(url, into, max_bytes=10)
    assert into.getvalue() == b"012345"


@pytest.mark.parametrize("body", [b"", b"x" * 100_000])
def test_progress_is_told_of_each_piece_and_of_nothing_else(
    transport: Transport, body: bytes
) -> None:
    told: list[int] = []
    into = io.BytesIO()
    with raw_server(answers(body)) as url:
        transport.download(url, into, max_bytes=len(body), progress=told.append)
    assert into.getvalue() == body
    assert all(number > 0 for number in told)
    assert sum(told) == len(body)


def test_a_download_asks_for_the_bytes_as_they_are_and_takes_what_comes(
    transport: Transport,
) -> None:
    seen: list[bytes] = []
    into = io.BytesIO()
    with raw_server(answers(b"not packed", "Content-Encoding: gzip"), seen) as url:
        transport.download(url, into, max_bytes=10)
    assert into.getvalue() == b"not packed"
    assert b"Accept-Encoding: identity" in seen[0]
    assert b"Range:" not in seen[0]


def test_what_guesses_encodings_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    guessers = ("chardet", "charset_normalizer")
    for name in list(sys.modules):
        if name.startswith(("requests", *guessers)):
            monkeypatch.delitem(sys.modules, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runpy.run_path(securepip.transport.__file__)
    assert "requests" in sys.modules
    assert not [name for name in sys.modules if name.startswith(guessers)]


# ------------------------------------------------------------------- what is said


def test_nobody_is_asked_when_the_time_of_the_work_is_over(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("somebody is asked"))
    with pytest.raises(TooSlowError):
        transport.within(Allowance(seconds=0)).get("http://127.0.0.1:9/", max_bytes=2)


def test_a_page_that_says_no_has_little_time(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_ERROR_PAGE_SECONDS", 0.05)
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 9999\r\n\r\n")
        while not stop.wait(0.01):
            connection.sendall(b"x")

    with raw_server(drip) as url:
        began = time.monotonic()
        with pytest.raises(TransportError, match="404"):
            transport.get(url, max_bytes=9)
        stop.set()
    assert time.monotonic() - began < OPTIONS.timeout


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
@pytest.mark.parametrize("retries", [0, 5])
def test_a_server_that_falls_silent_has_no_longer_than_an_answer_may_take(
    says: bytes, retries: int
) -> None:
    goes_on = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(says)
        goes_on.wait(LONG)

    options = TransportOptions(timeout=LONG, retries=retries, answer_seconds=0.05)
    with Transport(options) as transport, raw_server(talk) as url:
        with pytest.raises(TransportError, match="too slowly"):
            transport.get(url, max_bytes=9)
        goes_on.set()


def test_a_server_that_says_nothing_is_told_from_one_that_cannot_be_reached() -> None:
    goes_on = threading.Event()
    with (
        Transport(TransportOptions(timeout=0.05, retries=0)) as transport,
        raw_server(lambda connection: void(goes_on.wait(LONG))) as url,
    ):
        with pytest.raises(UnreachableError) as raised:
            transport.get(url, max_bytes=9)
        goes_on.set()
        site = url.removesuffix("file")
        assert raised.value.what.startswith(f"{site} does not answer: {url} could not be fetched")
        assert "--timeout" in raised.value.remedy
    with Transport(OPTIONS) as transport:
        with pytest.raises(UnreachableError) as raised:
            transport.get("http://127.0.0.1:9/x", max_bytes=9)
        assert raised.value.what.startswith("cannot reach http://127.0.0.1:9/: http://127.0.0.1:9")
        assert "proxy" in raised.value.remedy
        with pytest.raises(TransportError, match="could not be fetched") as other:
            transport.get("http://127.0.0.1:99999/x", max_bytes=9)
        assert type(other.value) is TransportError


def void(_: object) -> None:
    """Return nothing."""
