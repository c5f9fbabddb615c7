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

import errno
import hmac
import json
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import platformdirs

from securepip.errors import SecurepipError

_NAME = "securepip"
_SECRET, _SECRET_BYTES = "cache-secret", 32
_log = logging.getLogger(__name__)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OF_THE_MACHINE = _FULL | {
    getattr(errno, name)
    for name in (
        *("EACCES", "EPERM", "EROFS", "EIO", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG"),
        *("EMFILE", "ENFILE", "ENOMEM", "ENOLCK", "ENODEV", "ENXIO", "EBUSY", "ETXTBSY", "ESTALE"),
    )
    if hasattr(errno, name)
}
_LITTLE_BYTES = 1 << 20
_TEMPORARY_REMEDY = "Make room there, or let the environment variable TMPDIR name another folder."
DATA_REMEDY = (
    "Let the environment variable SECUREPIP_DATA_DIR name a folder that you can write to, and keep "
    "it: it holds whom you trust. Where it is read-only on purpose, as in an image, install with "
    "--read-only-state."
)


def data_dir() -> Path:
    """The folder of state and keys, created with mode 0700 (``SECUREPIP_DATA_DIR`` overrides).

    Raises:
        SecurepipError: It belongs to somebody else, others may write to it, or it cannot be made.
    """
    chosen = os.environ.get("SECUREPIP_DATA_DIR") or platformdirs.user_data_dir(_NAME)
    return private_folder(Path(chosen).expanduser().absolute())


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


def private_folder(path: Path) -> Path:
    """Make a folder that is the user's alone, or check the one that is there.

    All that is written below the cache and data folders is written to folders that this made.

    Args:
        path: The folder, absolute.

    Raises:
        SecurepipError: It belongs to somebody else, others may write to it, or it cannot be made.
    """
    try:
        make_folder(path)
        status = path.stat()
    except OSError as error:
        raise SecurepipError(
            f"the folder {path} cannot be used: {error.strerror}", remedy=_way_out([str(path)])
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
        remedy=_TEMPORARY_REMEDY,
    )


def explained(error: OSError) -> SecurepipError | None:
    """What a person is told of an error of their own machine: the path, and the way out.

    Args:
        error: What the system said.

    Returns:
        None for what no full disk, no permission and the like can be the reason of.
    """
    if str(error.strerror).startswith("No usable temporary directory"):  # of ``tempfile``
        return no_temporary_folder(str(error.strerror))
    if error.errno not in _OF_THE_MACHINE:
        return None
    paths = [str(each) for each in (error.filename, error.filename2) if isinstance(each, str)]
    if not paths and error.errno in _FULL:
        paths = full_folders()
    return SecurepipError(
        f"{', '.join(paths) or 'the output'} cannot be used: {error.strerror}",
        meaning="It is this machine that stands in the way, and not what was signed. Nothing that "
        "was not verified was used.",
        remedy=_way_out(paths),
    )


def full_folders() -> list[str]:
    """Those of the folders that we write to in which there is no room.

    What the system says of a failed write does not name the file.
    """
    full = []
    for folder in _ways_out():
        with suppress(OSError):
            while not folder.exists():
                folder = folder.parent
            if shutil.disk_usage(folder).free < _LITTLE_BYTES:
                full.append(str(folder))
    return list(dict.fromkeys(full))


def _way_out(paths: Sequence[str]) -> str:
    for folder, way_out in _ways_out().items():
        if any(Path(path).is_relative_to(folder) for path in paths):
            return way_out
    return "Make room, give yourself the permission, or name something else."


def _ways_out() -> dict[Path, str]:
    """What to do about the folders that we write to, by folder."""
    environ = os.environ
    cache = environ.get("SECUREPIP_CACHE_DIR") or platformdirs.user_cache_dir(_NAME)
    data = environ.get("SECUREPIP_DATA_DIR") or platformdirs.user_data_dir(_NAME)
    ways = {
        cache: "Make room there, use --no-cache-dir, or let SECUREPIP_CACHE_DIR name another.",
        data: DATA_REMEDY,
    }
    with suppress(OSError):
        if shutil.disk_usage(tempfile.gettempdir()).free < _LITTLE_BYTES:
            ways[tempfile.gettempdir()] = _TEMPORARY_REMEDY
    return {Path(folder).expanduser().absolute(): way for folder, way in ways.items()}


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


def write_private(path: Path, data: bytes) -> None:
    """Replace a file of the user's own as ``replace_file`` does, in a folder that is made for it.

    Raises:
        SecurepipError: It cannot be written. What was there still is.
    """
    try:
        make_folder(path.parent)
        replace_file(path, data)
    except OSError as error:
        raise SecurepipError(
            f"{path} cannot be written: {error.strerror}",
            remedy="Make room there, or let the environment variable SECUREPIP_DATA_DIR name a "
            "folder that you can write to, and keep it.",
        ) from None


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
    _check_status(path, status)
    if os.name == "posix" and status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        raise SecurepipError(f"{path} is a secret, and others can read it: delete it")
    if len(secret) != _SECRET_BYTES:
        raise SecurepipError(f"{path} is damaged: delete it")
    return secret


def _check_status(path: Path, status: os.stat_result) -> None:
    # The administrator can change everything anyway; an image may hold state that is theirs.
    if os.name == "posix" and (
        status.st_uid not in (os.geteuid(), 0) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "file"
        raise SecurepipError(
            f"the {kind} {path} is not yours alone: it belongs to user {status.st_uid}, mode "
            f"{stat.filemode(status.st_mode)}",
            meaning="Whoever can write there could decide what you install.",
            remedy=f"Take away the others' permission (chmod go-w {path}), or use another folder. "
            "With sudo, use sudo -H.",
        )
