"""The parts of the shim with pip's own modules, without running pip."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn
from urllib.parse import unquote_plus

import pytest
from pip._internal.cache import WheelCache
from pip._internal.configuration import Configuration
from pip._internal.exceptions import InstallationError
from pip._internal.network.session import PipSession
from pip._internal.req.req_install import InstallRequirement
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.requests import Request
from pip._vendor.requests.adapters import HTTPAdapter

from securepip.plugin.shim import gateway as gateways
from securepip.plugin.shim import guard as guards
from securepip.plugin.shim import seams
from securepip.plugin.shim.adapter import make_adapter
from securepip.plugin.shim.gateway import Gateway
from securepip.plugin.shim.guard import guard
from securepip.plugin.shim.hint import will_fetch
from securepip.plugin.shim.inside import GATEWAY, MAX_REASON, is_called_by, refusal

PAGE = "https://packages.example.org/simple/app/"
FILE = "https://packages.example.org/app-1.0.zip"


class Found(Gateway):
    """A running gateway."""

    runs = True

    def __init__(self) -> None:
        super().__init__(["gateway"])
        self.said: list[str] = []
        self.port = 8080

    def url(self, session: Any) -> str:
        return "http://127.0.0.1:8080/"

    def tell(self, text: str) -> None:
        self.said.append(text)

    def is_running(self) -> bool:
        return self.runs


class Response:
    """The gateway's answer."""

    def __init__(self, status: int, body: bytes = b"", *, kept: bool = False) -> None:
        self.status_code, self.reason = status, "A reason"
        self.headers = {"X-Securepip-Kept": "1"} if kept else {}
        self.content, self.raw, self.closed = body, SimpleNamespace(read=self._read), False
        self.asked: list[int] = []

    def _read(self, size: int, decode_content: bool) -> bytes:
        self.asked.append(size)
        assert not decode_content
        return self.content[:size]

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _no_gateway_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names a started gateway, for the processes that pip starts."""
    monkeypatch.setenv(GATEWAY, "")
    monkeypatch.delenv(GATEWAY)


@pytest.fixture
def gateway() -> Found:
    return Found()


class Sent:
    """An adapter that keeps its requests."""

    answer: Response | OSError = Response(200)

    def __init__(self, max_retries: int) -> None:
        assert max_retries == 0
        self.sent: list[tuple[Any, dict[str, Any]]] = []

    def send(self, request: Any, **options: Any) -> Response:
        self.sent.append((request, options))
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


def adapter(gateway: Found, answer: Response | OSError, *, caches: bool = False) -> Any:
    own = SimpleNamespace(cache=None) if caches else SimpleNamespace()
    session = SimpleNamespace(
        auth=SimpleNamespace(index_urls=["https://packages.example.org/simple"]),
        securepip_adapter=lambda url: own,
    )
    made = make_adapter(Sent, gateway)(session)
    made.answer = answer
    return made


def request(url: str = PAGE, method: str = "GET", **headers: str) -> Any:
    return Request(method, url, headers=headers).prepare()


ASKS_FOR_A_PAGE = {"Accept": "application/vnd.pypi.simple.v1+json"}


def called_from(module: str, work: Callable[[], Any]) -> Any:
    """Call a function as from a module of that name."""
    caller: dict[str, Any] = {"__name__": module}
    exec("def call(work):\n    return work()\n", caller)  # noqa: S102 - a caller of that name
    return caller["call"](work)


# Requests to the gateway.


def test_the_gateway_is_asked_for_the_address_and_gets_no_secrets(gateway: Found) -> None:
    made = adapter(gateway, Response(200))
    asked = request(Cookie="a=b", **{"Proxy-Authorization": "Basic eDp5", "X-More": "1"})
    response = made.send(asked, stream=True, timeout=3, proxies={"https": "x"}, verify="y")
    ((sent, options),) = made.sent
    assert sent.url == (
        "http://127.0.0.1:8080/by-url?url=https%3A%2F%2Fpackages.example.org%2Fsimple%2Fapp%2F"
        "&index=https%3A%2F%2Fpackages.example.org%2Fsimple"
    )
    assert options == {"stream": True, "timeout": (10, None), "proxies": {}}
    assert sent.headers["User-Agent"] == "securepip-plugin"
    assert sent.headers["X-More"] == "1"
    assert not {"Cookie", "Authorization", "Proxy-Authorization"} & set(sent.headers)
    assert (response.url, response.request) == (PAGE, asked)
    assert not response.from_cache
    assert "Cookie" in asked.headers


@pytest.mark.parametrize(
    ("login", "shown"),
    [("me:pw", "me:pw@"), ("me", "me@"), ("m/e:p@w:x", "m%2Fe:p%40w%3Ax@"), ("mé:", "m%C3%A9:@")],
)
def test_user_name_and_password_are_in_the_address_that_is_asked_for(
    gateway: Found, login: str, shown: str
) -> None:
    made = adapter(gateway, Response(200))
    encoded = base64.b64encode(login.encode("latin-1")).decode()
    for url in (PAGE, PAGE.replace("//", "//other:word@")):
        asked = request(url)
        asked.headers["Authorization"] = f"Basic {encoded}"  # as in pip's session
        made.send(asked)
        (sent, _) = made.sent.pop()
        found = dict(part.partition("=")[::2] for part in sent.url.partition("?")[2].split("&"))
        assert unquote_plus(found["url"]) == PAGE.replace("//", f"//{shown}")
    made.send(request(Authorization="Bearer x"))
    assert "Bearer" not in str(made.sent[0][0].headers)


def test_a_direct_address_needs_a_hash_and_the_gateway_is_told_it(gateway: Found) -> None:
    made = adapter(gateway, Response(200))
    gateway.name_direct(FILE, set())
    with pytest.raises(InstallationError, match="was named directly, without a hash"):
        made.send(request(FILE))
    gateway.name_direct(FILE.upper().replace("/APP-1.0.ZIP", "/app-1.0.zip"), {"sha256:b"})
    gateway.name_direct(FILE.replace("//", "//me:pw@"), {"sha256:a"})
    made.send(request(FILE))
    assert "&hash=sha256%3Aa&hash=sha256%3Ab&index=" in made.sent[-1][0].url
    assert gateway.digests(FILE + "?x=1") is None
    assert gateway.digests(FILE.replace("https", "http")) is None
    with gateway.reading_text():
        made.send(request(FILE))
    assert made.sent[-1][0].url.endswith("app-1.0.zip&text=1")
    assert not gateway.reads_text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_sent_anywhere(gateway: Found, method: str) -> None:
    made = adapter(gateway, Response(200))
    with pytest.raises(InstallationError, match="pip wants to send something"):
        made.send(request(method=method))
    assert made.sent == []
    made.send(request(method="HEAD"))
    assert made.sent[0][1]["stream"] is False
    made._session.auth.index_urls = None
    made.send(request())
    assert "index=" not in made.sent[1][0].url


# Its answers.


@pytest.mark.parametrize(
    ("status", "headers", "is_passed"),
    [
        (200, {}, True),
        (206, {}, True),
        (304, {}, True),
        (404, ASKS_FOR_A_PAGE, True),
        (404, {}, False),
        (403, ASKS_FOR_A_PAGE, False),
        (502, ASKS_FOR_A_PAGE, False),
        (302, {}, False),
    ],
)
def test_pip_sees_no_failure_that_it_would_take_for_an_empty_page(
    gateway: Found, status: int, headers: dict[str, str], is_passed: bool
) -> None:
    answer = Response(status, json.dumps({"detail": "It is not signed."}).encode())
    made = adapter(gateway, answer)
    if is_passed:
        assert made.send(request(**headers)) is answer
        assert not answer.closed
        assert gateway.said == (["It is not signed."] if status == 404 else [])
    else:
        with pytest.raises(InstallationError, match=r"^It is not signed\.$"):
            made.send(request(**headers))
        assert answer.closed
        assert answer.asked == [MAX_REASON]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b"1"])
def test_an_answer_without_a_reason_is_named_by_its_status(gateway: Found, body: bytes) -> None:
    with pytest.raises(InstallationError, match="gateway answers 502 A reason"):
        adapter(gateway, Response(502, body)).send(request())


def test_pips_look_for_a_newer_pip_says_nothing(gateway: Found) -> None:
    made = adapter(gateway, Response(404, b'{"detail": "x"}'))
    asked = request(**ASKS_FOR_A_PAGE)
    called_from("pip._internal.self_outdated_check", lambda: made.send(asked))
    assert gateway.said == []


def test_a_gateway_that_does_not_answer_or_has_ended_is_no_gateway(gateway: Found) -> None:
    with pytest.raises(InstallationError, match="does not answer: gone"):
        adapter(gateway, OSError("gone")).send(request())
    answer = Response(200)
    gateway.runs = False
    with pytest.raises(InstallationError, match="gateway has ended"):
        adapter(gateway, answer).send(request())
    assert answer.closed


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("caches", [True, False])
def test_what_was_kept_is_said_to_be_cached_where_pip_caches(
    gateway: Found, kept: bool, caches: bool
) -> None:
    made = adapter(gateway, Response(200, kept=kept), caches=caches)
    assert made.send(request()).from_cache == (kept and caches)


def test_what_a_gateway_has_to_say_beside_its_answer_is_said(gateway: Found) -> None:
    answer = Response(200)
    answer.headers["X-Securepip-Notices"] = "one%20is%20dead%0Aanother%20is%20slow"
    assert adapter(gateway, answer).send(request()) is answer
    assert gateway.said == ["one is dead", "another is slow"]


# The hook below.


@pytest.fixture
def hook(gateway: Found, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setattr(guards, "_in_pip", lambda: True)
    return lambda event, *arguments: guard(lambda: gateway.port)(event, arguments)


@pytest.mark.parametrize(
    ("address", "is_known"),
    [
        (("127.0.0.1", 8080), True),
        (("127.0.0.1", 8080, 0, 0), True),
        ("/run/socket", True),
        (("127.0.0.1", 8081), False),
        (("127.0.0.2", 8080), False),
        (("packages.example.org", 443), False),
    ],
)
def test_pip_connects_to_the_gateway_alone(
    hook: Callable[..., None],
    gateway: Found,
    monkeypatch: pytest.MonkeyPatch,
    address: object,
    is_known: bool,
) -> None:
    if is_known:
        hook("socket.connect", None, address)
    else:
        with pytest.raises(InstallationError, match="by a way that"):
            hook("socket.connect", None, address)
    monkeypatch.setattr(guards, "_in_pip", lambda: False)
    hook("socket.connect", None, address)
    hook("os.putenv", "x")


def test_what_is_neither_a_connection_nor_a_process_is_no_concern_of_the_hook(
    hook: Callable[..., None],
) -> None:
    hook("os.putenv", "x")
    hook("open", "x", ["git", "clone"], 0)


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["git", "clone", "x"], "about to run git"),
        (["/usr/bin/git.exe", "fetch"], "about to run git.exe"),
        (("hg", "pull"), "about to run hg"),
        ([b"svn", "checkout"], "about to run svn"),
        (["bzr", "branch"], "about to run bzr"),
        (["git", "rev-parse"], None),
        (["gitk", "clone"], None),
        (["python", "clone"], None),
        ([], None),
        ("git clone", None),
        (Path("/usr/bin/git"), None),
        ([sys.executable, "/x/__pip-runner__.py", "install"], None),
        (["/other/python", "/x/__pip-runner__.py", "install"], "not enabled for /other/python"),
        (["/other/python", "/x/pip", "install"], "not enabled for /other/python"),
        (["/other/python", b"/x/pip"], "not enabled for /other/python"),
        (["/other/python", "setup.py"], None),
        (["/other/python"], None),
    ],
)
def test_pip_starts_nothing_that_fetches_past_the_plugin(
    hook: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    words: object,
    refused: str | None,
) -> None:
    monkeypatch.setattr(guards, "_has_plugin", lambda python: False)
    if refused is None:
        hook("subprocess.Popen", "x", words, None, None)
    else:
        with pytest.raises(InstallationError, match=refused):
            hook("subprocess.Popen", "x", words, None, None)
    asked: list[str] = []

    def has_plugin(python: str) -> bool:
        asked.append(python)
        return True

    monkeypatch.setattr(guards, "_has_plugin", has_plugin)
    if refused is None or "not enabled" in refused:
        hook("subprocess.Popen", "x", words, None, None)
        assert asked == (["/other/python"] if refused else [])
    monkeypatch.setattr(guards, "_has_plugin", lambda python: False)
    monkeypatch.setattr(guards, "_in_pip", lambda: False)
    hook("subprocess.Popen", "x", words, None, None)


def test_an_interpreter_is_asked_whether_it_starts_the_plugin(tmp_path: Path) -> None:
    assert not guards._has_plugin(str(tmp_path / "gone"))
    for answer in (True, False):
        python = tmp_path / f"python-{answer}"
        python.write_text(f'#!/bin/sh\ntest "$1" = -c && {str(answer).lower()}\n')
        python.chmod(0o700)
        assert guards._has_plugin(str(python)) == answer


@pytest.mark.parametrize(
    ("name", "is_pip"),
    [("pip._internal.x", True), ("pip._vendor.urllib3", True), ("pipx", False), ("pip", False)],
)
def test_pip_is_known_by_who_calls(name: str, is_pip: bool) -> None:
    assert called_from(name, guards._in_pip) == is_pip
    of_pip = called_from(name, lambda: is_called_by("pip._internal"))
    assert of_pip == (name == "pip._internal.x")
    assert not guards._in_pip()


def test_a_refusal_says_what_there_is_to_say() -> None:
    assert str(refusal("what", "remedy")) == "what\nremedy"
    assert str(refusal("what", "")) == "what"


# The gateway's process.


def process_that_says(answer: str, code: int = 0) -> list[str]:
    program = f"import sys; sys.stdin.readline(); print({answer!r}, flush=True); sys.exit({code})"
    return [sys.executable, "-S", "-c", program]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv(GATEWAY, raising=False)
    made: Any
    with PipSession(trusted_hosts=["a.example.org:8443"], index_urls=[PAGE]) as made:
        made.securepip_cache = "x"
        yield made


def test_a_gateway_is_started_once_and_told_pips_settings(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Gateway(process_that_says('{"url": "http://127.0.0.1:81/", "file": "/f"}'))
    assert made.url(session) == "http://127.0.0.1:81/"
    assert made.port == 81
    assert os.environ[GATEWAY] == "/f"
    monkeypatch.setattr(made, "_load", lambda: pytest.fail("it is there"))
    assert made.url(session) == "http://127.0.0.1:81/"
    assert made._process is not None
    made._process.wait(60)
    assert not made.is_running()
    monkeypatch.delenv(GATEWAY)


@pytest.mark.parametrize("answer", ["", "no json", "{}", "[]", '{"url": "http://127.0.0.1:1/"}'])
def test_a_gateway_that_does_not_start_is_told_with_its_own_words(
    session: Any, answer: str
) -> None:
    program = f"import sys; print('Oh.', file=sys.stderr, flush=True); print({answer!r})"
    made = Gateway([sys.executable, "-S", "-c", program])
    with pytest.raises(InstallationError, match=r"did not start: Oh\.$"):
        made.url(session)
    with pytest.raises(InstallationError, match=r"did not start: .*nowhere"):
        Gateway(["/nowhere/python"]).url(session)
    assert Gateway([])._complaint() == ""


def test_what_pip_was_told_of_the_network_is_told_to_the_gateway(session: Any) -> None:
    session.proxies = {"https": "http://proxy.example.org"}
    session.verify, session.cert, session.trust_env = "/ca.pem", "/client.pem", False
    told = gateways._settings(session)
    assert told["indexes"] == [PAGE]
    assert (told["cert"], told["client_cert"]) == ("/ca.pem", "/client.pem")
    assert (told["proxy"], told["proxy_env"]) == ("http://proxy.example.org", False)
    assert told["trusted_hosts"] == ["a.example.org:8443"]
    assert told["cache"] is True
    assert told["own_places"] is False
    assert "timeout" not in told or told["timeout"] is not None
    assert told["default_index"].endswith("/simple")
    session.verify, session.securepip_cache = True, None
    session.auth.index_urls = None
    assert gateways._settings(session)["indexes"] == []
    session.timeout = 5
    assert gateways._settings(session)["timeout"] == 5, "where no command runs"
    session.pip_trusted_origins = [("b.example.org", None)]
    session.auth.prompting = True
    told = gateways._settings(session)
    assert told["cert"] is None
    assert told["cache"] is False
    assert told["trusted_hosts"] == ["b.example.org"]
    for prompting, keyring in ((True, "auto"), (False, "disabled")):
        session.auth.prompting = prompting
        assert gateways._settings(session)["keyring"] == keyring
    session.auth._keyring_provider = "import"
    assert gateways._settings(session)["keyring"] == "import"
    # The shim finds the command's options in its frame, by this name.
    options: Any = SimpleNamespace(timeout=7, retries=0, find_links=["x"])

    def within(options: Any) -> dict[str, Any]:
        assert options is not None, "another thing of that name"
        return gateways._settings(session)

    for other in (SimpleNamespace(timeout=8), SimpleNamespace(retries=8), {"timeout": 8}):
        assert within(other)["timeout"] == 7
    told = gateways._settings(session)
    assert (told["timeout"], told["retries"]) == (options.timeout, options.retries)
    assert told["own_places"] is True


def test_a_gateway_that_says_nothing_is_not_waited_for_without_end(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "_START_SECONDS", 0.1)
    silent = Gateway([sys.executable, "-S", "-c", "import time; time.sleep(300)"])
    with pytest.raises(InstallationError, match="did not start"):
        silent.url(session)
    assert silent._process is not None
    assert silent._process.wait(60) != 0


def test_a_gateway_is_beyond_the_keys_of_a_terminal_and_lives_on_once_it_has_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Gateway([sys.executable, "-S", "-c", "input()"])
    made.begin()
    begun = made._process
    process = made._load()
    assert process is begun, "one is enough"
    assert os.getsid(process.pid) == process.pid
    timers: list[str] = []

    class Timer:
        daemon = False

        def __init__(self, seconds: float, work: Callable[[], None]) -> None:
            assert (seconds, work) == (60.0, process.kill)

        def start(self) -> None:
            timers.append("started" if self.daemon else "keeps pip from ending")

        def cancel(self) -> None:
            timers.append("cancelled")

    monkeypatch.setattr("threading.Timer", Timer)
    assert gateways._first_answer(process, "") == b""
    assert timers == ["started", "cancelled"]
    assert process.wait(60) == 0


def test_a_gateway_without_pipes_is_told_in_words() -> None:
    for stdin, stdout in ((None, io.BytesIO()), (io.BytesIO(), None)):
        process: Any = SimpleNamespace(stdin=stdin, stdout=stdout, kill=lambda: None)
        with pytest.raises(TypeError, match="no pipes"):
            gateways._first_answer(process, "{}")


@pytest.mark.parametrize(
    ("words", "fetches"),
    [
        (["download", "x"], True),
        (["wheel", "."], True),
        (["install", "-U", "pip"], True),
        (["install", "--upgrade", "pip"], True),
        (["install", "-I", "pip"], True),
        (["install", "--ignore-installed", "pip"], True),
        (["install", "pip"], False),
        (["install", "pip>=1", "pytest[x]==1"], False),
        (["install", "no-such-thing"], True),
        (["install", "pip", "no-such-thing ==1"], True),
        (["install", "./folder"], False),
        (["install"], False),
        (["list", "no-such-thing"], False),
    ],
)
def test_a_command_that_fetches_is_known_beforehand(
    monkeypatch: pytest.MonkeyPatch, words: list[str], fetches: bool
) -> None:
    monkeypatch.delenv(GATEWAY, raising=False)
    assert will_fetch(words) == fetches
    assert not will_fetch([*words, "--python=x"])
    assert not will_fetch([*words, "--python", "x"])
    monkeypatch.setenv(GATEWAY, "/f")
    assert not will_fetch(words)


def test_the_gateway_of_a_parent_is_asked_if_it_is_ones_own_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    path = tmp_path / "gateway"
    monkeypatch.setenv(GATEWAY, str(path))
    made = Gateway([])
    assert made._inherited() is None
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"http://127.0.0.1:{port}/"
        good: dict[str, object] = {"url": url, "pid": os.getpid()}
        path.write_text(json.dumps(good))
        path.chmod(0o600)
        assert made._inherited() == url
        assert made.port == port
        assert made.is_running()
        asked: list[tuple[int, int]] = []
        with monkeypatch.context() as patched:
            patched.setattr(os, "kill", lambda *arguments: asked.append(arguments))
            assert made.is_running()
        assert asked == [(os.getpid(), 0)], "it is asked and not ended"
        assert Gateway(["/nowhere"]).url(None) == url
        made._pid = 1 << 22
        assert not made.is_running()
        with monkeypatch.context() as patched:
            patched.setattr(os, "name", "nt")
            assert made.is_running(), "where a process cannot be asked for"
        for mode in (0o640, 0o604, 0o660):
            path.chmod(mode)
            assert Gateway([])._inherited() is None
        path.chmod(0o600)
        with monkeypatch.context() as patched:
            patched.setattr(os, "geteuid", lambda: os.getuid() + 1)
            assert Gateway([])._inherited() is None
        odd: object
        for odd in (
            good | {"url": f"http://localhost:{port}/"},
            good | {"url": f"http://127.0.0.2:{port}/"},
            good | {"url": "http://127.0.0.1:x/"},
            good | {"pid": "x"},
            {"url": url},
            {"pid": 1},
            [],
        ):
            path.write_text(json.dumps(odd))
            assert Gateway([])._inherited() is None
    path.write_text(json.dumps(good))
    assert Gateway([])._inherited() is None, "nobody answers any more"
    monkeypatch.delenv(GATEWAY)
    assert Gateway([])._inherited() is None


def test_what_the_environments_own_file_says_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = {"index-url": ("https://me:secret@evil.example.org/ x", "/env/pip.conf")}
    made = Gateway([], said)
    made._url = "http://127.0.0.1:1/"
    for _ in range(2):
        made.url(None)
    (record,) = caplog.records
    assert "Not obeying index-url = https://" in record.message
    assert "secret" not in record.message
    assert "/env/pip.conf says" in record.message


def test_what_that_file_says_is_named_also_when_it_is_read_after_the_gateway_has_begun(
    caplog: pytest.LogCaptureFixture,
) -> None:
    held = seams._Seams([], [], refuse)
    made = held.gateway()
    made._url = "http://127.0.0.1:1/"
    held.not_obeyed["index-url"] = ("https://evil.example.org/", "/env/pip.conf")
    made.url(None)
    assert [record.message.partition(" = ")[0] for record in caplog.records] == [
        "Not obeying index-url"
    ]


# The seams.


def refuse(reason: str) -> NoReturn:
    raise RuntimeError(reason)


@pytest.fixture
def held(gateway: Found) -> seams._Seams:
    made = seams._Seams(["/nowhere"], [], refuse)
    made._gateway = gateway
    return made


def copy_of(kind: type) -> Any:
    """A copy of a class of pip's, which a test may change."""
    return type(kind.__name__, (kind,), {})


def test_every_address_of_the_web_is_the_gateways(
    held: seams._Seams, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert held.port() == 8080
    module = SimpleNamespace(PipSession=copy_of(PipSession))
    held._session(module)
    with module.PipSession(cache="x") as made:
        assert made.securepip_cache == "x"
        for url in (PAGE, PAGE.upper(), "http://packages.example.org/"):
            assert type(made.get_adapter(url)).__name__ == "GatewayAdapter"
        assert type(made.get_adapter("file:///x")).__name__ == "LocalFSAdapter"
        assert type(made.securepip_adapter(PAGE)).__name__ != "GatewayAdapter"
    imported: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr("importlib.import_module", imported.append)
        made = module.PipSession()
    assert made.securepip_cache is None
    assert set(held._patches) <= set(imported), "who can fetch has all seams"


def test_a_pip_that_is_imported_again_has_adapters_of_its_own(
    held: seams._Seams, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    for base in (HTTPAdapter, copy_of(HTTPAdapter)):
        monkeypatch.setattr("pip._vendor.requests.adapters.HTTPAdapter", base)
        module = SimpleNamespace(PipSession=copy_of(PipSession))
        held._session(module)
        made += [module.PipSession().get_adapter(PAGE) for _ in range(2)]
        assert base in type(made[-1]).__mro__
        assert type(made[-2]) is type(made[-1])
    assert type(made[0]) is not type(made[-1])


@pytest.mark.parametrize(
    ("line", "options", "digests"),
    [
        (f"app @ {FILE}", {}, set()),
        (f"app @ {FILE}#sha256={'a' * 64}", {}, {f"sha256:{'a' * 64}"}),
        (f"app @ {FILE}#md5={'a' * 32}", {}, set()),
        (f"app @ {FILE}", {"sha256": ["b"], "md5": ["c"]}, {"sha256:b"}),
        (f"app @ {FILE}", {"sha384": ["b"], "sha512": ["c"]}, {"sha384:b", "sha512:c"}),
        ("app @ file:///x/app-1.0.zip", {}, None),
        ("app", {}, None),
    ],
)
def test_the_hashes_of_a_direct_address_are_remembered(
    held: seams._Seams,
    gateway: Found,
    line: str,
    options: dict[str, list[str]],
    digests: set[str] | None,
) -> None:
    from pip._internal.models.link import Link

    module = SimpleNamespace(InstallRequirement=copy_of(InstallRequirement))
    held._requirement(module)
    required = Requirement(line)
    link = Link(required.url) if required.url else None
    module.InstallRequirement(required, None, link=link, hash_options=options)
    assert gateway.digests(FILE) == digests
    assert len(gateway._direct) == (digests is not None)


def test_a_requirements_file_from_elsewhere_is_read_as_text_and_checked(
    held: seams._Seams, gateway: Found
) -> None:
    from pip._internal.req import req_file

    said: list[bool] = []
    contents = "--pre\n-r other.txt\napp==1.0\n"

    def read(url: str, session: object) -> tuple[str, str]:
        said.append(gateway.reads_text)
        return url, contents

    module = SimpleNamespace(
        get_file_content=read,
        join_lines=req_file.join_lines,
        ignore_comments=req_file.ignore_comments,
    )
    held._requirements_file(module)
    for url in (PAGE, PAGE.upper(), "http://packages.example.org/r.txt"):
        assert module.get_file_content(url, None) == (url, contents)
    for odd_line in (
        "app==${SECRET}\n",
        "-i https://packages.example.org/${SECRET}\n",
        "app-1.0.zip\n",
    ):
        contents = odd_line
        with pytest.raises(InstallationError, match="names more than projects"):
            module.get_file_content(PAGE, None)
        said.pop()
    contents = "./folder\n"
    assert module.get_file_content("/here/r.txt", None) == ("/here/r.txt", contents)
    assert module.get_file_content("file:///r.txt", None)[1] == contents
    assert said == [True, True, True, False, False]
    with pytest.raises(InstallationError, match="names more than projects"):
        module.get_file_content(PAGE, None)
    assert not gateway.reads_text
    for name in ("join_lines", "ignore_comments"):
        odd = SimpleNamespace(**vars(module) | {name: None})
        with pytest.raises(TypeError, match="reads lines in another way"):
            held._requirements_file(odd)


def test_no_version_control_fetches(held: seams._Seams) -> None:
    class VersionControl:
        def obtain(self, dest: str, url: object, verbosity: int) -> None:
            pytest.fail("it fetches")

    held._version_control(SimpleNamespace(VersionControl=VersionControl))
    with pytest.raises(InstallationError, match="x is under version control"):
        VersionControl().obtain("d", "x", 1)
    with pytest.raises(TypeError, match="obtain is no method"):
        held._version_control(SimpleNamespace(VersionControl=SimpleNamespace(obtain=1)))


@pytest.mark.parametrize(("given", "used"), [("/cache", "/cache/securepip"), ("", "")])
def test_wheels_that_were_built_are_kept_apart(held: seams._Seams, given: str, used: str) -> None:
    seen: list[object] = []

    class Kept(WheelCache):
        def __init__(self, cache_dir: str, *more: object) -> None:
            seen.append((cache_dir, *more))

    held._cache(SimpleNamespace(WheelCache=Kept))
    Kept(given, "more")
    assert seen == [(used, "more")]


@pytest.mark.parametrize("load_only", [None, "site"])
@pytest.mark.parametrize("by_file", [True, False])
def test_the_environments_own_file_names_no_place(
    held: seams._Seams, load_only: str | None, by_file: bool
) -> None:
    says = {"global.index-url": "x", "a.b.find-links": "y", "global.timeout": "3"}

    class Loaded:
        def __init__(self) -> None:
            self.load_only = load_only
            self._config: dict[str, Any] = {"site": {}, "user": {}}

        def _load_file(self, variant: Any, fname: str) -> Any:
            self._config[variant].update({fname: dict(says)} if by_file else says)
            return "parsed"

    held._configuration(SimpleNamespace(Configuration=Loaded))
    made = Loaded()
    assert callable(Configuration._load_file), "as pip's own"
    for variant in ("user", "site"):
        assert made._load_file(variant, f"/{variant}/pip.conf") == "parsed"
    left = made._config["site"]["/site/pip.conf"] if by_file else made._config["site"]
    kept = made._config["user"]["/user/pip.conf"] if by_file else made._config["user"]
    assert kept == says
    if load_only is None:
        assert left == {"global.timeout": "3"}
        assert held.not_obeyed == {
            "index-url": ("x", "/site/pip.conf"),
            "find-links": ("y", "/site/pip.conf"),
        }
    else:
        assert left == says
        assert held.not_obeyed == {}


def test_the_pip_of_a_build_gets_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "shim.py").write_text("x")
    (tmp_path / "lib").mkdir()

    class VenvBuildEnvironment:
        def __init__(self, name: str) -> None:
            self.lib_dirs = [str(tmp_path / "lib")]

    held = seams._Seams([], [str(tmp_path / "shim.py")], refuse)
    held._venv(SimpleNamespace(VenvBuildEnvironment=VenvBuildEnvironment))
    VenvBuildEnvironment("x")
    assert (tmp_path / "lib" / "shim.py").read_text() == "x"


def test_a_module_is_changed_once_it_is_loaded_and_a_strange_one_stops_pip(
    held: seams._Seams, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert held.find_spec("pip._internal.commands.list") is None
    assert held.find_spec("json") is None
    name, done = "pip._internal.cache", []
    assert set(held._patches) >= {name, "pip._internal.network.session"}

    def found(asked: str) -> Any:
        assert held.find_spec(asked) is None, "the one that looks does not ask itself"
        loader = SimpleNamespace(exec_module=lambda module: done.append("loaded"))
        return SimpleNamespace(loader=loader)

    monkeypatch.setattr(seams, "find_spec", found)
    held._patches[name] = lambda module: done.append("changed")
    for _ in range(2):
        spec: Any = held.find_spec(name)
        spec.loader.exec_module(types.ModuleType("pip._internal.another"))
        assert done == ["loaded"], "an archive has one loader for all"
        spec.loader.exec_module(types.ModuleType(name))
        assert done == ["loaded", "loaded", "changed"]
        done.clear()
    assert held.find_spec("pip._internal.build_env.venv") is not None, "since pip 26"
    for error in (AttributeError("x"), TypeError("x"), ImportError("x")):

        def patch(module: Any, error: Exception = error) -> None:
            raise error

        held._patches[name] = patch
        spec = held.find_spec(name)
        with pytest.raises(RuntimeError, match=r"not made as the plugin knows it: pip\._int"):
            spec.loader.exec_module(types.ModuleType(name))
    for nothing in (None, SimpleNamespace(loader=None)):
        monkeypatch.setattr(seams, "find_spec", lambda name, nothing=nothing: nothing)
        with pytest.raises(RuntimeError, match="it is not there"):
            held.find_spec(name)
    with pytest.raises(InstallationError, match="pip is stopped by securepip's plugin"):
        called_from("pip._internal.cli.base_command", lambda: held.find_spec(name))


@pytest.mark.parametrize("value", ["1", " TRUE ", "yes", "on", "0", "", "no"])
def test_the_plugin_attaches_once_unless_it_is_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(seams.SWITCH, value)
    hooks: list[object] = []
    said = io.StringIO()
    monkeypatch.setattr(sys, "addaudithook", hooks.append)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "stderr", said)
    config: dict[str, Any] = {"command": [], "needs": [str(tmp_path)], "files": []}
    gone = config | {"needs": [str(tmp_path), str(tmp_path / "gone")]}
    off = value not in ("0", "", "no")
    assert ("is gone" in seams.attach(gone, refuse)) != off
    assert hooks == []
    for _ in range(2):
        assert seams.attach(config, refuse) == ""
    assert ("switched off" in said.getvalue()) == off
    assert len(hooks) == (0 if off else 1)
    assert isinstance(sys.meta_path[0], seams._Seams) != off


@pytest.mark.parametrize(
    ("words", "begins"), [(["install", "no-such-thing"], True), (["list"], False), ([], False)]
)
def test_the_gateway_begins_with_pip_where_pip_will_fetch(
    monkeypatch: pytest.MonkeyPatch, words: list[str], begins: bool
) -> None:
    monkeypatch.setattr(sys, "addaudithook", lambda hook: None)
    monkeypatch.setattr(sys, "argv", ["pip", *words])
    begun: list[object] = []

    def begin(self: Gateway) -> None:
        begun.append(self._command)
        raise OSError("what needs the gateway says why there is none")

    monkeypatch.setattr(Gateway, "begin", begin)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    assert seams.attach({"command": ["gateway"], "needs": [], "files": []}, refuse) == ""
    assert begun == ([["gateway"]] if begins else [])
    (held,) = (each for each in sys.meta_path if isinstance(each, seams._Seams))
    assert held.port() is None
    assert (held._gateway is not None) == begins
    assert held.gateway() is held.gateway()
