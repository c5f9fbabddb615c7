"""The folders of state and cache: made for the user alone, and refused if others may write to them.

Rule: folders are made with mode 0700 and files with mode 0600, whatever the umask.
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


def usable_cache(stack: ExitStack, chosen: str | None = None) -> Path:
    """The cache folder; a temporary folder, with a warning, if the cache cannot be used.

    Args:
        stack: Removes the temporary folder when it closes.
        chosen: The folder that ``--cache-dir`` names; without it, ``SECUREPIP_CACHE_DIR`` or the
            convention of the system decides.

    Raises:
        SecurepipError: No temporary folder can be made either.
    """
    try:
        return private_folder(chosen_cache(chosen))
    except SecurepipError as error:
        # As in pip, a cache that others may write to is not used, and the command goes on.
        _log.warning("%s\nThe cache has been disabled.", error)
        return Path(stack.enter_context(temporary_folder()))


def private_folder(path: Path) -> Path:
    """Make a folder that is the user's alone, or check that an existing one is.

    Everything below the cache and data folders is written to folders that this function made.

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
    """Copy a folder's files, except locks, to a folder that is the user's alone.

    A copy that exists already is left as it is.

    Raises:
        SecurepipError: As ``private_folder``.
        OSError: The folder cannot be read, or the copy cannot be written.
    """
    if copy.exists():
        return
    private_folder(copy)
    for path in source.rglob("*"):
        if path.is_file() and not path.name.endswith(".lock"):
            private_folder((copy / path.relative_to(source)).parent)
            replace_file(copy / path.relative_to(source), path.read_bytes())


def check_private(path: Path) -> None:
    """Refuse a folder or file that somebody else may write to; a missing one is fine.

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
    """Make a folder and its missing parents with mode 0700.

    Raises:
        OSError: It cannot be made.
    """
    # `parents=True` would give the parents the mode that the umask leaves.
    missing = [path] if not path.is_dir() else []
    missing += [parent for parent in path.parents if missing and not parent.is_dir()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder of mode 0700, removed when it is closed or when the process ends.

    Raises:
        SecurepipError: It cannot be made.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="securepip-")
    except OSError as error:
        raise no_temporary_folder(str(error.strerror)) from None


def replace_file(path: Path, *data: bytes | mmap, mode: int = 0o600, durable: bool = True) -> None:
    """Replace a file in one step: readers see the old contents or the new, never a part.

    Args:
        path: The file; its folder must exist.
        data: The new contents, in pieces.
        mode: The new file's mode.
        durable: Whether the contents must survive a power cut after this returns. It takes five
            times as long, so cache files that are checked against a digest or a mark do without.

    Raises:
        OSError: It cannot be written. The old file stays.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".securepip-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.writelines(data)
            stream.flush()
            if durable:
                # Without it a power cut could leave the new name with empty contents.
                os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_private(path: Path, data: bytes) -> None:
    """As ``replace_file``, but make the folder too, and raise an error that names the path.

    Raises:
        SecurepipError: It cannot be written. The old file stays.
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
    """As ``check_private``, for a file whose status is known already.

    Raises:
        SecurepipError: It belongs to somebody else, or others may write to it.
    """
    # Files of root are accepted: root can change everything anyway, and owns the state in images.
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
