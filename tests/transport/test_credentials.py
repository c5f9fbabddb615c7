"""User names and passwords come from the same sources as pip's, and go to no other server."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from securepip.errors import TransportError
from securepip.transport import Transport, TransportOptions


@dataclass
class Guarded:
    """A server that requires ``user:secret``, and redirects ``/away`` to another one."""

    port: int = 0
    elsewhere: str = ""
    needs: str = "user:secret"
    seen: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def with_user(self, userinfo: str, path: str = "file") -> str:
        return f"http://{userinfo}@127.0.0.1:{self.port}/{path}"


@contextmanager
def guarded(needs: str = "user:secret") -> Iterator[Guarded]:
    server = Guarded(needs=needs)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            said = self.headers.get("Authorization", "")
            said = base64.b64decode(said.removeprefix("Basic ")).decode()
            server.seen.append(said)
            if self.path.endswith("/away"):
                self.send_response(302)
                self.send_header("Location", server.elsewhere)
                body = b""
            else:
                self.send_response(200 if said == server.needs else 401)
                body = b"the file" if said == server.needs else b"who are you?"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    class Listening(ThreadingHTTPServer):
        request_queue_size = 64  # whoever finds a full queue waits for a second

    listening = Listening(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server.port = listening.server_port
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Guarded]:
    with guarded() as made:
        yield made


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the netrc file and the keyring of the user who runs the tests."""
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    monkeypatch.setitem(sys.modules, "keyring", None)


Program = Callable[..., Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Makes a ``keyring`` program with an answer, and returns the file of its arguments."""

    def make(answer: str, code: int = 0) -> Path:
        folder, log = tmp_path / "programs", tmp_path / "log"
        folder.mkdir()
        script = folder / "keyring"
        script.write_text(
            f"#!{sys.executable}\nimport sys\n"
            f"open({os.fspath(log)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
            f"print({answer!r}, file=sys.{'stderr' if code else 'stdout'})\nsys.exit({code})\n"
        )
        script.chmod(0o755)
        return log

    return make


_ANSWER = json.dumps({"username": "user", "password": "secret"})


def fetch(url: str, **options: object) -> bytes:
    with Transport(TransportOptions(retries=0, timeout=60, **options)) as transport:  # type: ignore[arg-type] # any
        return transport.get(url, max_bytes=100).body


def test_an_address_says_who_asks(server: Guarded) -> None:
    assert fetch(server.with_user("user:secret")) == b"the file"
    assert server.seen == ["user:secret"]


def test_what_the_user_named_says_who_asks_for_all_files_of_its_origin(server: Guarded) -> None:
    named = (server.with_user("other:secret", "other/"), server.with_user("user:secret", "simple/"))
    assert fetch(f"{server.url}simple/file", named=named) == b"the file"
    with guarded() as stranger, pytest.raises(TransportError) as refused:
        fetch(f"{stranger.url}simple/file", named=named)
    assert refused.value.status == 401
    assert stranger.seen == [""]


@pytest.mark.parametrize("how", ["address", "named", "netrc", "keyring"])
def test_a_redirect_takes_no_password_to_another_server(
    server: Guarded, how: str, tmp_path: Path, program: Program
) -> None:
    program(_ANSWER.replace('"user"', '"other"'))
    if how == "netrc":  # that of the same host, who may be somebody else on another port
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    with guarded(needs="never") as stranger:
        server.elsewhere = stranger.url.replace("//", "//mallory:chosen@")
        url = server.with_user("user:secret", "away") if how == "address" else f"{server.url}away"
        named = (server.with_user("user:secret", "") if how == "named" else server.url,)
        with pytest.raises(TransportError):
            fetch(url, named=named, keyring="auto" if how == "keyring" else "disabled")
        assert server.seen == ["" if how == "keyring" else "user:secret"]
        assert stranger.seen == [""]


def test_an_address_on_a_page_takes_no_password_of_its_host_over_plain_http(
    server: Guarded, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    with guarded() as stranger:
        with pytest.raises(TransportError, match="401"):
            fetch(f"{stranger.url}file", named=(server.url,))
        assert stranger.seen == [""]
        assert fetch(f"{stranger.url}file", named=(stranger.url,)) == b"the file"


def test_a_redirect_to_a_server_that_the_user_named_is_answered_with_its_password(
    server: Guarded,
) -> None:
    with guarded("admin:other") as second:
        server.elsewhere = second.url + "file"
        named = (second.with_user("admin:other", ""),)
        assert fetch(f"{server.url}away", named=named) == b"the file"
        assert second.seen == ["", "admin:other"]


def test_a_netrc_file_is_read_with_a_proxy_too(server: Guarded, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    named = (server.url,)
    assert fetch(f"{server.url}file", proxy=server.url, named=named) == b"the file"
    assert server.seen == ["user:secret"]


def test_a_keyring_is_asked_once_for_all_threads_and_only_after_a_refusal(
    server: Guarded, program: Program
) -> None:
    log = program(_ANSWER)
    options = TransportOptions(retries=0, keyring="subprocess", named=(f"{server.url}simple/",))
    with Transport(options) as transport:
        urls = [f"{server.url}simple/{number}" for number in range(20)]
        answers = list(transport.map(lambda url: transport.get(url, max_bytes=100), urls))
        transport.get(f"{server.url}later", max_bytes=100)
    assert {answer.body for answer in answers} == {b"the file"}
    assert log.read_text() == f"--mode=creds --output=json get -- {server.url}simple/\n"
    assert server.seen[-1] == "user:secret"


def test_a_keyring_is_not_asked_where_nobody_wants_a_password(
    server: Guarded, program: Program
) -> None:
    log = program(_ANSWER)
    server.needs = ""
    assert fetch(f"{server.url}file", keyring="auto") == b"the file"
    assert not log.exists()


def test_a_user_name_alone_is_tried_as_a_token_and_then_looked_up(
    server: Guarded, program: Program
) -> None:
    log = program(_ANSWER)
    assert fetch(server.with_user("user"), keyring="auto") == b"the file"
    assert server.seen == ["user:", "user:secret"]
    assert log.read_text().endswith(f" get -- 127.0.0.1:{server.port} user\n")


def test_the_module_is_asked_before_the_program(
    server: Guarded, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = program(_ANSWER)
    module = ModuleType("keyring")
    asked: list[tuple[str, str | None]] = []

    def get_credential(service: str, user: str | None) -> object:
        asked.append((service, user))
        return SimpleNamespace(username="user", password="secret")

    module.get_credential = get_credential  # type: ignore[attr-defined] # it is a fake
    monkeypatch.setitem(sys.modules, "keyring", module)
    assert fetch(f"{server.url}file", keyring="auto") == b"the file"
    assert asked == [(f"127.0.0.1:{server.port}", None)]
    assert not log.exists()


@pytest.mark.parametrize(("answer", "code"), [("no", 0), ("{}", 0), ("use: --mode=creds", 2)])
def test_a_keyring_that_fails_is_named_and_left_alone(
    server: Guarded, program: Program, caplog: pytest.LogCaptureFixture, answer: str, code: int
) -> None:
    log = program(answer, code)
    with Transport(TransportOptions(retries=0, keyring="auto")) as transport:
        for _ in range(2):
            with pytest.raises(TransportError, match="it wants a user name and a password"):
                transport.get(f"{server.url}file", max_bytes=100)
    assert len(log.read_text().splitlines()) == 1
    (said,) = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert said.startswith("Keyring is skipped due to an exception: ")


@pytest.mark.parametrize("trusted", [False, True])
def test_a_password_of_the_keyring_is_not_sent_where_others_can_read_it(
    server: Guarded, program: Program, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    log = program(_ANSWER)
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more)
    )
    url = f"http://packages.example.org:{server.port}/file"
    hosts = ("packages.example.org",) if trusted else ()
    if trusted:
        assert fetch(url, keyring="auto", trusted_hosts=hosts) == b"the file"
    else:
        with pytest.raises(TransportError):
            fetch(url, keyring="auto", trusted_hosts=hosts)
        assert not log.exists()
        assert server.seen == [""]


@pytest.mark.parametrize("password", ["hunter2", "hunter%E2%82%AC2"])
def test_a_wrong_password_is_in_no_message(
    server: Guarded, caplog: pytest.LogCaptureFixture, password: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(TransportError, match="are not right") as refused:
        fetch(server.with_user(f"joe:{password}"))
    told = str(refused.value) + refused.value.url + caplog.text
    assert "hunter" not in told
    assert "joe" not in told
    assert "€" not in told


def test_a_download_says_who_asks_too(server: Guarded, program: Program) -> None:
    program(_ANSWER)
    into = io.BytesIO()
    with Transport(TransportOptions(retries=0, keyring="subprocess")) as transport:
        transport.download(f"{server.url}file", into, max_bytes=100)
    assert into.getvalue() == b"the file"
