"""Who calls, and what is said to them: errors of pip's own."""

from __future__ import annotations

import sys
from types import FrameType

KNOWN = "Versions 23.0 to 26.3 of pip are known to work."
"""What is said of a pip that is made in another way."""
GATEWAY = "SECUREPIP_PLUGIN_GATEWAY"
"""The variable that names a file, which says where the gateway is."""
MAX_REASON = 64 << 10
"""Bytes of a reason that a gateway gives."""


def is_called_by(*modules: str) -> bool:
    """Whether a module, or one below it, is among those that called."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(modules):
            return True
        frame = frame.f_back
    return False


def refusal(what: str, remedy: str) -> Exception:
    """An error of pip's own: it prints it without a traceback, and nothing in it catches it."""
    from pip._internal.exceptions import InstallationError

    error: Exception = InstallationError("\n".join(filter(None, [what, remedy])))
    return error
