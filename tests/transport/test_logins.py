"""Which user name and password is sent to which URL, without a server, a keyring or a .netrc."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from securepip.transport import credentials as module
from securepip.transport.credentials import Credentials, Login

HOST = "https://packages.example.org"
ELSEWHERE = "https://elsewhere.example.org"


@pytest.fixture(autouse=True)
def netrc(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs that were looked up in .netrc, which is empty unless a test fills it."""
    asked: list[str] = []

    def find(url: str) -> tuple[str, str] | None:
        asked.append(url)
        return None

    monkeypatch.setattr(module, "get_netrc_auth", find)
    return asked


class Keyring:
    """A keyring with logins by service and user, which records the look-ups."""

    def __init__(self, held: dict[tuple[str, str | None], Login]) -> None:
        self.held = held
        self.asked: list[tuple[str, str | None]] = []

    def __call__(self, service: str, user: str | None) -> Login | None:
        self.asked.append((service, user))
        return self.held.get((service, user))


def with_keyring(monkeypatch: pytest.MonkeyPatch, **held: Login) -> Keyring:
    """A keyring with a login for each host."""
    keyring = Keyring({(f"{name}.example.org", None): login for name, login in held.items()})
    monkeypatch.setattr(module, "_open_keyring", lambda provider: keyring)
    return keyring


def request_to(credentials: Credentials, url: str) -> requests.PreparedRequest:
    request = requests.PreparedRequest()
    request.prepare(method="GET", url=url, auth=credentials)
    return request


def said(request: requests.PreparedRequest) -> str | None:
    """The ``user:password`` of a request."""
    header = request.headers.get("Authorization")
    return None if header is None else base64.b64decode(header.split()[1]).decode("latin-1")


def sent(credentials: Credentials, url: str) -> str | None:
    """The credentials of the first request for a URL."""
    request = request_to(credentials, url)
    assert request.url is not None
    assert "@" not in request.url.split("/")[2]
    return said(request)


class Server:
    """Refuses each request without the right credentials."""

    def __init__(self, right: str | None = "") -> None:
        self.right = right
        self.seen: list[str | None] = []
        self.drained = 0

    def _drain(self) -> None:
        self.drained += 1

    def answer(self, request: requests.PreparedRequest) -> requests.Response:
        response: Any = requests.Response()
        self.seen.append(said(request))
        response.status_code = 200 if said(request) == self.right else 401
        response.url, response.request, response.connection = request.url, request, self
        response.raw = SimpleNamespace(drain_conn=self._drain)
        return response  # type: ignore[no-any-return]

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
        return self.answer(request)


def asked(credentials: Credentials, server: Server, url: str) -> requests.Response:
    """The final answer."""
    request = request_to(credentials, url)
    (hook,) = request.hooks["response"]
    answer: requests.Response = hook(server.answer(request))
    return answer


# --------------------------------------------------------------------- without asking


def test_an_address_says_who_asks_with_its_characters_as_pip_writes_them() -> None:
    credentials = Credentials((), "disabled")
    assert sent(credentials, "https://u%40x:p%3A1@packages.example.org/x") == "u@x:p:1"
    assert sent(credentials, f"{HOST}/y") == "u@x:p:1"
    assert sent(credentials, f"{HOST}:443/y") == "u@x:p:1"
    for other in (ELSEWHERE, f"{HOST}:8443", HOST.replace("https", "http")):
        assert sent(credentials, f"{other}/y") is None
    plain = Credentials(("http://u:p@packages.example.org/",), "disabled")
    for port, answer in ((":80", "u:p"), (":443", None), (":81", None)):
        assert sent(plain, f"http://packages.example.org{port}/") == answer
    assert sent(credentials, "https://%C3%A9:x@e.example.org/") == "é:x"
    euro = "€:x".encode().decode("latin-1")
    assert sent(credentials, "https://%E2%82%AC:x@e.example.org/") == euro


def test_of_what_the_user_named_the_nearest_says_who_asks() -> None:
    named = (
        "https://a:1@packages.example.org/x/",
        "https://b:2@packages.example.org/x/y/",
        "https://c:3@elsewhere.example.org/x/y/z/",
        "https://[broken",
        "ftp://d:4@packages.example.org/x/y/z/",
    )
    credentials = Credentials(named, "disabled")
    assert sent(credentials, f"{HOST}/x/y/z") == "b:2"
    assert sent(credentials, f"{HOST}/x/z") == "a:1"
    assert sent(credentials, f"{ELSEWHERE}/") == "c:3"
    assert sent(credentials, "https://third.example.org/x/y/z") is None


def test_a_user_name_alone_is_sent_as_a_token_and_kept_for_its_origin() -> None:
    credentials = Credentials(("https://named@elsewhere.example.org/",), "disabled")
    assert sent(credentials, f"{HOST}/") is None
    assert sent(credentials, "https://token@packages.example.org/") == "token:"
    assert sent(credentials, f"{HOST}/") == "token:"
    assert sent(credentials, f"{ELSEWHERE}/x") == "named:"
    assert sent(credentials, "https://third.example.org/") is None
    assert sent(credentials, "https://u:p@third.example.org/") == "u:p"
    assert sent(credentials, "https://other@third.example.org/") == "other:"
    assert sent(credentials, "https://u@third.example.org/") == "u:p"


@pytest.mark.parametrize(
    ("url", "named", "is_read"),
    [
        (f"{HOST}/x", (), True),
        (HOST.replace("https", "http"), (), False),
        (HOST.replace("https", "http"), (f"{HOST.replace('https', 'http')}/y",), True),
        ("http://u:p@packages.example.org/", ("http://packages.example.org/",), False),
    ],
)
def test_netrc_is_read_where_only_its_host_can_see_what_it_says(
    monkeypatch: pytest.MonkeyPatch, url: str, named: tuple[str, ...], is_read: bool
) -> None:
    monkeypatch.setattr(module, "get_netrc_auth", lambda url: ("n", "p"))
    assert (sent(Credentials(named, "disabled"), url) == "n:p") == is_read


def test_netrc_is_not_read_for_a_server_that_only_a_redirect_names(
    netrc: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = Credentials((), "auto")
    keyring = with_keyring(monkeypatch, elsewhere=Login("k", "p"))
    request = request_to(credentials, f"{HOST}/")
    netrc.clear()
    request.url = f"{ELSEWHERE}/"
    server = Server()
    assert request.hooks["response"][0](server.answer(request)).status_code == 401
    assert (netrc, keyring.asked, server.seen) == ([], [], [None])


@pytest.mark.parametrize("has_password", [True, False])
def test_a_server_that_the_user_named_gets_what_is_its_own_when_a_redirect_leads_there(
    monkeypatch: pytest.MonkeyPatch, has_password: bool
) -> None:
    named = ELSEWHERE.replace("//", "//n:p@") if has_password else ELSEWHERE
    credentials = Credentials((named,), "auto")
    keyring = with_keyring(monkeypatch, elsewhere=Login("k", "p"))
    request = request_to(credentials, f"{HOST}/")
    request.url = f"{ELSEWHERE}/"
    server = Server("n:p" if has_password else "k:p")
    assert request.hooks["response"][0](server.answer(request)).status_code == 200
    assert server.seen == [None, server.right]
    assert bool(keyring.asked) == (not has_password)


# ------------------------------------------------------------------- after a refusal


def test_nobody_is_asked_for_a_password_where_none_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keyring = with_keyring(monkeypatch, packages=Login("k", "p"))
    server = Server(None)
    assert asked(Credentials((), "auto"), server, f"{HOST}/x").status_code == 200
    assert (keyring.asked, server.seen, server.drained) == ([], [None], 0)


def test_a_keyring_is_asked_after_a_refusal_and_what_was_right_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keyring = with_keyring(monkeypatch, packages=Login("k", "p"))
    credentials, server = Credentials((), "auto"), Server("k:p")
    answer = asked(credentials, server, f"{HOST}/x")
    assert answer.status_code == 200
    assert said(answer.request) == "k:p"
    assert [each.status_code for each in answer.history] == [401]
    assert (server.seen, server.drained) == ([None, "k:p"], 1)
    assert asked(credentials, server, f"{HOST}/y").history == []
    assert keyring.asked == [("packages.example.org", None)]
    assert sent(credentials, f"{ELSEWHERE}/") is None


def test_what_was_wrong_is_not_kept_nor_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = with_keyring(monkeypatch, packages=Login("k", "p"))
    credentials, server = Credentials((), "auto"), Server("other")
    for _ in range(2):
        assert asked(credentials, server, f"{HOST}/x").status_code == 401
    assert server.seen == [None, "k:p"] * 2
    assert keyring.asked == [("packages.example.org", None)]
    named = Credentials(("https://k:p@packages.example.org/",), "auto")
    server = Server("other")
    assert asked(named, server, f"{HOST}/x").status_code == 401
    assert server.seen == ["k:p"]
    server = Server("k:p")
    assert asked(named, server, f"{HOST}/x").status_code == 200
    assert server.seen == ["k:p"]


def test_the_keyring_is_asked_for_what_the_user_named_first_and_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keyring = with_keyring(monkeypatch)
    keyring.held["packages.example.org", "me"] = Login("me", "p")
    credentials = Credentials(("https://me@packages.example.org/simple/",), "auto")
    server = Server("me:p")
    assert asked(credentials, server, f"{HOST}/x").status_code == 200
    assert keyring.asked == [(f"{HOST}/simple/", "me"), ("packages.example.org", "me")]
    assert server.seen == ["me:", "me:p"]


@pytest.mark.parametrize(
    ("url", "trusted", "provider", "is_asked"),
    [
        (f"{HOST}/", (), "auto", True),
        (f"{HOST}/", (), "disabled", False),
        ("http://packages.example.org/", (), "auto", False),
        ("http://packages.example.org/", ("packages.example.org",), "auto", True),
        ("http://packages.example.org:8/", ("packages.example.org:8",), "auto", True),
        ("http://packages.example.org:9/", ("packages.example.org:8",), "auto", False),
        ("http://127.0.0.1/", (), "auto", True),
        ("http://127.example.org/", (), "auto", False),
    ],
)
def test_a_keyring_is_asked_where_nobody_on_the_way_can_read_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    trusted: Sequence[str],
    provider: str,
    is_asked: bool,
) -> None:
    keyring = with_keyring(monkeypatch)
    asked(Credentials((), provider, trusted), Server(), url)
    assert bool(keyring.asked) == is_asked
    keyring.asked.clear()
    asked(Credentials((url,), provider, trusted), Server(), url)
    assert bool(keyring.asked) == is_asked


def test_a_keyring_that_fails_is_said_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def fails(service: str, user: str | None) -> Login | None:
        calls.append(service)
        raise RuntimeError("it is locked")

    monkeypatch.setattr(module, "_open_keyring", lambda provider: fails)
    credentials = Credentials((), "auto")
    for url in (HOST, ELSEWHERE):
        assert asked(credentials, Server(), url).status_code == 401
    assert calls == ["packages.example.org"]
    assert ["it is locked" in one for one in caplog.messages] == [True]


# ------------------------------------------------------------------- keyrings themselves


@pytest.mark.parametrize("provider", ["auto", "import", "subprocess", "disabled"])
@pytest.mark.parametrize("is_module", [True, False])
@pytest.mark.parametrize("is_program", [True, False])
def test_which_keyring_is_asked(
    monkeypatch: pytest.MonkeyPatch, provider: str, is_module: bool, is_program: bool
) -> None:
    found = SimpleNamespace(username="module", password="p")
    own = SimpleNamespace(get_credential=lambda service, user: found if user else None)
    monkeypatch.setitem(sys.modules, "keyring", own if is_module else None)
    monkeypatch.setattr("shutil.which", lambda name: "/bin/x" if is_program else None)
    monkeypatch.setattr(module, "_ask_program", lambda *words: Login(*words[:2]))
    ask = module._open_keyring(provider)
    if is_module and provider in ("auto", "import"):
        assert ask("s", "me") == Login("module", "p")
        assert ask("s", None) is None
    elif is_program and provider in ("auto", "subprocess"):
        assert ask("s", "me") == Login("/bin/x", "s")
    else:
        assert ask("s", "me") is None


@pytest.mark.parametrize(
    ("code", "errors", "outcome"),
    [
        (0, b"", Login("me", "p")),
        (0, b"warning: --mode=creds", Login("me", "p")),
        (1, b"", None),
        (1, b"--mode=creds", None),
        (2, b"", None),
        (2, b"usage: --mode=creds", ValueError),
    ],
)
@pytest.mark.parametrize("user", ["me", None])
def test_the_program_is_asked_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, code: int, errors: bytes, outcome: Any, user: str | None
) -> None:
    runs: list[tuple[list[str], dict[str, Any]]] = []

    def run(command: list[str], **options: Any) -> object:
        runs.append((command, options))
        answer = json.dumps({"username": "me", "password": "p"}).encode() if not code else b""
        return SimpleNamespace(returncode=code, stdout=answer, stderr=errors)

    monkeypatch.setattr("subprocess.run", run)
    if outcome is ValueError:
        with pytest.raises(ValueError, match="outdated"):
            module._ask_program("/bin/keyring", "-host", user)
    else:
        assert module._ask_program("/bin/keyring", "-host", user) == outcome
    ((command, options),) = runs
    words = ["/bin/keyring", "--mode=creds", "--output=json", "get", "--", "-host"]
    assert command == words + ([user] if user else [])
    assert options["capture_output"]
    assert not options["check"]
