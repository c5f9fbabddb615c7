"""Where state and cache live on this machine.

The rule: what protects against rollback, and keys, are *data*; what can be fetched
again is *cache*. Both folders are the user's alone: whoever else could write there could add a
root of trust, or a wheel to those that were built here.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from securepip.errors import SecurepipError

_NAME = "securepip"


def data_dir() -> Path:
    """The folder of state and keys, created with mode 0700 (``SECUREPIP_DATA_DIR`` overrides).

    Raises:
        SecurepipError: It belongs to somebody else, or others may write to it.
    """
    return _private(os.environ.get("SECUREPIP_DATA_DIR") or platformdirs.user_data_dir(_NAME))


def cache_dir(chosen: str | None = None) -> Path:
    """The folder of what can be fetched again.

    Args:
        chosen: What the user says it is, else ``SECUREPIP_CACHE_DIR`` or the system decides.

    Raises:
        SecurepipError: It belongs to somebody else, or others may write to it.
    """
    folder = chosen or os.environ.get("SECUREPIP_CACHE_DIR")
    return _private(folder or platformdirs.user_cache_dir(_NAME))


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


def _private(folder: str) -> Path:
    path = Path(folder).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise SecurepipError(f"the folder {path} cannot be used: {error.strerror}") from None
    if os.name == "posix" and (
        status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise SecurepipError(
            f"the folder {path} is not yours alone: it belongs to user {status.st_uid}, mode "
            f"{stat.filemode(status.st_mode)}",
            meaning="Whoever can write there could decide what you install.",
            remedy=f"Take away the others' permission (chmod go-w {path}), or use another folder. "
            "With sudo, use sudo -H.",
        )
    return path
