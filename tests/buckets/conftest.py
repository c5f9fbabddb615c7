"""An object store, which is empty at the start of each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("obstore", reason="the extra `engine` is not installed")

from securepip.engine import bucket
from tests.buckets.indexes import BucketIndex
from tests.support.machine import Machine
from tests.support.store import BUCKET, Store, store_behind


@pytest.fixture
def store(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An S3 server with an empty bucket; clients repeat no request."""
    monkeypatch.setitem(bucket._RETRY, "max_retries", 0)
    with store_behind(moto) as store:
        yield store


@pytest.fixture
def operator(machine: Machine, store: Store) -> Machine:
    """A machine that has the credentials of the bucket."""
    machine.variables.update(store.environment)
    return machine


@pytest.fixture
def index(operator: Machine, store: Store) -> BucketIndex:
    """An empty repository in the bucket."""
    address = f"s3://{BUCKET}/index"
    done = operator.run("repo", "init", address, "--expected-files", "1")
    assert done.code == 0, done.err
    root_sha256 = done.out.split("root sha256:")[1].split()[0]
    # Clients trust the URL of a repository, not the address of its bucket.
    assert f"  securepip trust add NAME URL --root-sha256 {root_sha256}\nURL is where" in done.out
    store.seen.clear()
    return BucketIndex(operator, store, address, root_sha256)
