"""Where state and cache live on this machine, and that they are the user's alone.

The rule: what protects against rollback, and keys, are *data*; what can be fetched
again is *cache*. Whoever else could write there could add a root of trust, or a wheel to those
that were built here. So whatever the umask, all folders below are made with mode 0700 and all files
with mode 0600, and a folder that somebody else may write to is not used.

A cache may also come from another machine, as in CI. What is run from it, and cannot be checked
against what was signed, counts only with a mark that the user's own secret has made (``Seal``);
the secret lies with the state.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import stat
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import platformdirs

from securepip.errors import SecurepipError

_NAME = "securepip"
_SECRET, _SECRET_BYTES = "cache-secret", 32
_log = logging.getLogger(__name__)


def data_dir() -> Path:
    """The folder of state and keys, created with mode 0700 (``SECUREPIP_DATA_DIR`` overrides).

    Raises:
        SecurepipError: It belongs to somebody else, others may write to it, or it cannot be made.
    """
    chosen = os.environ.get("SECUREPIP_DATA_DIR") or platformdirs.user_data_dir(_NAME)
    return private_folder(Path(chosen).expanduser().absolute(), _DATA_REMEDY)


def cache_dir(chosen: str | None = None) -> Path:
    """The folder of what can be fetched again.

    Args:
        chosen: What the user says it is, else ``SECUREPIP_CACHE_DIR`` or the system decides.

    Raises:
        SecurepipError: It belongs to somebody else, others may write to it, or it cannot be made.
    """
    folder = chosen or os.environ.get("SECUREPIP_CACHE_DIR") or platformdirs.user_cache_dir(_NAME)
    return private_folder(Path(folder).expanduser().absolute())


def usable_cache(stack: ExitStack, chosen: str | None = None) -> Path:
    """The folder of the cache; where it cannot be used, with a warning, a temporary one.

    Args:
        stack: Removes the temporary folder.
        chosen: As for ``cache_dir``.

    Raises:
        SecurepipError: There is no place for a temporary folder either.
    """
    try:
        return cache_dir(chosen)
    except SecurepipError as error:
        # As pip: a cache that others may write to is no reason to fail, but it is not used.
        _log.warning("%s\nThe cache has been disabled.", error)
        return Path(stack.enter_context(temporary_folder()))


def private_folder(path: Path, remedy: str = "") -> Path:
    """Make a folder that is the user's alone, or check the one that is there.

    All that is written below the cache and data folders is written to folders that this made.

    Args:
        path: The folder, absolute.
        remedy: What the user can do where it cannot be made.

    Raises:
        SecurepipError: It belongs to somebody else, others may write to it, or it cannot be made.
    """
    try:
        make_folder(path)
        status = path.stat()
    except OSError as error:
        raise SecurepipError(
            f"the folder {path} cannot be used: {error.strerror}", remedy=remedy
        ) from None
    _check_status(path, status)
    return path


def check_private(path: Path) -> None:
    """Refuse a folder or file of ours that somebody else may write to; none at all is fine.

    Raises:
        SecurepipError: It belongs to somebody else, others may write to it, or it cannot be read.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SecurepipError(f"{path} cannot be used: {error.strerror}") from None
    _check_status(path, status)


def make_folder(path: Path) -> None:
    """Make a folder, and those it lies in, with mode 0700, unless they are there.

    Raises:
        OSError: It cannot be made.
    """
    # Not `parents=True`, which makes all but the last with the mode that the umask leaves.
    missing = [path] if not path.is_dir() else []
    missing += [parent for parent in path.parents if missing and not parent.is_dir()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder of mode 0700 that is gone when it is closed, or with the process.

    Raises:
        SecurepipError: There is no place for it.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="securepip-")
    except OSError as error:
        raise no_temporary_folder(str(error.strerror)) from None


def no_temporary_folder(reason: str) -> SecurepipError:
    """What is said where the folder for temporary files has no room, or cannot be written."""
    return SecurepipError(
        f"there is no place for temporary files: {reason}",
        remedy="Make room there, or let the environment variable TMPDIR name another folder.",
    )


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file as a whole, on the disk when this returns; its folder must be there.

    Raises:
        OSError: It cannot be written. What was there still is.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".securepip-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            # Or a power cut could leave the new name without the new contents.
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
        return hmac.compare_digest(mark.encode(), self.mark(kind, *facts).encode())


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
            stream.write(secrets.token_bytes(_SECRET_BYTES))
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    return _read_secret(path)


def _read_secret(path: Path) -> bytes:
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        secret = stream.read(_SECRET_BYTES + 1)
    _check_status(path, status)
    if os.name == "posix" and status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        raise SecurepipError(f"{path} is a secret, and others can read it: delete it")
    if len(secret) != _SECRET_BYTES:
        raise SecurepipError(f"{path} is damaged: delete it")
    return secret


_DATA_REMEDY = (
    "Let the environment variable SECUREPIP_DATA_DIR name a folder that you can write to, and keep "
    "it: it holds whom you trust."
)


def _check_status(path: Path, status: os.stat_result) -> None:
    if os.name == "posix" and (
        status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "file"
        raise SecurepipError(
            f"the {kind} {path} is not yours alone: it belongs to user {status.st_uid}, mode "
            f"{stat.filemode(status.st_mode)}",
            meaning="Whoever can write there could decide what you install.",
            remedy=f"Take away the others' permission (chmod go-w {path}), or use another folder. "
            "With sudo, use sudo -H.",
        )
