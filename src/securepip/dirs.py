"""Where state and cache live on this machine.

The rule (DESIGN §2): what protects against rollback, and keys, are *data*; what can be fetched
again is *cache*. Both folders are the user's alone.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_NAME = "securepip"


def data_dir() -> Path:
    """The folder of state and keys, created with mode 0700 (``SECUREPIP_DATA_DIR`` overrides)."""
    return _private(os.environ.get("SECUREPIP_DATA_DIR") or platformdirs.user_data_dir(_NAME))


def cache_dir(chosen: str | None = None) -> Path:
    """The folder of what can be fetched again.

    Args:
        chosen: What the user says it is, else ``SECUREPIP_CACHE_DIR`` or the system decides.
    """
    folder = chosen or os.environ.get("SECUREPIP_CACHE_DIR")
    return _private(folder or platformdirs.user_cache_dir(_NAME))


def _private(folder: str) -> Path:
    path = Path(folder).expanduser().absolute()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
