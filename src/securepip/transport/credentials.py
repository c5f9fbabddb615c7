"""User names and passwords: found where pip finds them, and sent only where they belong.

Three rules. Credentials for one origin (scheme, host and port) never go to another. An origin that
only a redirect names gets no credentials, except those in a URL that the user named: an attacker
may have written the redirect. And no message contains credentials.

They come from the URL itself, from other URLs of the same origin that the user named, from
``.netrc`` and, if the server asks for them (401), from a keyring. securepip never prompts for them.
Source: pip's documentation, "Authentication".
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from posixpath import commonpath
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from requests import PreparedRequest, Response
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_netrc_auth

from securepip.transport.urls import is_loopback, without_credentials

_log = logging.getLogger(__name__)
_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int | None]
AskKeyring = Callable[[str, str | None], "Login | None"]
"""Looks in a keyring for a service (a URL, or a host and port) and, if it is known, a user name."""


class Login(NamedTuple):
    """A user name and a password, either perhaps empty."""

    user: str
    password: str


class Credentials(AuthBase):
    """Adds the known credentials of its origin to each request, and retries after a 401.

    Args:
        named: URLs that the user named: the locations of repositories, and their indexes. The
            credentials in them, and those that a keyring has for them, are used for every request
            to the same origin.
        keyring: ``--keyring-provider``: ``auto``, ``disabled``, ``import`` or ``subprocess``.
        trusted_hosts: Hosts that passwords from a keyring may be sent to without TLS.
    """

    def __init__(
        self, named: Sequence[str], keyring: str, trusted_hosts: Sequence[str] = ()
    ) -> None:
        self._named = [url for url in named if _has_origin(url)]
        self._provider, self._trusted_hosts = keyring, trusted_hosts
        self._lock = threading.Lock()
        self._sent_to = {_origin(url) for url in self._named}
        self._asked: set[Origin] = set()
        self._users: dict[Origin, str] = {}
        self._known: dict[Origin, Login] = {}
        self._from_keyring: dict[tuple[Origin, str | None], Login | None] = {}

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """``requests`` calls this for every request, but not for a redirect's."""
        url = request.url or ""
        self._asked.add(_origin(url))
        login = self._login(url)
        request.url = without_credentials(url)
        if login is not None:
            _add(request, login)
        request.hooks["response"].append(self._answer)
        return request

    def _answer(self, response: Response, **sending: Any) -> Response:
        """Send a request again that a server refused with a 401, if there are credentials for it.

        After a redirect the refusal comes from another server than the first. The credentials are
        those of the server that refused.
        """
        if response.status_code != 401:
            return response
        sent = response.request.headers.get("Authorization")
        for login in self._logins(response.url):
            again = response.request.copy()
            again.url = without_credentials(response.url)
            _add(again, login)
            if again.headers["Authorization"] == sent:
                continue
            response.raw.drain_conn()
            answer: Response = response.connection.send(again, **sending)
            answer.history.append(response)
            answer.request = again
            if answer.status_code != 401:
                self._known[_origin(response.url)] = login
            return answer
        return response

    def _logins(self, url: str) -> Iterator[Login]:
        """The credentials to try for a URL, those of the keyring last."""
        login = self._login(url)
        if login is not None:
            yield login
        found = self._ask_keyring(url)
        if found is not None:
            yield found

    def _login(self, url: str) -> Login | None:
        """The credentials for a URL, without asking a keyring."""
        origin, best = _origin(url), self._best_named(url)
        for complete in (_complete(urlsplit(url)), best and _complete(urlsplit(best))):
            if complete:
                self._known[origin] = complete
                return complete
        netrc = get_netrc_auth(without_credentials(url)) if self._may_have_netrc(url) else None
        if netrc:
            return Login(*netrc)
        user = self._user(url)
        known = self._known.get(origin)
        if known is not None and user in (None, known.user):
            return known
        # A user name alone may be a token.
        return None if user is None else Login(user, "")

    def _may_have_netrc(self, url: str) -> bool:
        """Whether a password of the .netrc file may go to the origin of ``url``.

        That file has hosts, without schemes or ports. A URL on a signed page may get the password
        of its host over https, where only that host can read it. Without TLS, anybody on the
        network could read it.
        """
        origin = _origin(url)
        return origin in self._sent_to or (origin[0] == "https" and origin in self._asked)

    def _user(self, url: str) -> str | None:
        """The user name for a URL; once seen, it is used for the whole origin."""
        origin = _origin(url)
        for each in (url, self._best_named(url) or ""):
            user = urlsplit(each).username
            if user:
                self._users[origin] = unquote(user)
                break
        return self._users.get(origin)

    def _best_named(self, url: str) -> str | None:
        """The named URL of the same origin that has the longest path in common with ``url``."""
        origin, path = _origin(url), urlsplit(url).path
        same = [each for each in self._named if _origin(each) == origin]
        return max(
            same,
            key=lambda each: len(commonpath([f"/{urlsplit(each).path}", f"/{path}"])),
            default=None,
        )

    def _ask_keyring(self, url: str) -> Login | None:
        origin = _origin(url)
        if self._provider == "disabled" or not self._is_secure(url):
            return None
        if origin not in self._sent_to and origin not in self._asked:
            return None
        best, user = self._best_named(url), self._user(url)
        services = [urlsplit(url).netloc.rpartition("@")[2]]
        if best is not None:
            services.insert(0, without_credentials(best))
        key = origin, user
        with self._lock:  # Many threads may get a 401 at once, and a keyring may prompt the user.
            if key not in self._from_keyring:
                self._from_keyring[key] = self._first(services, user)
            return self._from_keyring[key]

    def _first(self, services: Sequence[str], user: str | None) -> Login | None:
        try:
            ask = _open_keyring(self._provider)
            found = (ask(service, user) for service in services)
            return next((login for login in found if login is not None), None)
        except Exception as error:  # a backend of a keyring may raise anything
            _log.warning("Keyring is skipped due to an exception: %s", error)
            self._provider = "disabled"
            return None

    def _is_secure(self, url: str) -> bool:
        """Whether a keyring's password may be sent to ``url``: over TLS, or to a trusted host.

        Without TLS an attacker who controls the network could answer in the host's place with a
        401, and be sent the password.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        trusted = {host, f"{host}:{parts.port}"} & set(self._trusted_hosts)
        return parts.scheme == "https" or is_loopback(host) or bool(trusted)


def _add(request: PreparedRequest, login: Login) -> None:
    HTTPBasicAuth(_bytes(login.user), _bytes(login.password))(request)


def _bytes(text: str) -> bytes:
    # As in pip. `encode` never fails, so no error can quote the password.
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


@lru_cache(maxsize=256)
def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def _has_origin(url: str) -> bool:
    try:
        return _origin(url)[0] in _PORTS
    except ValueError:
        return False


def _complete(parts: SplitResult) -> Login | None:
    if parts.username is None or parts.password is None:
        return None
    return Login(unquote(parts.username), unquote(parts.password))


def _open_keyring(provider: str) -> AskKeyring:
    """How to ask the keyring; ``auto`` means ``import``, else ``subprocess``."""
    if provider in ("auto", "import"):
        # Not a dependency: users install it beside securepip.
        with suppress(ImportError):
            keyring = importlib.import_module("keyring")
            return lambda service, user: _login_of(keyring.get_credential(service, user))
    program = shutil.which("keyring") if provider in ("auto", "subprocess") else None
    if program is not None:
        return lambda service, user: _ask_program(program, service, user)
    return lambda service, user: None


def _login_of(found: Any) -> Login | None:
    return None if found is None else Login(found.username, found.password)


def _ask_program(program: str, service: str, user: str | None) -> Login | None:
    # After "--", a host name that a page or a redirect has chosen cannot be taken for an option.
    command = [program, "--mode=creds", "--output=json", "get", "--", service]
    done = subprocess.run(
        [*command, user] if user is not None else command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    if done.returncode == 2 and b"--mode=creds" in done.stderr:
        raise ValueError("it is outdated; it must be at least version 25.2.1")
    if done.returncode:
        return None
    answer = json.loads(done.stdout)
    return Login(answer["username"], answer["password"])
