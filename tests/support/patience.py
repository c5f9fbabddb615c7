"""How long is waited for answers here: a moment for those of a slow server, long for all others.

A busy machine is no slow server: no test gives all answers less time than it waits for a hang.
"""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from securepip.transport import Transport


def impatient(monkeypatch: pytest.MonkeyPatch, pattern: str, seconds: float) -> None:
    """Give each answer whose whole URL matches so many seconds, and others what they have."""
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
