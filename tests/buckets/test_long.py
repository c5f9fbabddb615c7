"""Objects that are longer than a part: they are sent and read in parts, and have a digest."""

from __future__ import annotations

import io
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore

from securepip.engine import storage
from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.signing.repository.storage.parts import Parts

DATA = bytes(range(256)) * 180
NAME = "packages/app/app-1.0.tar.gz"
OTHER = Sha256("0" * 64)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """A store in memory, with parts of a few kilobytes."""
    monkeypatch.setattr(storage, "PART", 20_000)
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


@pytest.mark.parametrize("length", [len(DATA), 20_000, 20_001, 40_000, 10])
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
    for offset, whence, length in (
        (-22, 2, 30),
        (19_990, 0, 20),
        (5, 1, 25_000),
        (0, 2, 1),
        (3, 0, 0),
    ):
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
        assert stream.read(20_000) == DATA[:20_000]
        obstore.put(store, NAME, DATA[:20_000])
        with pytest.raises(OSError, match="cannot be used"):
            stream.read()


def test_each_part_is_asked_for_once(
    bucket: storage.ObjectStorage, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.copy(source, NAME, sha256_of(DATA))
    bucket.settle()
    asked: list[tuple[int, int]] = []
    get_range = obstore.get_range

    def counted(store: MemoryStore, name: str, *, start: int, length: int) -> obstore.Bytes:
        asked.append((start, length))
        return get_range(store, name, start=start, length=length)

    monkeypatch.setattr(obstore, "get_range", counted)
    parts = [(0, 20_000), (20_000, 20_000), (40_000, 6_080)]
    assert bucket.read(NAME) == DATA
    assert asked == parts
    bucket.fetch(NAME, tmp_path / "fetched")
    assert asked == parts * 2
    assert bucket.holds(NAME, sha256_of(DATA))
    assert asked == parts * 3


@pytest.mark.parametrize("sent", [b"", b"too much"])
@pytest.mark.parametrize("most", [3, -1])
def test_a_part_of_another_length_than_was_announced_is_not_read(sent: bytes, most: int) -> None:
    with pytest.raises(OSError, match="another length than it announced"):
        Parts(7, lambda at, length: sent).read(most)
