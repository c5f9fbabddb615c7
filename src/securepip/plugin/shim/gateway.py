"""Finds or starts the gateway for this pip: that of its parent, or its own, which ends with it."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from securepip.plugin.shim.inside import GATEWAY, MAX_REASON, refusal
from securepip.redaction import harmless, redact

_START_SECONDS = 60.0


class Gateway:
    """The gateway for this process: that of its parent, or its own, which is started when needed.

    Args:
        command: Starts a gateway.
        not_obeyed: The index settings in the environment's own pip configuration, which pip is not
            given: value and file, by option. It is empty until pip has read that file.
    """

    def __init__(
        self, command: Sequence[str], not_obeyed: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        self._command = command
        self._not_obeyed = {} if not_obeyed is None else not_obeyed
        self._local = threading.local()
        self._lock = threading.Lock()
        self._direct: dict[tuple[str, ...], set[str]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._pid = 0
        self._url: str | None = None
        self.port: int | None = None
        self._told: set[str] = set()

    def tell(self, text: str) -> None:
        """Show a warning to the user of pip, once."""
        if text not in self._told:
            self._told.add(text)
            logging.getLogger("pip._internal.securepip").warning("%s", harmless(text))

    def begin(self) -> None:
        """Start a gateway early, so that it loads at the same time as pip.

        It makes no request before it is given pip's settings. If it is never needed, it ends with
        this process.

        Raises:
            OSError: It cannot be started.
        """
        self._load()

    def url(self, session: Any) -> str:
        """The gateway's address, ending in a slash. A gateway is started if there is none yet."""
        for option, (value, file) in self._not_obeyed.items():
            self.tell(
                f"Not obeying {option} = {' '.join(map(redact, value.split()))}, which the "
                f"environment's own {file} says: name it on the command line (--{option}) if you "
                "want it."
            )
        with self._lock:
            if self._url is None:
                self._url = self._inherited() or self._start(session)
            return self._url

    def name_direct(self, url: str, digests: set[str]) -> None:
        """Remember the digests, perhaps none, that the user gave for a direct URL."""
        self._direct.setdefault(_key(url), set()).update(digests)

    def digests(self, url: str) -> set[str] | None:
        """The digests that the user gave for a URL; None if the user has not named it directly."""
        return self._direct.get(_key(url))

    @contextmanager
    def reading_text(self) -> Iterator[None]:
        """In the block, this thread fetches a requirements file and not a distribution."""
        self._local.text = True
        try:
            yield
        finally:
            self._local.text = False

    def is_running(self) -> bool:
        """Whether the gateway still runs, so that nobody else can listen on its port."""
        if self._process is not None:
            return self._process.poll() is None
        if os.name != "posix":
            return True
        try:
            os.kill(self._pid, 0)
        except OSError:
            return False
        return True

    @property
    def reads_text(self) -> bool:
        """Whether this thread is in a ``reading_text`` block."""
        return bool(getattr(self._local, "text", False))

    def _inherited(self) -> str | None:
        """The gateway of the pip that started this one, if it still answers."""
        path = os.environ.get(GATEWAY)
        if not path:
            return None
        try:
            with Path(path).open("rb") as stream:
                status = os.fstat(stream.fileno())
                announcement = json.loads(stream.read(4096))
            url, self._pid = str(announcement["url"]), int(announcement["pid"])
            is_private = os.name != "posix" or (
                status.st_uid == os.geteuid() and not status.st_mode & 0o077
            )
            parts = urlsplit(url)
            # Another user could have written a file that is not private, to name his own gateway.
            if not is_private or parts.hostname != "127.0.0.1":
                return None
            self.port = parts.port
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return url

    def _start(self, session: Any) -> str:
        """Give the gateway pip's settings; its address. It ends when the pipe to it is closed."""
        try:
            process = self._load()
            answer = json.loads(_first_answer(process, json.dumps(_settings(session))))
            url, path = str(answer["url"]), str(answer["file"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise refusal(
                f"securepip's gateway did not start: {self._complaint() or error}", ""
            ) from None
        self.port = urlsplit(url).port
        # For the pip processes that this one starts to fetch build requirements.
        os.environ[GATEWAY] = path
        return url

    def _load(self) -> subprocess.Popen[bytes]:
        """The process of the gateway, which waits for pip's settings. It is started if necessary.

        Raises:
            OSError: It cannot be started.
        """
        if self._process is None:
            # The gateway writes to this file until it ends.
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                # A Ctrl-C must reach pip alone: pip may still need the gateway to roll back.
                start_new_session=True,
            )
        return self._process

    def _complaint(self) -> str:
        """The gateway's output on standard error."""
        if self._errors is None:
            return ""
        self._errors.seek(0)
        return self._errors.read(MAX_REASON).decode("utf-8", "replace").strip()


def _key(url: str) -> tuple[str, ...]:
    """A URL in a form in which two URLs can be compared."""
    parts = urlsplit(url)
    return (parts.scheme.lower(), parts.netloc.rpartition("@")[2].lower(), unquote(parts.path),
            unquote(parts.query))  # fmt: skip


def _settings(session: Any) -> dict[str, Any]:
    """The network settings of pip for the gateway, wherever pip has read them."""
    from pip._internal.models.index import PyPI

    auth = session.auth
    # pip 23.0 has no such option. As in pip, nobody is asked if there is no terminal.
    keyring = getattr(auth, "_keyring_provider", "auto")
    settings = {
        # The index that pip uses by default stands for all trusted repositories.
        "default_index": PyPI.simple_url,
        "indexes": auth.index_urls or [],
        "cert": session.verify if isinstance(session.verify, str) else None,
        "client_cert": session.cert,
        "proxy": session.proxies.get("https"),
        "proxy_env": session.trust_env,
        "trusted_hosts": [
            f"{host}:{port}" if port else host for host, port in session.pip_trusted_origins
        ],
        "keyring": "disabled" if keyring == "auto" and not auth.prompting else keyring,
        "cache": bool(session.securepip_cache),
    }
    settings["own_places"] = bool(getattr(_options(), "find_links", None))
    limits = _options() or session
    for name in ("timeout", "retries"):
        value = getattr(limits, name, None)
        if value is not None:
            settings[name] = value
    return settings


def _options() -> Any:
    """The options of the command that pip runs; None if no command runs.

    The session's own timeout is not used: the first session of pip looks for a newer pip, with a
    very short timeout.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        options = frame.f_locals.get("options")
        if hasattr(options, "timeout") and hasattr(options, "retries"):
            return options
        frame = frame.f_back
    return None


def _first_answer(process: subprocess.Popen[bytes], question: str) -> bytes:
    """Write the settings to a gateway; its first line, or b"" if it ends or takes too long."""
    if process.stdin is None or process.stdout is None:
        raise TypeError("the gateway has no pipes")
    timer = threading.Timer(_START_SECONDS, process.kill)
    timer.daemon = True
    timer.start()
    try:
        # The pipe stays open until this process ends, and then the gateway ends too.
        process.stdin.write(question.encode() + b"\n")
        process.stdin.flush()
        return process.stdout.readline(4096)
    finally:
        timer.cancel()
