"""Looks at the callers inside pip, and makes errors that pip prints."""

from __future__ import annotations

import sys
from types import FrameType

KNOWN = "Versions 23.0 to 26.3 of pip are known to work."
"""The words for a pip whose internals are different."""
GATEWAY = "SECUREPIP_PLUGIN_GATEWAY"
"""The variable that names the file with the gateway's address."""
MAX_REASON = 64 << 10
"""The most bytes that are read of the gateway's reason for a refusal."""


def is_called_by(*modules: str) -> bool:
    """Whether one of these modules, or a module below one, is on the call stack."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(modules):
            return True
        frame = frame.f_back
    return False


def refusal(what: str, remedy: str) -> Exception:
    """Make an error of pip's own class, which pip prints without a traceback and does not catch."""
    from pip._internal.exceptions import InstallationError

    error: Exception = InstallationError("\n".join(filter(None, [what, remedy])))
    return error
