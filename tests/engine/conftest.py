"""A real PostgreSQL for the whole run; each test has a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("procrastinate", reason="the extra `engine` is not installed")

from securepip.engine.state import DatabaseSite
from securepip.signing.publish.create import create
from securepip.signing.repository.site import FolderSite
from tests.engine.made import Made
from tests.support.postgres import Postgres, postgres


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """The database server; where none can be started, tests are skipped with the reason."""
    with postgres() as running:
        yield running


@pytest.fixture
def url(server: Postgres) -> str:
    """The address of an empty database."""
    return server.database()


@pytest.fixture
def made(tmp_path: Path, url: str) -> Iterator[Made]:
    """An empty repository that serves from a folder and remembers in a database."""
    site = DatabaseSite(FolderSite(tmp_path / "repository"), url)
    keys = tmp_path / "keys"
    created = create(
        site, expected_files=10, online_keys=keys / "online", offline_keys=keys / "offline"
    )
    with created.repository as repository:
        yield Made(tmp_path / "repository", url, repository, keys / "online", created.root_sha256)
