"""Power failures: all files that a timestamp leads to are on disk before the timestamp."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError
from securepip.formats.digests import sha256_of
from securepip.formats.page import PageFile, ProjectPage
from securepip.signing.repository import bins
from securepip.signing.repository.state.sqlite import SqliteConnection
from securepip.signing.repository.storage import files
from securepip.signing.repository.storage.interface import OvertakenError
from securepip.signing.repository.storage.local import LocalStorage
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel


@pytest.fixture
def many(tmp_path: Path) -> MadeRepository:
    return make_repository(tmp_path / "own", expected_files=300)


def _page(number: int) -> ProjectPage:
    file = PageFile(f"p{number}-1.0.tar.gz", "https://e.org/x", f"{number:064x}", 1)  # type: ignore[arg-type] # a digest
    return ProjectPage(NormalizedName(f"p{number}"), (file,))


class Disk:
    """The files that were flushed before a timestamp became current."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.commits = folder, 0
        self.old = self._files()
        self.waited: set[Path] = set()
        self.statements: list[str] = []
        wait, replace = files._fsync, LocalStorage.replace

        def seen(path: str) -> None:
            self.waited.add(Path(path))
            wait(path)

        def at_commit(storage: LocalStorage, name: str, data: bytes, before: bytes | None) -> None:
            new = self._files() - self.old
            assert new
            assert {path for path in new if path not in self.waited} == set()
            assert {path.parent for path in new} <= self.waited
            remembered = [each.split()[0] for each in self.statements if "NORMAL" not in each]
            # The flush of the last transaction includes the earlier ones.
            assert remembered[-4:] == ["PRAGMA", "BEGIN", "INSERT", "COMMIT"]
            self.commits += 1
            replace(storage, name, data, before)

        patch.setattr(files, "_fsync", seen)
        patch.setattr(files, "flush", lambda: self.waited.update(self._files(), self._folders()))
        patch.setattr(LocalStorage, "replace", at_commit)

    def _files(self) -> set[Path]:
        return {path for path in self._below() if path.is_file()}

    def _folders(self) -> set[Path]:
        return {path for path in self._below() if path.is_dir()}

    def _below(self) -> list[Path]:
        tops = ("metadata", "simple", "packages")
        return [
            path for top in tops for path in (self.folder / top, *(self.folder / top).rglob("*"))
        ]


@pytest.mark.parametrize("worth", [1, 1 << 30], ids=["in processes", "in this process"])
def test_all_that_a_timestamp_relies_on_is_on_the_disk_before_it(
    many: MadeRepository, monkeypatch: pytest.MonkeyPatch, worth: int
) -> None:
    monkeypatch.setattr(bins, "WORTH_PROCESSES", worth)
    repository = many.repository
    disk = Disk(many.folder, monkeypatch)
    connection = repository.ledger.connection
    assert isinstance(connection, SqliteConnection)
    connection.set_trace_callback(disk.statements.append)
    repository.publish({NormalizedName("p1"): _page(1)})
    with repository.lock():
        repository.sign({}, bins=[(name, b"") for name in repository.roles().bin_names()])
    assert disk.commits == 2
    assert any("INSERT INTO signed" in each for each in disk.statements)


def test_a_page_that_cannot_be_written_in_its_thread_leaves_everything_as_it_was(
    many: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (many.folder / "metadata" / "timestamp.json").read_bytes()

    write = LocalStorage.write

    def full(storage: LocalStorage, name: str, data: bytes, *, durable: bool = False) -> None:
        if name.startswith("simple/"):
            raise OSError(28, "No space left on device")
        write(storage, name, data, durable=durable)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(LocalStorage, "write", full)
        with (
            pytest.raises(RepositoryStateError, match="No space left on device"),
            many.repository.lock(),
        ):
            batch = many.repository.batch()
            batch.stage({NormalizedName("p1"): _page(1)})
            many.repository.commit(batch)
    assert (many.folder / "metadata" / "timestamp.json").read_bytes() == before
    many.repository.publish({NormalizedName("p1"): _page(1)})
    assert many.repository.page(NormalizedName("p1")) == _page(1)


def test_a_file_that_cannot_be_written_binds_its_name_to_no_bytes(
    many: MadeRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise a new build of the file could never be published."""

    def full(storage: LocalStorage, source: Path, name: str, sha256: str) -> None:
        time.sleep(0.2)
        raise OSError(28, "No space left on device")

    code = {"app/__init__.py": "VERSION = 'another build'\n"}
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(LocalStorage, "copy", full)
        with pytest.raises(RepositoryStateError, match="No space left on device"):
            many.add(make_wheel(tmp_path, "app", "1.0"))
    assert many.repository.ledger.known(NormalizedName("app")) == {}
    many.add(make_wheel(tmp_path / "again", "app", "1.0", files=code))


def test_nothing_is_written_any_more_when_the_lock_is_given_back(
    many: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has the lock then: a late write would replace newer files."""
    asked, ended = threading.Event(), threading.Event()
    write = LocalStorage.write

    def slow(storage: LocalStorage, name: str, data: bytes, *, durable: bool = False) -> None:
        if name.startswith("simple/"):
            asked.set()
            time.sleep(0.3)
        write(storage, name, data, durable=durable)
        ended.set()

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(LocalStorage, "write", slow)
        with pytest.raises(KeyboardInterrupt), many.repository.lock():
            many.repository.batch().stage({NormalizedName("p1"): _page(1)})
            assert asked.wait(60)
            raise KeyboardInterrupt
        assert ended.is_set()


def test_what_a_killed_run_has_linked_is_waited_for_too(
    many: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run sees the name, but perhaps it is not on disk yet."""
    storage = many.repository.storage
    storage.write("simple/a", b"a")
    digest = sha256_of(b"a")
    storage.link("simple/a", "simple/b", digest)
    storage.flush()
    waited: set[str] = set()
    monkeypatch.setattr(files, "_fsync", waited.add)
    storage.link("simple/a", "simple/b", digest)
    storage.flush()
    assert {many.folder / "simple/b", many.folder / "simple"} <= set(map(Path, waited))
    assert (many.folder / "simple/b").samefile(many.folder / "simple/a")


def test_a_timestamp_that_another_process_has_signed_meanwhile_is_not_written_over(
    many: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock has no effect on some network file systems, or in another storage."""
    timestamp = many.folder / "metadata" / "timestamp.json"
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(LocalStorage, "flush", lambda storage: timestamp.write_bytes(b"theirs"))
        with pytest.raises(OvertakenError, match="replaced by another process"):
            many.repository.publish({NormalizedName("p1"): _page(1)})
    assert timestamp.read_bytes() == b"theirs"


@pytest.mark.parametrize(("there", "before"), [(b"a", None), (b"a", b"b"), (None, b"a")])
def test_a_name_is_replaced_only_over_the_bytes_that_were_seen(
    tmp_path: Path, there: bytes | None, before: bytes | None
) -> None:
    storage = LocalStorage(tmp_path, tmp_path / "unfinished")
    if there is not None:
        storage.replace("name", there, None)
    with pytest.raises(OvertakenError):
        storage.replace("name", b"c", before)
    assert storage.exists("name") == (there is not None)
    if there is not None:
        assert storage.read("name") == there
        storage.replace("name", b"c", there)
        assert storage.read("name") == b"c"
