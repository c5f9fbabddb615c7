"""Marks that tell what this user's own runs made from what somebody else put into the cache.

Rule: a cached file that securepip runs, and cannot check against a signature, is used only if it
carries a mark made with the user's own secret. The secret is kept with the state, the mark with the
cache.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from securepip.dirs.folders import check_status, data_dir
from securepip.errors import SecurepipError

_SECRET, _SECRET_BYTES = "cache-secret", 32
_log = logging.getLogger(__name__)


class Seal:
    """Marks what runs of this user made, and recognises those marks later.

    Args:
        secret: 32 bytes that only this user can read.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def mark(self, kind: str, *facts: str) -> str:
        """The mark of a thing: a MAC (HMAC-SHA256, RFC 2104) over all that identifies it.

        Args:
            kind: What kind of thing it is, so that things of two kinds never share a mark.
            facts: What identifies it: names, digests. The mark is wrong if one of them changes.

        Returns:
            64 hexadecimal digits.
        """
        message = json.dumps([kind, *facts]).encode()
        return hmac.new(self._secret, message, "sha256").hexdigest()

    def proves(self, mark: str, kind: str, *facts: str) -> bool:
        """Whether ``mark`` is the mark of these facts."""
        return hmac.compare_digest(mark.encode(errors="replace"), self.mark(kind, *facts).encode())


def own_seal() -> Seal | None:
    """The seal of this user; None, with a warning, if the secret can be neither read nor made.

    Without a seal the caller neither believes nor keeps cached files that need a mark.
    """
    try:
        return Seal(_read_or_make(data_dir() / _SECRET))
    except SecurepipError as error:
        reason = error.what
    except OSError as error:
        reason = f"{data_dir() / _SECRET}: {error.strerror}"
    _log.warning("What is built now is not kept for the next time: %s", reason)
    return None


def _read_or_make(path: Path) -> bytes:
    try:
        return _read_secret(path)
    except FileNotFoundError:
        pass
    # The link makes the whole file appear at once, and fails if another process was faster.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".securepip-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(os.urandom(_SECRET_BYTES))
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    return _read_secret(path)


def _read_secret(path: Path) -> bytes:
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        secret = stream.read(_SECRET_BYTES + 1)
    check_status(path, status)
    if os.name == "posix" and status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        raise SecurepipError(f"{path} is a secret, and others can read it: delete it")
    if len(secret) != _SECRET_BYTES:
        raise SecurepipError(f"{path} is damaged: delete it")
    return secret
