"""A notice names the server that a user waits for; and questions for a path are as in pip."""

from __future__ import annotations

import logging
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from securepip.errors import UnreachableError
from securepip.transport import Transport, TransportOptions, watch
from tests.support.hostile import serve_hostile
from tests.support.machine import Machine
from tests.support.ports import closed_port
from tests.support.repositories import MadeRepository
from tests.transport.test_transport import raw_server

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


def test_a_server_that_cannot_be_reached_is_said_once_a_wait_and_named_first(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "securepip.waiting")
    slept: list[float] = []
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=slept.append)
    monkeypatch.setattr(watch, "time", clock)
    with closed_port() as port, Transport(TransportOptions(retries=2)) as transport:
        address = f"http://127.0.0.1:{port}/"
        for _ in range(2):
            with pytest.raises(UnreachableError) as raised:
                transport.called(f"company ({address})").get(f"{address}x", max_bytes=1)
    assert str(raised.value).startswith(f"cannot reach company ({address}): {address}x could not")
    said = [each for each in caplog.records if each.name == "securepip.waiting"]
    assert [each.getMessage() for each in said] == [
        f"cannot reach company ({address}), trying again",
        f"cannot reach company ({address}), trying again in 0.5 s",
    ]
    assert slept == [0.0, 0.5] * 2


def test_silence_is_said_while_it_lasts(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "securepip.waiting")
    monkeypatch.setattr(watch, "NOTICE_SECONDS", 0.1)
    said = threading.Event()
    monkeypatch.setattr(caplog.handler, "emit", lambda record: said.set())

    def waits(connection: socket.socket) -> None:
        if said.wait(60):
            connection.sendall(OK)

    with raw_server(waits) as url, Transport(TransportOptions(timeout=60, retries=0)) as transport:
        assert transport.get(url, max_bytes=2).body == b"ok"


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_an_install_from_a_server_that_is_gone_says_so_in_words(
    machine: Machine, shared_repository: MadeRepository, tmp_path: Path, quiet: tuple[str, ...]
) -> None:
    with serve_hostile(shared_repository.folder) as server:
        machine.trust(shared_repository, server.url, "company")
    with closed_port(urlsplit(server.url).port or 0):
        done = machine.install("app", "--retries", "1", *quiet)
    first, *rest = done.err.splitlines()
    if not quiet:
        assert first == f"cannot reach company ({server.url}), trying again"
        first = rest[0]
    assert first.startswith(f"ERROR: cannot reach company ({server.url}): ")
    assert done.code == 1


def test_a_plus_is_asked_for_as_pip_asks() -> None:
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        connection.sendall(OK)

    with raw_server(answer, seen=asked) as url, Transport() as transport:
        transport.get(f"{url}-1.0+cpu%2B.whl?a=b+c", max_bytes=2)
    assert asked[0].startswith(b"GET /file-1.0%2Bcpu%2B.whl?a=b+c HTTP/1.1\r\n")
