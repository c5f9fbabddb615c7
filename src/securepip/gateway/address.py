"""Announces the address of a running gateway in a file, and finds it again.

Rule: an address with a token goes to three places only: a file that only the user can read,
standard output, and the environment of the command that the user runs.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from securepip.dirs import private_folder

if sys.platform != "win32":  # Windows has other locks, and seldom more than one user
    import fcntl

_ALIVE_SECONDS = 2.0
_NO_ANSWER = (OSError, ValueError, KeyError, TypeError, http.client.HTTPException)


@contextmanager
def announced(folder: Path, url: str) -> Iterator[Path]:
    """Keep a file (mode 0600) with the address of this process's gateway during the block.

    Args:
        folder: The folder for the file; made with mode 0700.
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
                stream.close()  # Windows cannot delete an open file
            path.unlink(missing_ok=True)


def running(folder: Path) -> str | None:
    """The address of the newest gateway of this user that answers now; None if there is none.

    Files that killed gateways have left are removed.
    """
    try:
        paths = sorted(folder.glob("*.json"), key=lambda one: one.stat().st_mtime, reverse=True)
    except OSError:
        return None
    for path in paths:
        is_left = True
        with suppress(*_NO_ANSWER), path.open("rb") as stream:
            if _is_held(stream):
                # A gateway with a held file may answer later, so the file stays. Windows has no
                # such lock, but there a file that is in use cannot be removed.
                is_left = sys.platform == "win32"
                url = str(json.loads(stream.read())["url"])
                if _answers(url):
                    return url
        if is_left:
            with suppress(OSError):
                path.unlink()
    return None


def _is_held(stream: BinaryIO) -> bool:
    """Whether the process that wrote the file still runs.

    If it was killed, its port is free, and any user of the machine can listen on it. That user
    would be sent the token, and his answers would be believed.
    """
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=_ALIVE_SECONDS
    )
    with closing(connection):
        connection.request("HEAD", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
