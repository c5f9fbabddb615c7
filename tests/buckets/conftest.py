"""An object store for these tests: one server a session, emptied for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.machine import Machine
from tests.support.store import BUCKET, Store, moto_server, store_behind


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The URL of moto's server."""
    with moto_server() as url:
        yield url


@pytest.fixture
def store(moto: str) -> Iterator[Store]:
    """An S3 with one empty bucket."""
    pytest.importorskip("obstore")
    with store_behind(moto) as store:
        yield store


@pytest.fixture
def operator(machine: Machine, store: Store) -> Machine:
    """A machine that has the credentials of the bucket."""
    machine.variables.update(store.environment)
    return machine


@pytest.fixture
def address() -> str:
    """Where these tests keep their repository."""
    return f"s3://{BUCKET}/index"
