"""A disk that fails."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from securepip.signing.repository.storage import local


def fail_to_read(patch: pytest.MonkeyPatch, fails: Callable[[Path], bool], error: OSError) -> None:
    """Let each read of a file fail with ``error`` if ``fails`` is true of its path."""
    read, begin = Path.read_bytes, builtins.open

    def failing(path: Path) -> bytes:
        if fails(path):
            raise error
        return read(path)

    def failing_open(path: Any, *arguments: Any) -> Any:
        if fails(Path(path)):
            raise error
        return begin(path, *arguments)

    patch.setattr(Path, "read_bytes", failing)
    patch.setattr(local, "open", failing_open, raising=False)
