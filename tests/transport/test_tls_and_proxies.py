"""pip's options for certificates and proxies."""

from __future__ import annotations

import select
import socket
import ssl
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate

from securepip.errors import TransportError, UnreachableError
from securepip.transport import Transport, TransportOptions
from securepip.transport.connections import _check_certificates
from tests.support.hostile import HostileServer, make_certificate, serve_hostile
from tests.transport.test_transport import raw_server

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_certificate(tmp_path_factory.mktemp("certificate")))


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A certificate of no server in these tests."""
    return str(make_certificate(tmp_path_factory.mktemp("strange")))


@pytest.fixture
def server(tmp_path: Path, pem: str) -> Iterator[HostileServer]:
    (tmp_path / "file").write_bytes(b"ok")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with serve_hostile(tmp_path, context) as made:
        yield made


def fetch(url: str, **options: object) -> bytes:
    made = TransportOptions(retries=0, timeout=60, **options)  # type: ignore[arg-type] # any
    with Transport(made) as transport:
        return transport.get(url, max_bytes=2).body


@pytest.mark.parametrize(
    ("options", "environment", "is_believed"),
    [
        ({}, None, False),
        ({"cert": "PEM"}, None, True),
        ({"cert": "STRANGE"}, None, False),
        ({}, "PEM", True),
        ({"cert": "PEM"}, "STRANGE", True),
        ({"cert": "STRANGE"}, "PEM", False),
        ({"trusted_hosts": ("127.0.0.1",)}, None, True),
        ({"trusted_hosts": ("127.0.0.1",)}, "STRANGE", True),
        ({"trusted_hosts": ("127.0.0.1:PORT",)}, None, True),
        ({"trusted_hosts": ("127.0.0.1:PORT", "packages.example.org"), "cert": "STRANGE"}, None, 1),
        ({"trusted_hosts": ("127.0.0.1:1", "127.0.0", "localhost")}, None, False),
    ],
)
def test_the_certificate_of_a_server_is_believed_where_the_user_says_so(
    server: HostileServer,
    pem: str,
    strange: str,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, object],
    environment: str | None,
    is_believed: bool,
) -> None:
    names = {"PEM": pem, "STRANGE": strange}
    if environment is not None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", names[environment])
    port = server.url.rpartition(":")[2].strip("/")
    given = dict(options)
    if "cert" in given:
        given["cert"] = names[str(given["cert"])]
    if "trusted_hosts" in given:
        hosts: tuple[str, ...] = given["trusted_hosts"]  # type: ignore[assignment] # as above
        given["trusted_hosts"] = tuple(host.replace("PORT", port) for host in hosts)
    if is_believed:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert fetch(f"{server.url}file", **given) == b"ok"
    else:
        with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(f"{server.url}file", **given)
        assert server.seen == []


def test_a_server_is_told_who_asks_by_the_certificate_of_the_user(tmp_path: Path, pem: str) -> None:
    (tmp_path / "file").write_bytes(b"ok")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.load_verify_locations(pem)
    context.verify_mode = ssl.CERT_REQUIRED
    with serve_hostile(tmp_path, context) as server:
        with pytest.raises(TransportError):
            fetch(f"{server.url}file", cert=pem)
        assert fetch(f"{server.url}file", cert=pem, client_cert=pem) == b"ok"


@pytest.mark.parametrize("option", ["cert", "client_cert"])
def test_a_file_of_certificates_that_is_not_there_is_named(
    server: HostileServer, option: str
) -> None:
    with pytest.raises(TransportError, match=r"/no/such\.pem") as raised:
        fetch(f"{server.url}file", **{option: "/no/such.pem"})
    assert "--client-cert" in raised.value.remedy
    assert server.seen == []


@pytest.mark.parametrize("option", ["cert", "client_cert", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("content", [b"", b"no certificate", bytes(range(256))])
def test_a_file_that_holds_no_certificate_is_named_and_nothing_is_tried_with_it(
    server: HostileServer,
    pem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    option: str,
    content: bytes,
) -> None:
    none = tmp_path / "none.pem"
    none.write_bytes(content)
    options: dict[str, Any] = {"cert": pem}
    if option == "REQUESTS_CA_BUNDLE":
        monkeypatch.setenv(option, str(none))
        options = {}
    else:
        options[option] = str(none)
    assert tries(caplog, f"{server.url}file", r"none\.pem .*PEM", options) == []


def test_a_client_certificate_whose_key_is_encrypted_is_not_called_unreadable(
    pem: str, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.pem"
    made = Path(pem).read_bytes()
    key = load_pem_private_key(made, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    locked.write_bytes(key + load_pem_x509_certificate(made).public_bytes(Encoding.PEM))
    _check_certificates(pem, str(locked), "https://packages.example.org/")


def test_a_server_whose_certificate_is_not_believed_is_asked_once(
    server: HostileServer, strange: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert tries(caplog, f"{server.url}file", "CERTIFICATE_VERIFY_FAILED", {"cert": strange}) == []


def tries(
    caplog: pytest.LogCaptureFixture, url: str, error: str, options: dict[str, Any]
) -> list[str]:
    """The messages of a failing request about its five retries."""
    made = TransportOptions(retries=5, timeout=60, **options)
    with Transport(made) as transport, pytest.raises(TransportError, match=error):
        transport.get(url, max_bytes=2)
    return caplog.messages


def test_a_clock_that_is_years_back_is_not_told_with_a_line_of_a_library(
    server: HostileServer, pem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock stays as it is, and the library's limit moves to the future.
    monkeypatch.setattr("urllib3.connection.RECENT_DATE", date(2999, 1, 1))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert fetch(f"{server.url}file", cert=pem) == b"ok"
    assert seen == []


def answer(connection: socket.socket) -> None:
    connection.sendall(OK)


@pytest.mark.parametrize("by", ["option", "environment", "nobody"])
@pytest.mark.parametrize("environment_counts", [True, False])
def test_a_proxy_is_asked_where_the_user_names_one(
    monkeypatch: pytest.MonkeyPatch, by: str, environment_counts: bool
) -> None:
    direct: list[bytes] = []
    by_proxy: list[bytes] = []
    with raw_server(answer, direct) as url, raw_server(answer, by_proxy) as proxy:
        if by != "nobody":
            # What the option names comes first.
            wrong = "http://127.0.0.1:9/"
            monkeypatch.setenv("HTTP_PROXY", proxy if by == "environment" else wrong)
        option = proxy if by == "option" else None
        assert fetch(f"{url}/x", proxy=option, proxy_env=environment_counts) == b"ok"
    asks = by == "option" or (by == "environment" and environment_counts)
    assert [one.split(b" HTTP")[0] for one in by_proxy] == ([f"GET {url}/x".encode()] * asks)
    assert [one.split(b" HTTP")[0] for one in direct] == [b"GET /file/x"] * (not asks)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_reached_is_named_as_what_is_missing(scheme: str) -> None:
    with pytest.raises(UnreachableError, match=r"connect to proxy http://127\.0\.0\.1:9/?: Failed"):
        fetch(f"{scheme}://packages.example.org/", proxy="http://me:word@127.0.0.1:9/")


def test_a_proxy_sees_of_what_is_encrypted_only_the_name_of_the_server() -> None:
    seen: list[bytes] = []

    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    with raw_server(refuse, seen) as proxy, pytest.raises(UnreachableError, match="403"):
        fetch("https://user:word@packages.example.org/secret", proxy=proxy)
    ((first, *_),) = [each.split(b"\r\n") for each in seen]
    assert first.startswith(b"CONNECT packages.example.org:443 HTTP/1.")
    assert b"secret" not in seen[0]


@pytest.mark.parametrize("is_believed", [True, False])
def test_the_certificate_of_a_server_behind_a_proxy_is_looked_at_too(
    server: HostileServer, pem: str, is_believed: bool
) -> None:
    port = int(server.url.rpartition(":")[2].strip("/"))

    def connect(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 Go on\r\n\r\n")
        with socket.create_connection(("127.0.0.1", port)) as beyond:
            pump(connection, beyond)

    with raw_server(connect) as proxy:
        url = f"{server.url}file"
        if is_believed:
            assert fetch(url, proxy=proxy, cert=pem) == b"ok"
        else:
            with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
                fetch(url, proxy=proxy)


def pump(one: socket.socket, other: socket.socket) -> None:
    """Pass on the bytes of both sides until one of them closes."""
    while True:
        for ready in select.select([one, other], [], [], 5)[0]:
            data = ready.recv(65536)
            if not data:
                return
            (other if ready is one else one).sendall(data)
