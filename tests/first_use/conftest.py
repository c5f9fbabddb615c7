"""An index without signatures, and a machine that trusts it on first use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.conftest import enabled_environment, pip_environment
from tests.support.indexes import Index, serve_index
from tests.support.machine import Machine
from tests.support.wheels import make_wheel

__all__ = ["enabled_environment", "pip_environment"]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """``app`` 1.0 and 2.0 (2.0 requires ``lib``), and ``lib`` 1.0."""
    with serve_index() as index:
        folder = tmp_path / "published"
        index.offer(
            make_wheel(folder, "app", "1.0"),
            make_wheel(folder, "app", "2.0", requires=["lib"]),
            make_wheel(folder, "lib", "1.0"),
        )
        yield index


@pytest.fixture
def protected(machine: Machine, index: Index) -> Machine:
    """A machine that trusts the index on first use."""
    done = machine.run("trust", "first-use", "--index-url", index.url)
    assert done.code == 0, done.err
    return machine


@pytest.fixture(autouse=True)
def always_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch pages again in each run, and not only after ten minutes."""
    monkeypatch.setattr("securepip.first_use.memory.FRESH_SECONDS", 0.0)
