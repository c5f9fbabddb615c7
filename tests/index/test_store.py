"""The store keeps only whole files, and does without if the disk is full."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from securepip.errors import (
    SecurepipError,
)
from securepip.formats.digests import sha256_of
from securepip.index import Store
from securepip.index.store import Incoming

# ---------------------------------------------------------------------- the store


def test_the_store_has_only_what_is_whole_and_drops_the_rest(tmp_path: Path) -> None:
    store, data = Store(tmp_path), b"whole"
    name = sha256_of(data)
    assert not store.holds(name, 5)
    assert store.read(name, 5) is None
    for damage, size in ((b"whole!", 5), (b"hole!", 5), (data, 4)):
        store.add(name, data)
        assert store.holds(name, 5)
        assert store.path(name) == tmp_path / "sha256" / name[:2] / name
        store.path(name).write_bytes(damage)
        assert not store.holds(name, size)
        assert not store.has(name)
    store.add(name, data)
    assert store.read(name, 5) == data
    store.path(name).write_bytes(b"other")
    assert store.read(name, 5) is None
    assert not store.has(name)
    store.add(name, data)
    assert store.read(name, 4) is None
    store.receive(lambda incoming: None)
    assert list((tmp_path / "incoming").iterdir()) == []


def test_the_store_sweeps_out_what_a_killed_run_left_a_day_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path)
    now = 1_800_000_000
    monkeypatch.setattr("securepip.index.store.time.time", lambda: float(now))
    for age in (0, 86_400, 86_401):
        left = tmp_path / "incoming" / str(age)
        left.touch()
        os.utime(left, (now - age, now - age))
    Store(tmp_path)
    assert {path.name for path in (tmp_path / "incoming").iterdir()} == {"0", "86400"}


@pytest.mark.parametrize("broken", ["incoming", "sha256"])
def test_a_store_without_room_goes_on_in_a_temporary_folder_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    caplog.set_level(logging.WARNING)
    store = Store(tmp_path)
    store.add(sha256_of(b"before"), b"before")
    assert not caplog.records
    shutil.move(tmp_path / broken, tmp_path / "away")
    (tmp_path / broken).touch()
    for data in (b"one", b"two"):
        store.add(sha256_of(data), data)
        assert store.read(sha256_of(data), 3) == data
        assert not store.path(sha256_of(data)).is_relative_to(tmp_path / "sha256")
    assert [record.message.count("has been disabled") for record in caplog.records] == [1]
    (tmp_path / broken).unlink()
    shutil.move(tmp_path / "away", tmp_path / broken)
    assert store.read(sha256_of(b"before"), 6) == b"before"

    temporary = store.path(sha256_of(b"one")).parents[2]
    shutil.rmtree(temporary)
    temporary.touch()
    with pytest.raises(SecurepipError, match="temporary"):
        store.add(sha256_of(b"three"), b"three")


def test_a_store_that_another_thread_has_moved_is_filled_where_it_is_now(tmp_path: Path) -> None:
    store = Store(tmp_path)
    filled: list[int] = []

    def fill(incoming: Incoming) -> None:
        filled.append(1)
        if len(filled) == 1:
            store._move_to_temporary("it is full")
            raise OSError("no space left")
        incoming.stream.write(b"here")
        incoming.keep(sha256_of(b"here"))

    store.receive(fill)
    assert store.read(sha256_of(b"here"), 4) == b"here"
    assert len(store._places) == 2


def test_a_store_that_cannot_be_made_is_temporary_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Store(tmp_path / "file")
    store.add(sha256_of(b"here"), b"here")
    assert store.read(sha256_of(b"here"), 4) == b"here"
