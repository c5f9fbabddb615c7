"""Objects that are longer than one part: sent and read by parts, and held to their digest."""

from __future__ import annotations

import io
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore

from securepip.engine import storage
from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of

DATA = bytes(range(256)) * 9
NAME = "packages/app/app-1.0.tar.gz"
OTHER = Sha256("0" * 64)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """A store in memory, with parts of a few bytes."""
    monkeypatch.setattr(storage, "PART", 1000)
    return MemoryStore()


@pytest.fixture
def bucket(store: MemoryStore) -> storage.ObjectStorage:
    """A bucket in it."""
    return storage.ObjectStorage(store, "memory")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A long file."""
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("length", [len(DATA), 1000, 1001, 2000, 10])
def test_a_file_is_there_as_it_was_if_it_has_its_digest(
    length: int, bucket: storage.ObjectStorage, source: Path, tmp_path: Path
) -> None:
    data = DATA[:length]
    source.write_bytes(data)
    with pytest.raises(RepositoryStateError, match="changed while it was read"):
        bucket.copy(source, NAME, OTHER)
    bucket.settle()
    assert not bucket.exists(NAME)
    bucket.copy(source, NAME, sha256_of(data))
    assert bucket.holds(NAME, sha256_of(data))
    assert not bucket.holds(NAME, OTHER)
    assert bucket.read(NAME) == data
    with pytest.raises(RepositoryStateError, match="is not the file that was stored there"):
        bucket.fetch(NAME, tmp_path / "fetched", OTHER)
    assert not (tmp_path / "fetched").exists()
    bucket.fetch(NAME, tmp_path / "fetched", sha256_of(data))
    assert (tmp_path / "fetched").read_bytes() == data


def test_any_place_in_it_is_read(bucket: storage.ObjectStorage, source: Path) -> None:
    bucket.copy(source, NAME, sha256_of(DATA))
    stream, plain = bucket.open(NAME).stream, io.BytesIO(DATA)
    for offset, whence, length in ((-22, 2, 30), (990, 0, 20), (5, 1, 1500), (0, 2, 1), (3, 0, 0)):
        assert stream.seek(offset, whence) == plain.seek(offset, whence)
        assert stream.read(length) == plain.read(length)
        assert stream.tell() == plain.tell()
    with pytest.raises(OSError, match="before the start"):
        stream.seek(-len(DATA) - 1, io.SEEK_END)


def test_one_that_becomes_shorter_while_it_is_read_is_not_taken_for_the_whole(
    store: MemoryStore, bucket: storage.ObjectStorage, source: Path
) -> None:
    bucket.copy(source, NAME, sha256_of(DATA))
    with bucket.open(NAME).stream as stream:
        assert stream.read(1000) == DATA[:1000]
        obstore.put(store, NAME, DATA[:1000])
        with pytest.raises(OSError, match=r"cannot be used|less than"):
            stream.read()
