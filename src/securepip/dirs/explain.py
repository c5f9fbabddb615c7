"""Messages for errors of the user's own machine: they name the path and what to do about it."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import platformdirs

from securepip.errors import SecurepipError

_NAME = "securepip"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OF_THE_MACHINE = _FULL | {
    getattr(errno, name)
    for name in (
        *("EACCES", "EPERM", "EROFS", "EIO", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG"),
        *("EINTR", "EMFILE", "ENFILE", "ENOMEM", "ENOLCK", "ENODEV", "ENXIO", "EBUSY"),
        *("ETXTBSY", "ESTALE"),
    )
    if hasattr(errno, name)
}
_LITTLE_BYTES = 1 << 20
_TEMPORARY_REMEDY = "Make room there, or set the environment variable TMPDIR to another folder."
_DATA_REMEDY = (
    "Make room there, or give yourself the permission to write. Or set the environment variable "
    "SECUREPIP_DATA_DIR to a folder that you can write to, and keep that folder: it holds whom you "
    "trust. Where it is read-only on purpose, as in an image: `securepip install "
    "--read-only-state …`, and for other tools `securepip gateway --read-only-state -- COMMAND`."
)


_LOCK_REMEDY = (
    "Use a folder on a disk of this machine: for what securepip knows, set the environment "
    "variable SECUREPIP_DATA_DIR to it, and keep it; a repository can be moved there."
)


def user_path(text: str) -> Path:
    """A path with ``~`` and ``~user`` expanded; unchanged if there is no such user."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib's raises without such a user


def chosen_data() -> Path:
    """The absolute path of the folder for state and keys, which may not exist yet."""
    chosen = os.environ.get("SECUREPIP_DATA_DIR") or platformdirs.user_data_dir(_NAME)
    return user_path(chosen).absolute()


def chosen_cache(chosen: str | None = None) -> Path:
    """The absolute path of the cache, which may not exist yet.

    Args:
        chosen: What ``--cache-dir`` names; None if the option is not given.
    """
    folder = chosen or os.environ.get("SECUREPIP_CACHE_DIR") or platformdirs.user_cache_dir(_NAME)
    return user_path(folder).absolute()


def explained(error: Exception) -> SecurepipError | None:
    """The message for an error that the user's own machine causes.

    Args:
        error: An error of the operating system or of the database.

    Returns:
        None if the cause is something else than a full disk, a missing permission and the like.
    """
    if not isinstance(error, OSError):
        return _of_a_database(error)
    if str(error.strerror).startswith("No usable temporary directory"):  # of ``tempfile``
        return no_temporary_folder(str(error.strerror))
    if error.errno not in _OF_THE_MACHINE:
        return None
    if error.errno == errno.ENOLCK:
        return SecurepipError(
            f"a file cannot be locked, so that two runs could disturb each other: {error.strerror}",
            meaning="This machine is the reason: some network file systems lock no files.",
            remedy=_LOCK_REMEDY,
        )
    paths = [str(each) for each in (error.filename, error.filename2) if isinstance(each, str)]
    if not paths and error.errno in _FULL:
        paths = full_folders()
    return SecurepipError(
        f"{', '.join(paths) or 'the output'} cannot be used: {error.strerror}",
        meaning="This machine is the reason, not the files: none was found to be wrong, and "
        "nothing unverified was used.",
        remedy=way_out(paths),
    )


def _of_a_database(error: Exception) -> SecurepipError | None:
    # Importing it here would cost every run; a program that meets its error has it loaded already.
    sqlite3 = sys.modules.get("sqlite3")
    if sqlite3 is None or not isinstance(error, sqlite3.OperationalError):
        return None
    full = full_folders()
    return SecurepipError(
        f"the database that a repository remembers with cannot be used: {error}",
        meaning="This machine is the reason: a disk that is full or fails, or another program that "
        "holds the file. What was current still is.",
        remedy=f"{way_out(full)} Then run the same command again.",
    )


def no_temporary_folder(reason: str) -> SecurepipError:
    """The message for a temporary folder that is full or cannot be written."""
    return SecurepipError(
        f"there is no place for temporary files: {reason}",
        remedy=_TEMPORARY_REMEDY,
    )


def full_folders() -> list[str]:
    """The folders that securepip writes to whose disk is full.

    The system's error for a failed write does not name the file, so each is looked at.
    """
    full = []
    for folder in _ways_out():
        with suppress(OSError):
            while not folder.exists():
                folder = folder.parent
            if shutil.disk_usage(folder).free < _LITTLE_BYTES:
                full.append(str(folder))
    return list(dict.fromkeys(full))


def way_out(paths: Sequence[str]) -> str:
    """What the user can do about paths that cannot be written."""
    for folder, way in _ways_out().items():
        if any(Path(path).is_relative_to(folder) for path in paths):
            return way
    return "Make room, give yourself the permission, or name something else."


def _ways_out() -> dict[Path, str]:
    """What the user can do about each folder that securepip writes to."""
    ways = {
        chosen_cache(): "Make room there, use --no-cache-dir, or set the environment variable "
        "SECUREPIP_CACHE_DIR to another folder.",
        chosen_data(): _DATA_REMEDY,
    }
    with suppress(OSError):
        if shutil.disk_usage(tempfile.gettempdir()).free < _LITTLE_BYTES:
            ways[Path(tempfile.gettempdir())] = _TEMPORARY_REMEDY
    return ways
