"""What this user's own runs have made, told apart from what comes from elsewhere.

Rule: what is run from a cache, and cannot be checked against what was signed, counts only with a
mark that the user's own secret has made. The secret lies with the state, the mark with the cache.
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
    """Marks what runs of this user have made, so that nobody else's is taken for it.

    Args:
        secret: What only this user knows.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def mark(self, kind: str, *facts: str) -> str:
        """The mark of something: a MAC (HMAC-SHA256, RFC 2104) over all that identifies it.

        Args:
            kind: What it is, so that no two kinds of thing share a mark.
            facts: What must not change unseen: names, digests.
        """
        said = json.dumps([kind, *facts]).encode()
        return hmac.new(self._secret, said, "sha256").hexdigest()

    def proves(self, mark: str, kind: str, *facts: str) -> bool:
        """Whether this is the mark that was made for the same facts."""
        return hmac.compare_digest(mark.encode(errors="replace"), self.mark(kind, *facts).encode())


def own_seal() -> Seal | None:
    """The seal of this user; None, with a warning, where there is no secret and none can be kept.

    Without one nothing that was kept is believed, and nothing need be kept.
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
    # Complete under its name or not there, and never replaced: of two processes one is first.
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
