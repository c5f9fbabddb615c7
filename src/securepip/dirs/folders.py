"""The folders of state and cache, made for the user alone and refused where they are not.

Rule: whatever the umask, all folders are made with mode 0700 and all files with mode 0600.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.dirs.explain import chosen_cache, chosen_data, no_temporary_folder, way_out
from securepip.errors import SecurepipError

if TYPE_CHECKING:
    from mmap import mmap

_log = logging.getLogger(__name__)


def data_dir() -> Path:
    """The folder of state and keys, created with mode 0700 (``SECUREPIP_DATA_DIR`` overrides).

    Raises:
        SecurepipError: It belongs to somebody else, others may write to it, or it cannot be made.
    """
    return private_folder(chosen_data())


def cache_dir(chosen: str | None = None) -> Path:
    """The folder of what can be fetched again.

    Args:
        chosen: What the user says it is, else ``SECUREPIP_CACHE_DIR`` or the system decides.

    Raises:
        SecurepipError: It belongs to somebody else, others may write to it, or it cannot be made.
    """
    return private_folder(chosen_cache(chosen))


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
            f"the folder {path} cannot be used: {error.strerror}", remedy=way_out([str(path)])
        ) from None
    check_status(path, status)
    return path


def copy_private(source: Path, copy: Path) -> None:
    """Copy a folder's files, without locks, to one that is the user's alone; once, if it is there.

    Raises:
        SecurepipError: As ``private_folder``.
        OSError: It cannot be read, or the copy not be written.
    """
    if copy.exists():
        return
    private_folder(copy)
    for path in source.rglob("*"):
        if path.is_file() and not path.name.endswith(".lock"):
            private_folder((copy / path.relative_to(source)).parent)
            replace_file(copy / path.relative_to(source), path.read_bytes())


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
    check_status(path, status)


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


def replace_file(path: Path, *data: bytes | mmap, mode: int = 0o600, durable: bool = True) -> None:
    """Replace a file as a whole, on the disk when this returns; its folder must be there.

    Args:
        path: The file.
        data: What it is to hold, one after the other.
        mode: Its mode.
        durable: Whether it has to outlive a power cut. A file of a cache whose contents are
            compared with a digest or a mark need not: it takes five times as long.

    Raises:
        OSError: It cannot be written. What was there still is.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".securepip-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.writelines(data)
            stream.flush()
            if durable:
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


def check_status(path: Path, status: os.stat_result) -> None:
    """As ``check_private``, for what is open already."""
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
