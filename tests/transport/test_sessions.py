"""Requests, their repetitions and their redirects, without a server."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
)

from securepip.errors import TransportError
from securepip.transport import TransportOptions, connections
from securepip.transport import watch as watches
from securepip.transport.allowance import unlimited
from securepip.transport.connections import Session, new_session
from securepip.transport.watch import OutOfTimeError, Watch, Watchdog

HOST = "https://packages.example.org"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(now=1000.0, slept=[])
    found.monotonic = lambda: found.now
    found.sleep = found.slept.append
    monkeypatch.setattr(watches, "time", found)
    return found


@pytest.fixture
def watched(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Watch]:
    """Let this thread fetch with a time limit of a minute."""
    caplog.set_level(logging.INFO, "securepip.waiting")
    dog = Watchdog()
    monkeypatch.setattr(dog, "_run", lambda: None)  # nothing is shut but by the test
    with dog.watch(clock.now + 60, unlimited(), "company") as watch:
        yield watch


# --------------------------------------------------------------------------- requests


def sent(monkeypatch: pytest.MonkeyPatch, session: Session, url: str) -> requests.PreparedRequest:
    """The request that a session sends for a URL."""
    found: list[tuple[requests.PreparedRequest, dict[str, Any]]] = []
    monkeypatch.setattr(
        session, "send", lambda request, **settings: found.append((request, settings))
    )
    session.open(url, {"X-More": "1"}, 7.0)
    ((request, settings),) = found
    assert settings["timeout"] == 7.0
    assert settings["stream"], "the body is not read before it is watched"
    return request


def test_what_is_sent_is_the_same_whether_the_library_prepares_it_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = new_session(TransportOptions(named=(f"{HOST.replace('//', '//me:word@')}/",)))
    session.cookies.set("a", "b", domain="packages.example.org", path="/")
    short = sent(monkeypatch, session, f"{HOST}/simple/x/")
    long = sent(monkeypatch, session, f"{HOST}/simple/x/?y=z")
    assert connections._PLAIN_URL.fullmatch(f"{HOST}/simple/x/")
    assert (short.method, short.url) == ("GET", f"{HOST}/simple/x/")
    assert long.url == f"{HOST}/simple/x/?y=z"
    assert short.headers == long.headers
    assert short.headers["User-Agent"].startswith("securepip/")
    assert short.headers["Accept-Encoding"] == "gzip"
    assert short.headers["X-More"] == "1"
    assert short.headers["Authorization"].startswith("Basic ")
    assert "Cookie" not in short.headers
    assert len(short.hooks["response"]) == len(long.hooks["response"]) == 1


def test_the_environment_is_read_once_for_each_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "elsewhere.example.org")
    monkeypatch.setenv("HTTPS_PROXY", "http://one.example.org/")
    session = new_session(TransportOptions())

    def proxy(url: str) -> str | None:
        found: str | None = session.merge_environment_settings(url, {}, True, None, None)[
            "proxies"
        ].get("https")
        return found

    assert proxy(f"{HOST}/x") == "http://one.example.org/"
    monkeypatch.setenv("HTTPS_PROXY", "http://two.example.org/")
    assert proxy(f"{HOST}/y") == "http://one.example.org/"
    assert proxy(f"{HOST}:8443/y") == "http://two.example.org/"
    assert proxy("https://elsewhere.example.org/") is None


@pytest.mark.parametrize("is_proxied", [True, False])
def test_a_path_that_looks_like_a_host_is_a_path(is_proxied: bool) -> None:
    adapter = new_session(TransportOptions()).get_adapter(HOST)
    proxies = {"http": "http://proxy.example.org/"} if is_proxied else {}

    def asked(url: str) -> str:
        request = requests.Request("GET", url).prepare()
        found: str = adapter.request_url(request, proxies)  # type: ignore[attr-defined] # ours
        return found

    origin = "http://packages.example.org"
    before = origin if is_proxied else ""
    assert asked(f"{origin}/x//y/") == f"{before}/x//y/"
    assert asked(f"{origin}//elsewhere.example.org/y/") == (
        f"{before}//elsewhere.example.org/y/" if is_proxied else "/elsewhere.example.org/y/"
    )


# -------------------------------------------------------------------------- redirects


def redirect(asked: str, target: str | None) -> requests.Response:
    response: Any = requests.Response()
    response.status_code, response.url = 302, asked
    response.request = requests.Request("GET", asked).prepare()
    response.raw = SimpleNamespace(closed=False, release_conn=lambda: None)
    response.raw.close = lambda: setattr(response.raw, "closed", True)
    if target is not None:
        response.headers["Location"] = target
    found: requests.Response = response
    return found


@pytest.mark.parametrize(
    ("asked", "target", "is_refused"),
    [
        (f"{HOST}/x", "http://packages.example.org/x", True),
        (f"{HOST}/x", "HTTP://packages.example.org/x", True),
        (f"{HOST}/x", "ftp://packages.example.org/x", True),
        (f"{HOST}/x", "file:///x", True),
        (f"{HOST}/x", "https://elsewhere.example.org/x", False),
        (f"{HOST}/x", "/y", False),
        (f"{HOST}/x", "//elsewhere.example.org/y", False),
        ("http://packages.example.org/x", "http://elsewhere.example.org/x", False),
        ("http://packages.example.org/x", "https://elsewhere.example.org/x", False),
        (f"{HOST}/x", None, False),
    ],
)
def test_who_wants_to_stay_encrypted_is_led_nowhere_else(
    asked: str, target: str | None, is_refused: bool
) -> None:
    for stays in (True, False):
        response = redirect(asked, target)
        session = new_session(TransportOptions(stay_encrypted=stays))
        if is_refused and stays:
            with pytest.raises(TransportError, match="not encrypted"):
                session.get_redirect_target(response)
        else:
            assert session.get_redirect_target(response) == target
        assert response.raw.closed == (is_refused and stays)


@pytest.mark.parametrize(
    ("target", "is_kept"),
    [
        (f"{HOST}/y", True),
        (f"{HOST}:443/y", True),
        (f"{HOST}:8443/y", False),
        ("http://packages.example.org/y", False),
        ("https://elsewhere.example.org/y", False),
        ("https://mallory:word@packages.example.org/y", True),
        ("https://packages.example.org@elsewhere.example.org/y", False),
        ("https://packages.example.org:443@elsewhere.example.org/y", False),
    ],
)
def test_a_password_and_a_trusted_host_are_those_of_one_server(target: str, is_kept: bool) -> None:
    options = TransportOptions(trusted_hosts=("packages.example.org",))
    session = new_session(options)
    response = redirect(f"{HOST}/x", target)
    response.request.headers["Authorization"] = "Basic x"
    followed = response.request.copy()
    followed.url = target
    session.rebuild_auth(followed, response)
    assert ("Authorization" in followed.headers) == is_kept
    assert followed.url is not None
    assert "@" not in followed.url
    insecure = session.get_adapter(f"{HOST}/")
    assert insecure is not session.get_adapter("https://elsewhere.example.org/")
    is_there = followed.url.startswith(f"{HOST}/") or followed.url.startswith(f"{HOST}:")
    assert (session.get_adapter(followed.url) is insecure) == is_there


# ------------------------------------------------------------------------ tried again


def retry_of(**options: Any) -> Any:
    return new_session(TransportOptions(**options)).get_adapter(HOST).max_retries  # type: ignore[attr-defined]


def answer(status: int, after: str | None = None) -> urllib3.HTTPResponse:
    headers = {} if after is None else {"Retry-After": after}
    return urllib3.HTTPResponse(b"", headers, status)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 410, 430, 499, 501, 505, 521])
def test_what_another_try_does_not_change_is_not_tried_again(status: int) -> None:
    assert not retry_of().is_retry("GET", status)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 520, 524])
def test_what_may_be_better_in_a_moment_is_tried_again(status: int) -> None:
    assert retry_of().is_retry("GET", status)
    assert not retry_of().is_retry("POST", status)


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("7", 7),
        ("30", 30),
        ("31", 30),
        ("9" * 20, 30),
        ("9" * 5000, None),
        ("Fri, 31 Dec 9999999 23:59:59 GMT", None),
        (f"Fri, 31 Dec {'9' * 20} 23:59:59 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 30),
        ("soon", None),
    ],
)
def test_a_server_puts_off_the_next_try_for_half_a_minute_at_most(
    watched: Watch, clock: SimpleNamespace, after: str | None, seconds: float | None
) -> None:
    busy = answer(503, after)
    retry = retry_of()
    assert retry.get_retry_after(busy) == seconds
    retry.sleep(busy)
    assert clock.slept == [seconds or 0]
    again = retry.increment("GET", "/", busy).increment("GET", "/", busy)
    again.sleep(busy)
    again.sleep()
    assert clock.slept[1:] == [seconds or 0.5, 0.5]


def test_the_next_try_is_said_with_who_is_asked_and_when(
    watched: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    closed, gone = ProtocolError("closed"), NewConnectionError(None, "gone")  # type: ignore[arg-type] # unused
    retry = retry_of().increment("GET", "/", error=closed)
    assert caplog.messages == [], "a connection of before that was closed meanwhile"
    retry = retry.increment("GET", "/", error=closed)
    retry = retry.increment("GET", "/", error=gone)
    retry = retry.increment("GET", "/", answer(503, "9"))
    retry.increment("GET", "/", answer(502))
    retry_of().increment("GET", "/", error=gone)
    assert caplog.messages == [
        "cannot reach company, trying again in 0.5 s",
        "cannot reach company, trying again in 1 s",
        "company answers 503, trying again in 9 s",
        "company answers 502, trying again in 4 s",
        "cannot reach company, trying again",
    ]


def test_nothing_is_tried_again_after_its_time_nor_oftener_than_the_user_wants(
    watched: Watch, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    retry = retry_of(retries=1).increment("GET", "/", answer(503))
    with pytest.raises(MaxRetryError):
        retry.increment("GET", "/", answer(503))
    caplog.clear()
    clock.now += 60
    with pytest.raises(OutOfTimeError):
        retry_of().increment("GET", "/", answer(503))
    assert caplog.messages == []


# ------------------------------------------------------------------------ connections


def test_connections_of_one_server_are_in_one_pool_unless_they_differ_in_trust() -> None:
    adapter: Any = new_session(TransportOptions()).get_adapter(HOST)

    def pool(url: str, verify: Any = True, cert: Any = None, proxies: Any = None) -> Any:
        request = requests.Request("GET", url).prepare()
        return adapter.get_connection_with_tls_context(request, verify, proxies, cert)

    first = pool(f"{HOST}/x")
    assert pool(f"{HOST}/y/z") is first
    others = [
        pool("https://elsewhere.example.org/x"),
        pool(f"{HOST}:8443/x"),
        pool("http://packages.example.org/x"),
        pool(f"{HOST}/x", verify=False),
        pool(f"{HOST}/x", proxies={"https": "http://proxy.example.org/"}),
    ]
    assert len({id(each) for each in [first, *others]}) == 6
    assert pool(f"{HOST}/x") is first
    assert pool(f"{HOST}/x", proxies={"http": "http://proxy.example.org/"}).proxy is None
    assert pool(f"{HOST}/x", proxies={"all": "proxy.example.org:3128"}).proxy is not None
    assert first.num_connections == 0
    assert not first.block


def test_a_redirect_puts_no_other_server_in_the_place_of_one() -> None:
    """The library leaves the address in a redirect as it is, perhaps without a slash."""
    session = new_session(TransportOptions())
    adapter: Any = session.get_adapter(HOST)

    def host_of_pool(url: str) -> str:
        request = requests.Request("GET", HOST).prepare()
        request.url = url
        found: str = adapter.get_connection_with_tls_context(request, True).host
        return found

    for chosen in ("https://packages.example.com", "https://packages.example.com?x=/", "http://ab"):
        host_of_pool(chosen)
    assert host_of_pool("https://packages.example.co/x") == "packages.example.co"
    assert host_of_pool("https://packages.example.com/x") == "packages.example.com"
    assert host_of_pool("http://a/") == "a"


def test_pools_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PARALLEL", 2)
    adapter: Any = new_session(TransportOptions()).get_adapter(HOST)

    def ask(number: int) -> int:
        request = requests.Request("GET", f"https://{number}.example.org/").prepare()
        adapter.get_connection_with_tls_context(request, True)
        return len(adapter._pools)

    assert [ask(number) for number in (1, 2, 2, 3, 4, 5)] == [1, 2, 2, 1, 2, 1]
    adapter.close()
    assert adapter._pools == {}


@pytest.mark.parametrize("cert", [None, "authorities.pem"])
def test_every_connection_is_watched_and_believes_whom_the_system_or_the_user_believes(
    cert: str | None,
) -> None:
    adapter: Any = new_session(TransportOptions(cert=cert)).get_adapter(HOST)
    for manager in (
        adapter.poolmanager,
        adapter.proxy_manager_for("http://proxy.example.org/"),
    ):
        context = manager.connection_pool_kw.get("ssl_context")
        assert (type(context).__module__.split(".")[0] == "truststore") == (cert is None)
        for scheme in ("http", "https"):
            kind = manager.pool_classes_by_scheme[scheme].ConnectionCls
            assert issubclass(kind, connections._Watched)


ADDRESSES = [
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80)) for host in ("127.0.0.1", "127.0.0.2")
]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """The addresses that were tried, with their time limits; ``outcome`` has the results."""
    found: list[tuple[str, float]] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*ADDRESSES, ADDRESSES[0]])
    return found


def connecting(
    monkeypatch: pytest.MonkeyPatch, tried: list[tuple[str, float]], *outcomes: Any
) -> None:
    left = list(outcomes)

    def create(address: tuple[str, int], timeout: float, **_: object) -> socket.socket:
        tried.append((address[0], timeout))
        outcome = left.pop(0)
        if callable(outcome):
            outcome = outcome()
        if isinstance(outcome, Exception):
            raise outcome
        made: socket.socket = outcome
        return made

    monkeypatch.setattr("urllib3.util.connection.create_connection", create)


def test_each_address_of_a_host_is_tried_alone_within_the_time_of_the_answer(
    watched: Watch,
    clock: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    tried: list[tuple[str, float]],
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def slow() -> Exception:
            clock.now += 50
            return TimeoutError("slow")

        connecting(monkeypatch, tried, slow, ours)
        connection = connections._Watched("packages.example.org", timeout=15)
        assert connection._new_conn() is ours
        assert tried == [("127.0.0.1", 15), ("127.0.0.2", 10)]
        assert (connection.host, connection.timeout) == ("packages.example.org", 15)
        assert len(watched._sockets) == 1
        clock.now = 1000
        connecting(monkeypatch, tried, OSError("refused"), ours)
        assert connections._Watched("packages.example.org", timeout=None)._new_conn() is ours
        assert tried[2:] == [("127.0.0.1", 60), ("127.0.0.2", 60)]


def test_a_host_whose_addresses_all_fail_is_given_up(
    watched: Watch,
    clock: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    tried: list[tuple[str, float]],
) -> None:
    connection = connections._Watched("packages.example.org", timeout=15)
    connecting(monkeypatch, tried, OSError("refused"), TimeoutError("slow"))
    with pytest.raises(ConnectTimeoutError):
        connection._new_conn()
    connecting(monkeypatch, tried, TimeoutError("slow"), OSError("refused"))
    with pytest.raises(NewConnectionError, match="refused"):
        connection._new_conn()
    assert len(tried) == 4

    def too_slow() -> Exception:
        clock.now += 60
        return TimeoutError("slow")

    connecting(monkeypatch, tried, too_slow)
    with pytest.raises(OutOfTimeError):
        connection._new_conn()
    assert len(tried) == 5
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    with pytest.raises(NewConnectionError, match="no address"):
        connection._new_conn()

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror("who?")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NameResolutionError):
        connection._new_conn()


def test_a_connection_that_is_used_again_is_watched_anew(
    watched: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = connections._Watched("packages.example.org", timeout=15)
        connection.sock = ours
        connection.request("GET", "/x")
        assert theirs.recv(1000).startswith(b"GET /x HTTP/1.1\r\n")
        assert len(watched._sockets) == 1
        watched.expire()
        assert theirs.recv(1) == b""
