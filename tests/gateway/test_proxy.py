"""The gateway as a proxy: who may use it, what it answers, and what it lets through."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from securepip.errors import UsageError
from securepip.gateway.web.passing import Passing, named_with_hash, parse_allowed
from securepip.transport import TransportOptions
from securepip.trust import TrustStore
from tests.gateway.conftest import JSON, LIB, Reply, Running, run_gateway
from tests.support.begun import all_answered
from tests.support.hostile import HostileServer
from tests.support.repositories import MadeRepository


@pytest.fixture
def folder(tmp_path: Path, shared_repository: MadeRepository, hostile: HostileServer) -> Path:
    """The folder of a gateway that trusts the shared repository."""
    trust = TrustStore(tmp_path / "gateway" / "trust")
    trust.add("made", hostile.url, shared_repository.root.read_bytes())
    return tmp_path / "gateway"


@pytest.fixture
def proxy(folder: Path) -> Iterator[Running]:
    """A gateway as a proxy that lets no connection through."""
    with run_gateway(folder, by_url=False, passing=Passing()) as running:
        yield running


def token_of(running: Running) -> str:
    return urlsplit(running.url).path.strip("/")


def ask(running: Running, url: str, token: str | None = None, method: str = "GET") -> Reply:
    """Send a request through the proxy."""
    login = f"securepip:{token_of(running) if token is None else token}"
    headers = {
        "Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
        "Host": urlsplit(url).netloc or url,
        "Accept": JSON,
    }
    connection = running.connect()
    connection.putrequest(method, url, skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    named = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(answer.status, answer.reason, named, answer.read())


def test_a_trusted_index_is_answered_with_the_gateways_own_files(
    proxy: Running, hostile: HostileServer
) -> None:
    reply = ask(proxy, f"{hostile.url}simple/lib/")
    assert reply.status == 200
    (file,) = reply.json["files"]
    assert file["url"] == f"{proxy.url}files/lib/{LIB}"
    # The tool sends that request through the proxy as well.
    whole = ask(proxy, file["url"])
    assert whole.status == 200
    assert whole.body == ask(proxy, f"{hostile.url}packages/lib/{LIB}").body


@pytest.mark.parametrize("token", ["", "wrong", "ü"])
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_who_does_not_know_the_token_is_told_so(proxy: Running, token: str, method: str) -> None:
    url = "http://elsewhere.example.org/" if method == "GET" else "elsewhere.example.org:443"
    reply = ask(proxy, url, token, method)
    assert (reply.status, reply.reason) == (407, "the proxy wants its token")
    assert reply.headers["proxy-authenticate"].startswith("Basic ")


def test_the_gateways_own_pages_want_their_token_by_way_of_the_proxy_too(proxy: Running) -> None:
    assert ask(proxy, f"http://{proxy.host}/simple/lib/").status == 404
    assert ask(proxy, f"{proxy.url}simple/lib/").status == 200


@pytest.mark.parametrize("target", ["127.0.0.1:443", "packages.example.org:443", "[::1]:1", "x"])
def test_every_encrypted_connection_is_refused_with_the_reason(proxy: Running, target: str) -> None:
    reply = ask(proxy, target, method="CONNECT")
    assert reply.status == 403
    assert "was refused: nobody could verify what comes from there" in reply.reason
    assert "--allow" in reply.json["remedy"]


def test_nothing_is_sent_anywhere(proxy: Running, hostile: HostileServer) -> None:
    all_answered()
    hostile.seen.clear()
    reply = ask(proxy, f"{hostile.url}upload", method="POST")
    assert (reply.status, reply.json["kind"]) == (403, "refused")
    assert hostile.seen == []


def test_a_gateway_that_is_no_proxy_says_so(folder: Path, hostile: HostileServer) -> None:
    with run_gateway(folder, by_url=False) as running:
        assert ask(running, f"{hostile.url}simple/lib/").status == 421
        assert ask(running, "127.0.0.1:1", method="CONNECT").status == 421


@contextmanager
def serve_echo() -> Iterator[tuple[int, list[bytes]]]:
    """A server that sends back what it gets; its port, and the first bytes of each connection.

    To a proxy's CONNECT it answers as a proxy does.
    """
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(4096):
                seen.append(data)
                if data.startswith(b"CONNECT "):
                    data = b"HTTP/1.1 200 yes\r\n\r\n"
                connection.sendall(data)

    def accept(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("behind_a_proxy", [False, True])
def test_a_tunnel_to_an_allowed_host_carries_bytes_both_ways(
    folder: Path, monkeypatch: pytest.MonkeyPatch, behind_a_proxy: bool
) -> None:
    with serve_echo() as (port, seen):
        host = "build.example.org" if behind_a_proxy else "127.0.0.1"
        outer = f"http://user:secr%40t@127.0.0.1:{port}" if behind_a_proxy else None
        passing = Passing(frozenset({host}), options=TransportOptions(proxy=outer))
        with run_gateway(folder, by_url=False, passing=passing) as running:
            connection = http.client.HTTPConnection(running.host, timeout=60)
            login = base64.b64encode(f"x:{token_of(running)}".encode()).decode()
            connection.set_tunnel(host, port, {"Proxy-Authorization": f"Basic {login}"})
            connection.connect()
            assert connection.sock is not None
            sent = b"hello" * 100_000
            thread = threading.Thread(target=connection.sock.sendall, args=(sent,))
            thread.start()
            received = b""
            while len(received) < len(sent):
                received += connection.sock.recv(65536)
            thread.join()
            assert received == sent
            connection.close()
    if behind_a_proxy:
        assert seen[0].startswith(f"CONNECT {host}:{port} HTTP/1.1\r\n".encode())
        assert base64.b64encode(b"user:secr@t") in seen[0]
        assert token_of(running).encode() not in seen[0]


def test_an_allowed_host_that_is_not_there_is_an_error(folder: Path) -> None:
    passing = Passing(parse_allowed(["127.0.0.1:1"]))
    with run_gateway(folder, by_url=False, passing=passing) as running:
        reply = ask(running, "127.0.0.1:1", method="CONNECT")
        assert reply.status == 502
        assert "127.0.0.1:1 could not be connected to" in reply.reason
        assert ask(running, "http://127.0.0.1:1/x").status == 502
        assert ask(running, "127.0.0.1:2", method="CONNECT").status == 403


@pytest.mark.parametrize("text", ["", "https://a", "a/b", "user@a", "a:b", "a:99999", "a b:"])
def test_what_is_allowed_is_a_host(text: str) -> None:
    with pytest.raises(UsageError, match="--allow"):
        parse_allowed([text])


def test_an_allowed_host_allows_no_other() -> None:
    passing = Passing(parse_allowed(["Example.org", "build.example.org:8443", "[::1]"]))
    assert passing.allows("example.org", 1)
    assert passing.allows("::1", 443)
    assert passing.allows("build.example.org", 8443)
    assert not passing.allows("build.example.org", 443)
    assert not passing.allows("evilexample.org", 443)
    assert not passing.allows("sub.example.org", 443)


def test_the_hashes_that_a_command_names_are_those_that_count(tmp_path: Path) -> None:
    good, url = "0" * 64, "http://packages.example.org/a-1.0.zip"
    file = tmp_path / "requirements.txt"
    file.write_text(f"a @ {url}#egg=a&sha256={good}\nb @ http://x.example.org/b.zip#md5={'0' * 32}")
    for words in (["-r", str(file)], [f"-r{file}"], [f"--requirement={file}"], ["--requirement",
                  str(file)], [f"a @ {url}#sha256={good}"]):  # fmt: skip
        assert named_with_hash(["pip", "install", *words]) == {url: {f"sha256:{good}"}}
    assert named_with_hash(["pip", str(file), f"{url}#sha256=0"]) == {}


@pytest.mark.parametrize("text", ["http://", "http://a#sha256=", "http://a\tb#"])
def test_looking_for_hashes_takes_no_longer_than_the_file_is_long(text: str) -> None:
    began = time.process_time()
    assert named_with_hash([text * 100_000]) == {}
    assert time.process_time() - began < 5
