"""The state of a repository moves into a database and back, with unfinished work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from securepip.cli import main
from securepip.engine.database import PostgresConnection
from securepip.engine.opened import DATABASE_VARIABLE, memory_of, site_of
from securepip.engine.publication import Publication
from securepip.engine.queue import Queue
from securepip.errors import RepositoryStateError
from securepip.signing.offline import rotate as rotation
from securepip.signing.offline.rotate import NewKeys, Rotated, rotate
from securepip.signing.publish.add import read_distribution
from securepip.signing.publish.status import unfinished_of
from securepip.signing.repository.register import PENDING_DIR, Register
from securepip.signing.repository.repository import Repository
from securepip.signing.uploads.publisher import Upload
from securepip.signing.uploads.refusal import UploadRefusedError
from tests.engine.made import Made
from tests.support.repositories import make_repository
from tests.support.wheels import make_wheel

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def repo(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``securepip repo …`` in this process: its exit code, and its output in one line."""

    def run(*words: str | Path) -> tuple[int, str]:
        code = main(["repo", *map(str, words)])
        captured = capsys.readouterr()
        return code, " ".join((captured.out + captured.err).split())

    return run


def test_a_folder_gives_its_memory_to_a_database_and_takes_it_back(
    url: str, tmp_path: Path, repo: Run
) -> None:
    made = make_repository(
        tmp_path / "own", make_wheel(tmp_path / "built", "app", "1.0"), expected_files=1
    )
    made.repository.state.tokens.create(None)
    keys = ("--keys", made.online_keys)
    transaction = tmp_path / "app.zip"
    transaction.write_bytes(b"signed by its maintainers")
    with made.repository.lock():
        Register(made.repository).keep_pending(NormalizedName("app"), transaction)
    made.repository.state.close()
    wheels = [make_wheel(tmp_path / "built", "app", f"{number}.0") for number in range(2, 5)]
    other = make_wheel(tmp_path / "other", "app", "2.0", files={"app/evil.py": ""})

    code, said = repo("move", made.folder, made.folder, "--to-database", url)
    assert code == 0, said
    by_database = ("--database", url)
    for _ in range(2):  # the same command again changes nothing
        code, said = repo("add", made.folder, wheels[0], *keys)
        assert code == 1
        assert "was moved to what is remembered in postgresql://127.0.0.1" in said
        assert repo("move", made.folder, made.folder, "--to-database", url)[0] == 0
    assert repo("add", made.folder, wheels[0], *keys, *by_database)[0] == 0
    assert repo("token", "list", made.folder, *by_database)[1].count("every project") == 1
    check_pending(str(made.folder), url, transaction.read_bytes())

    # An upload that waits is in the database alone.
    def opener() -> Repository:
        return Repository.open(site_of(str(made.folder), url), keys=[made.online_keys])

    queue = Queue(opener, url, wait=0)
    with opener() as repository:
        name, _ = repository.state.tokens.create(None)
    queue.publish(Upload(read_distribution(wheels[1], None), name.id))
    back = ("move", made.folder, made.folder, *by_database, "--to-folder")
    code, said = repo(*back)
    assert code == 1
    assert "uploads wait in the database" in said
    publication = Publication(opener, lambda line: None)
    assert publication.publish() == 1
    publication.close()

    code, said = repo(*back)
    assert code == 0, said
    # Nothing is kept that nobody would publish.
    with pytest.raises(UploadRefusedError, match="cannot be changed now"):
        queue.publish(Upload(read_distribution(wheels[2], None), name.id))
    queue.close()
    code, said = repo("add", made.folder, wheels[2], *keys, *by_database)
    assert code == 1
    assert f"was moved to what is remembered in {made.folder}" in said
    assert repo("add", made.folder, wheels[2], *keys)[0] == 0
    code, said = repo("add", made.folder, other, *keys)
    assert code == 1
    assert "2.0" in said
    assert repo("token", "list", made.folder)[1].count("every project") == 2
    check_pending(str(made.folder), None, transaction.read_bytes())
    assert repo("audit", made.folder)[0] == 0
    assert repo("audit", made.folder, "--rebuild")[0] == 0
    with Repository.open(made.folder) as repository:
        page = repository.page(NormalizedName("app"))
        assert page is not None
        assert len(page.files) == 4


def test_what_is_remembered_outlives_a_move_that_fails_while_it_is_carried(
    url: str, tmp_path: Path, repo: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_repository(
        tmp_path / "own", make_wheel(tmp_path / "built", "app", "1.0"), expected_files=1
    )
    made.repository.state.tokens.create(None)
    transaction = tmp_path / "app.zip"
    transaction.write_bytes(b"signed by its maintainers")
    with made.repository.lock():
        Register(made.repository).keep_pending(NormalizedName("app"), transaction)
    made.repository.state.close()

    def full(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    insert = PostgresConnection.executemany

    def broken(self: PostgresConnection, sql: str, rows: Iterable[Sequence[Any]], /) -> None:
        insert(self, sql, rows)
        if "under_way" in sql:
            full()

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        patched.setattr(PostgresConnection, "executemany", broken)
        code, said = repo("move", made.folder, made.folder, "--to-database", url)
    assert code == 1
    assert "No space left on device" in said
    check_pending(str(made.folder), None, transaction.read_bytes())
    assert repo("token", "list", made.folder)[1].count("every project") == 1
    monkeypatch.setenv(DATABASE_VARIABLE, url)
    assert memory_of(str(made.folder), None) == ""
    code, said = repo("move", made.folder, made.folder, "--to-database", url)
    assert code == 0, said
    check_pending(str(made.folder), url, transaction.read_bytes())
    assert memory_of(str(made.folder), None) == url


def check_pending(address: str, url: str | None, data: bytes) -> None:
    with Repository.open(site_of(address, url or "")) as repository:
        register = Register(repository)
        assert register.all_pending() == ["app"]
        path = register.pending(NormalizedName("app"))
        assert path is not None
        assert path.read_bytes() == data


def rotated(made: Made) -> Rotated:
    with Repository.open(
        site_of(made.address, made.url), keys=[made.online_keys, made.offline_keys]
    ) as repository:
        return rotate(repository, "root", NewKeys(made.offline_keys))


def test_what_one_machine_has_begun_another_ends(
    made_in_a_bucket: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machines share a bucket and a database, and the offline keys are carried to either."""
    made, transaction = made_in_a_bucket, tmp_path / "app.zip"
    transaction.write_bytes(b"signed by its maintainers")

    def killed(*of: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as first:
        first.setattr(rotation, "apply", killed)
        with pytest.raises(KeyboardInterrupt):
            rotated(made)
        with made.open() as repository, repository.lock():
            Register(repository).keep_pending(NormalizedName("app"), transaction)
            Register(repository).keep_pending(NormalizedName("lib"), transaction)
    with monkeypatch.context() as second:
        second.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "another machine"))
        check_other(made, transaction.read_bytes())
        done = rotated(made)
        assert done.resumed
        assert len(done.came) == 3
    with made.open() as repository:
        assert unfinished_of(repository) == []
        assert Register(repository).all_pending() == ["lib"]
        assert repository.roles().root.signed.version == 2
    assert not rotated(made).resumed, "what the first has left of it counts no more"


def check_other(made: Made, data: bytes) -> None:
    with made.open() as repository:
        assert unfinished_of(repository) == ["rotate"]
        with repository.lock():
            register = Register(repository)
            assert register.all_pending() == ["app", "lib"]
            path = register.pending(NormalizedName("app"))
            assert path is not None
            assert path.read_bytes() == data
            register.forget_pending(NormalizedName("app"))


@pytest.mark.parametrize("name", ["../x", "/x", "a/../x", "a/b/x", ".x", "x\n"])
def test_who_writes_to_the_database_reaches_no_file_of_a_machine(made: Made, name: str) -> None:
    connection = made.repository.ledger.connection
    connection.execute("INSERT INTO under_way VALUES (?, ?, ?)", (PENDING_DIR, name, b"evil"))
    with pytest.raises(RepositoryStateError, match="somebody else wrote it there"):
        made.repository.state.under_way.folder(PENDING_DIR)
    with pytest.raises(RepositoryStateError, match="somebody else wrote it there"):
        made.repository.state.under_way.file(PENDING_DIR, name)
