"""Shortens the time limit of some answers: those of a server that a test makes slow.

All other answers keep their limit, because on a busy machine they can be slow as well.
"""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from securepip.transport import Transport


def impatient(monkeypatch: pytest.MonkeyPatch, pattern: str, seconds: float) -> None:
    """Give up each answer whose whole URL matches after so many seconds."""
    opened = Transport._open

    def soon_over(
        self: Transport,
        url: str,
        size: int,
        headers: Any,
        accept: Any,
        deadline: float,
        **more: Any,
    ) -> Any:
        if re.fullmatch(pattern, url):
            deadline = min(deadline, time.monotonic() + seconds)
        return opened(self, url, size, headers, accept, deadline, **more)

    monkeypatch.setattr(Transport, "_open", soon_over)
