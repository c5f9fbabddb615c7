"""Fixtures of the claims' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel


@pytest.fixture
def made(tmp_path: Path) -> MadeRepository:
    """A small repository: ``app`` 1.0 and 2.0, ``lib`` 1.0."""
    built = tmp_path / "built"
    return make_repository(
        tmp_path / "repository",
        make_wheel(built, "app", "1.0"),
        make_wheel(built, "app", "2.0"),
        make_wheel(built, "lib", "1.0"),
        expected_files=1,
    )


@pytest.fixture
def alice() -> Maintainers:
    """One maintainer."""
    return Maintainers.of(1)


@pytest.fixture
def claimed(made: MadeRepository, alice: Maintainers) -> MadeRepository:
    """The same repository, in which Alice has claimed ``app``."""
    claim(made, "app", alice)
    return made
