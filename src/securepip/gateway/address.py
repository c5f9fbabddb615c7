"""Where a running gateway is, and what tools must be told so that they use it and nothing else.

Rule: an address with a token is written to a file that only the user can read, and to nothing else
but standard output and the environment of the command that the user runs.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from securepip.dirs import private_folder

if sys.platform != "win32":  # which has other locks, and seldom more than one user
    import fcntl

TIMEOUT_SECONDS = 3600
"""How long tools are to wait: the gateway sends nothing of a file before it has, and has verified,
all of it; it gives up by itself when a server is too slow."""

_ALIVE_SECONDS = 2.0
# What leads to other places than the gateway, whose files nobody would verify.
_ASTRAY = ("UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_ASTRAY_OF_PIP = ("extra-index-url", "no-index")
# All settings that decide whom pip asks. With a proxy, requests passes even a loopback address to
# it: it would learn the token, and could answer in the gateway's place.
_WHERE = (*_ASTRAY_OF_PIP, "index-url", "pypi-url", "find-links", "proxy")


@contextmanager
def announced(folder: Path, url: str) -> Iterator[Path]:
    """Keep a file, mode 0600, that says where this process's gateway is; gone afterwards.

    Args:
        folder: Made with mode 0700 when it is not there.
        url: The address, with its token.

    Yields:
        The file.
    """
    private_folder(folder)
    path = folder / f"{os.getpid()}.json"
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        if sys.platform != "win32":
            fcntl.flock(stream, fcntl.LOCK_EX)
        json.dump({"url": url, "pid": os.getpid()}, stream)
        stream.flush()
        try:
            yield path
        finally:
            if sys.platform == "win32":
                stream.close()  # no file that is open can be deleted there
            path.unlink(missing_ok=True)


def running(folder: Path) -> str | None:
    """The address of a gateway of this user that answers now, the newest; None when there is none.

    What killed gateways have left is removed.
    """
    try:
        paths = sorted(folder.glob("*.json"), key=lambda one: one.stat().st_mtime, reverse=True)
    except OSError:
        return None
    for path in paths:
        with suppress(OSError, ValueError, KeyError, TypeError), path.open("rb") as stream:
            if _is_held(stream):
                url = str(json.loads(stream.read())["url"])
                if _answers(url):
                    return url
        with suppress(OSError):
            path.unlink()
    return None


def _is_held(stream: BinaryIO) -> bool:
    """Whether the process that wrote the file is still there.

    When it was killed, its port is free. Any user of the machine can take it then, and would be
    told the token, and believed.
    """
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


@dataclass(frozen=True)
class Surroundings:
    """The environment of a tool that is to use the gateway.

    Attributes:
        variables: What is set.
        unset: What must not be set.
        left_out: pip's settings that are not passed on, for people; without credentials.
    """

    variables: Mapping[str, str]
    unset: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def applied(self, environ: Mapping[str, str]) -> dict[str, str]:
        """``environ``, changed."""
        kept = {name: value for name, value in environ.items() if name not in self.unset}
        return {**kept, **self.variables}


def surroundings(
    url: str, environ: Mapping[str, str], pip_files: Mapping[str, str]
) -> Surroundings:
    """What tools must be told.

    Args:
        url: The gateway's address.
        environ: The environment as it is.
        pip_files: What pip's configuration files say, by option name.
    """
    index, seconds = f"{url}simple/", str(TIMEOUT_SECONDS)
    variables = {
        "PIP_INDEX_URL": index,
        "PIP_TIMEOUT": seconds,
        "PIP_DEFAULT_TIMEOUT": seconds,
        "UV_DEFAULT_INDEX": index,
        "UV_HTTP_TIMEOUT": seconds,
        # The gateway tries again itself; what it refuses, it refuses again.
        "UV_HTTP_RETRIES": "0",
        "PDM_PYPI_URL": index,
        "PDM_REQUEST_TIMEOUT": seconds,
        "POETRY_REQUESTS_TIMEOUT": seconds,
        **_no_proxy(environ),
    }
    # pip takes its variables in any case, and with either dash.
    of_pip = {
        name: name[len("PIP_") :].lower().replace("_", "-")
        for name in environ
        if name.startswith("PIP_")
    }
    unset = [name for name in environ if name in _ASTRAY or of_pip.get(name) in _WHERE]
    left_out = [
        f"{name} (environment)"
        for name in unset
        if name in _ASTRAY or of_pip[name] in _ASTRAY_OF_PIP
    ]
    named_links = [environ[name] for name, option in of_pip.items() if option == "find-links"]
    links = " ".join(named_links) or pip_files.get("find-links", "")
    kept_links, dropped_links = _local_links(links)
    # pip reads none of its files: which it would read depends on the environment that it is in and
    # on its command, and it would take from an index named there what is newer than here. So it is
    # told what the files say that are known here.
    variables["PIP_CONFIG_FILE"] = os.devnull
    for option, value in pip_files.items():
        if option not in _WHERE and option not in of_pip.values():
            variables.setdefault(f"PIP_{option.upper().replace('-', '_')}", value)
    astray = [option for option in _ASTRAY_OF_PIP if option in pip_files]
    left_out += [f"{option} (pip's configuration)" for option in astray]
    if dropped_links:
        left_out.append("find-links to other machines")
    if links:
        variables["PIP_FIND_LINKS"] = " ".join(kept_links)
    return Surroundings(variables, tuple(unset), tuple(left_out))


def _no_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """A proxy cannot reach the loopback address of this machine."""
    said = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    value = ",".join(dict.fromkeys([*filter(None, said.split(",")), "127.0.0.1", "localhost"]))
    return {"NO_PROXY": value, "no_proxy": value}


def _local_links(links: str) -> tuple[list[str], list[str]]:
    """Places on this machine, which are the user's own business, and others."""
    places = links.split()
    others = [one for one in places if "://" in one and not one.lower().startswith("file:")]
    return [one for one in places if one not in others], others


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=_ALIVE_SECONDS
    )
    try:
        connection.request("HEAD", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
