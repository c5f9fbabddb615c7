"""Many clients at once: one download for all, and no client waits because of another one."""

from __future__ import annotations

import json
import socket
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from securepip.formats.digests import sha256_of
from securepip.trust import TrustStore
from tests.gateway.conftest import LIB, Running, run_gateway
from tests.support.begun import all_answered
from tests.support.hostile import HostileServer, flip_byte, serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel, metadata_text

WHEEL = f"files/lib/{LIB}"
SERVED = f"packages/lib/{LIB}"


def raw_request(running: Running, path: str) -> socket.socket:
    """A connection with a request for a file, whose answer nobody has read."""
    host, port = running.host.split(":")
    connection = socket.create_connection((host, int(port)))
    token = running.url.partition(running.host)[2]
    connection.sendall(f"GET {token}{path} HTTP/1.1\r\nHost: {running.host}\r\n\r\n".encode())
    return connection


def test_one_download_serves_all_who_wait_for_it(gateway: Running, hostile: HostileServer) -> None:
    hostile.delay = 0.05
    with ThreadPoolExecutor(50) as clients:
        replies = list(clients.map(lambda _: gateway.get(WHEEL), range(50)))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    assert hostile.seen.count(SERVED) == 1
    assert sum(path.startswith("simple/lib/") for path in hostile.seen) == 1
    assert hostile.seen.count("metadata/timestamp.json") == 1


def test_one_failed_download_is_told_to_all_who_wait_for_it_and_is_tried_anew_later(
    gateway: Running, hostile: HostileServer
) -> None:
    hostile.delay = 0.05
    hostile.alter(SERVED, flip_byte)
    with ThreadPoolExecutor(20) as clients:
        replies = list(clients.map(lambda _: gateway.get(WHEEL), range(20)))
    assert {reply.status for reply in replies} == {502}
    hostile.honest()
    assert gateway.get(WHEEL).status == 200


def test_a_download_goes_on_when_the_client_that_asked_for_it_goes_away(
    gateway: Running, hostile: HostileServer
) -> None:
    held, arrived = threading.Event(), threading.Event()

    def hold(data: bytes) -> bytes:
        arrived.set()
        held.wait(60)
        return data

    hostile.alter(SERVED, hold)
    raw_request(gateway, WHEEL).close()
    assert arrived.wait(60)
    held.set()
    assert gateway.get(WHEEL).status == 200
    assert hostile.seen.count(SERVED) == 1


def test_a_slow_server_of_one_file_delays_nobody_else(
    gateway: Running, hostile: HostileServer
) -> None:
    held = threading.Event()
    hostile.alter(SERVED, lambda data: (held.wait(60), data)[1])
    waiting = raw_request(gateway, WHEEL)
    try:
        assert gateway.get("files/other/other-1.0-py3-none-any.whl").status == 200
        assert gateway.get("simple/app/").status == 200
    finally:
        held.set()
        waiting.close()


def test_a_slow_server_of_one_page_delays_nobody_else(
    gateway: Running, hostile: HostileServer
) -> None:
    held = threading.Event()
    hostile.alter("simple/lib/.*", lambda data: (held.wait(60), data)[1])
    waiting = raw_request(gateway, "simple/lib/")
    try:
        assert gateway.get("simple/app/").status == 200
    finally:
        held.set()
        waiting.close()


@pytest.fixture
def big(tmp_path: Path) -> bytes:
    """Bytes that do not compress and do not fit into the buffers of a socket."""
    return b"".join(sha256_of(str(at).encode()).encode() for at in range(300_000))


def test_clients_that_do_not_read_delay_nobody_else(
    gateway: Running, made: MadeRepository, tmp_path: Path, big: bytes
) -> None:
    made.add(make_wheel(tmp_path / "built", "big", "1.0", files={"big.txt": big}))
    with serve_hostile(made.folder) as server:
        trust = TrustStore(tmp_path / "big" / "trust")
        trust.add("made", server.url, made.root.read_bytes())
        with run_gateway(tmp_path / "big") as running:
            path = "files/big/big-1.0-py3-none-any.whl"
            stuck = [raw_request(running, path) for _ in range(60)]
            try:
                assert len(running.get(path).body) > 5_000_000
                assert running.get(WHEEL).status == 200
                assert server.seen.count("packages/big/big-1.0-py3-none-any.whl") == 1
            finally:
                for connection in stuck:
                    connection.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_large_file_costs_no_more_memory_than_a_small_one(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    path = tmp_path / "built" / "large-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("large/data", bytes(100_000_000))
        archive.writestr("large-1.0.dist-info/METADATA", metadata_text("large", "1.0"))
        archive.writestr("large-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("large-1.0.dist-info/RECORD", "")
    made.add(path)
    machine.trust(made, str(made.folder))
    with machine.start("gateway") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        status = Path(f"/proc/{process.pid}/status")

        def most() -> int:
            return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024

        def length_of(file: str) -> int:
            with requests.get(f"{url}files/{file}", timeout=60, stream=True) as answer:
                return sum(map(len, answer.iter_content(1 << 20)))

        length_of(f"lib/{LIB}")
        before = most()
        with ThreadPoolExecutor(5) as clients:
            lengths = list(clients.map(length_of, [f"large/{path.name}"] * 5))
        assert set(lengths) == {path.stat().st_size}
        assert most() - before < 50_000_000
        process.terminate()


def test_a_file_in_the_store_is_hashed_when_this_gateway_first_serves_it(
    gateway: Running, tmp_path: Path, hostile: HostileServer
) -> None:
    wheel = gateway.get(WHEEL).body
    kept = gateway.store.path(sha256_of(wheel))
    kept.write_bytes(flip_byte(wheel))
    with run_gateway(tmp_path / "gateway") as another:
        assert another.get(WHEEL).body == wheel
    assert hostile.seen.count(SERVED) == 2


def test_a_file_that_is_changed_or_lost_while_the_gateway_runs_is_fetched_again(
    gateway: Running, hostile: HostileServer
) -> None:
    wheel = gateway.get(WHEEL).body
    kept = gateway.store.path(sha256_of(wheel))
    kept.write_bytes(b"something else")
    assert gateway.get(WHEEL).body == wheel
    kept.unlink()
    assert gateway.get(WHEEL).body == wheel
    assert hostile.seen.count(SERVED) == 3


def test_what_was_published_meanwhile_is_seen_when_the_state_is_old_enough(
    made: MadeRepository, tmp_path: Path
) -> None:
    with serve_hostile(made.folder) as server:
        for name, seconds, seen in (("long", 60.0, 1), ("short", 0.0, 2)):
            trust = TrustStore(tmp_path / name / "trust")
            trust.add("made", server.url, made.root.read_bytes())
            with run_gateway(tmp_path / name, refresh_seconds=seconds) as running:
                assert len(running.page("lib")["files"]) == seen if name == "long" else True
                made.add(make_wheel(tmp_path / "built", "lib", "2.0"))
                assert len(running.page("lib")["files"]) == seen


def test_nothing_new_costs_two_requests_when_the_state_is_brought_up_to_date(
    gateway: Running, tmp_path: Path, hostile: HostileServer
) -> None:
    with run_gateway(tmp_path / "gateway", refresh_seconds=0.0) as running:
        running.page("lib")
        all_answered()
        hostile.seen.clear()
        running.page("lib")
        all_answered()
    assert len(hostile.seen) == 2
