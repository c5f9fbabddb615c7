"""A PostgreSQL server for the whole run, with a database for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("procrastinate", reason="the extra `engine` is not installed")

from tests.engine.made import Made, make
from tests.support.postgres import Postgres, postgres
from tests.support.store import BUCKET, store_behind


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """The database server. If none can be started, the test is skipped with the reason."""
    with postgres() as running:
        yield running


@pytest.fixture
def url(server: Postgres) -> str:
    """The address of an empty database."""
    return server.database()


@pytest.fixture
def made(tmp_path: Path, url: str) -> Iterator[Made]:
    """An empty repository with its files in a folder and its state in a database."""
    folder = tmp_path / "repository"
    with make(str(folder), folder, url, tmp_path / "keys") as made:
        yield made


@pytest.fixture
def made_in_a_bucket(
    moto: str, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Made]:
    """An empty repository with its files in a bucket and its state in a database."""
    with store_behind(moto) as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        # Only clients use the proxy: for the machines it does nothing and takes time.
        monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
        address = f"s3://{BUCKET}/index"
        known, public = tmp_path / "known", store.public_url(address)
        with make(address, known, url, tmp_path / "keys", public) as made:
            yield made
