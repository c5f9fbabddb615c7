"""A lock of ``app`` and ``lib`` of the shared repository, made by ``securepip lock``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.machine import Machine


@pytest.fixture
def locked(client: Machine, tmp_path: Path) -> Path:
    """The lock file; ``client`` trusts the repository."""
    place = tmp_path / "pylock.toml"
    done = client.run("lock", "--python", client.environment, "app", "-o", place)
    assert done.code == 0, done.err
    return place
