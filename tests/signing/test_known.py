"""The rows of the current targets are correct, even after a kill or a change of the files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from securepip.signing.publish.add import add
from securepip.signing.publish.status import status
from securepip.signing.repository.pages import plain
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import Roles
from tests.signing.clients import fetch_everything
from tests.signing.killing import kill_points, run_until
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

ONE = NormalizedName("one")


@pytest.fixture
def made(tmp_path: Path) -> MadeRepository:
    return make_repository(
        tmp_path / "own",
        make_wheel(tmp_path, "one", "1.0"),
        make_wheel(tmp_path, "two", "1.0"),
        expected_files=1,
    )


def _counts(repository: Repository) -> tuple[int, int]:
    shown = repository.known().counts()
    assert (shown.projects, shown.files) == (status(repository).projects, status(repository).files)
    return shown.projects, shown.files


def test_a_repository_of_an_earlier_version_is_read_once_by_itself(made: MadeRepository) -> None:
    made.repository.ledger.connection.executescript(
        "DROP TABLE known_role; DROP TABLE known_page; DROP TABLE known_state;"
        "DROP TABLE upstream; DROP TABLE walk; DROP TABLE walk_project; DROP TABLE walk_want;"
        "PRAGMA user_version = 0;"
    )
    made.repository.ledger.close()
    with Repository.open(made.folder) as repository:
        assert _counts(repository) == (2, 2)
        page = repository.page(ONE)
        assert page is not None and len(page.files) == 1
        assert repository.rebuild_known() == []


def test_a_status_reads_no_bin(made: MadeRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    made.repository.known()
    read: list[str] = []
    load = Roles.read_once

    def seen(self: Roles, name: str) -> object:
        read.append(name)
        return load(self, name)

    monkeypatch.setattr(Roles, "read_once", seen)
    with Repository.open(made.folder) as repository:
        assert _counts(repository) == (2, 2)
    assert not [name for name in read if name.startswith("bin-")]


def test_rows_that_are_not_true_are_found_and_put_right(made: MadeRepository) -> None:
    name = made.repository.roles().bin_of("simple/one/index.json")
    with made.repository.ledger.connection as connection:
        connection.execute("UPDATE known_page SET sha256 = ? WHERE project = 'one'", ("0" * 64,))
    assert made.repository.rebuild_known() == [name]
    assert made.repository.rebuild_known() == []
    assert made.repository.page(ONE) is not None


def test_a_run_that_is_killed_anywhere_leaves_rows_that_become_true_by_themselves(
    made: MadeRepository, tmp_path: Path
) -> None:
    made.repository.ledger.close()
    wheel = make_wheel(tmp_path, "three", "1.0")

    def work(folder: Path) -> None:
        with Repository.open(folder) as repository:
            add(repository, [wheel])

    first = tmp_path / "first"
    shutil.copytree(made.folder, first)
    for step in kill_points(lambda: work(first), most=12):
        folder = tmp_path / f"killed-{step}"
        shutil.copytree(made.folder, folder)
        run_until(step, lambda folder=folder: work(folder))  # type: ignore[misc] # bound
        signed = fetch_everything(folder, tmp_path / f"client-{step}")
        with Repository.open(folder) as repository:
            assert _counts(repository)[1] == sum(name.endswith(".whl") for name in signed)
            assert repository.rebuild_known() == []


def test_a_long_list_of_projects_is_not_written_with_each_publication(
    made: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "SHORT_LIST", 0)
    shown = made.folder / "simple" / "index.json"
    add(made.repository, [make_wheel(tmp_path, "three", "1.0")])
    assert b'"three"' not in shown.read_bytes()
    monkeypatch.setattr(plain, "LIST_SECONDS", 0.0)
    add(made.repository, [make_wheel(tmp_path, "one", "2.0")])
    assert b'"three"' in shown.read_bytes()
    before = shown.stat().st_mtime_ns
    add(made.repository, [make_wheel(tmp_path, "one", "3.0")])
    assert shown.stat().st_mtime_ns == before


def test_what_another_process_has_signed_is_seen_by_who_does_not_have_the_lock(
    made: MadeRepository, tmp_path: Path
) -> None:
    app = NormalizedName("app")
    with Repository.open(made.folder) as looking:
        before, page = looking.roles().snapshot.signed.version, looking.page(app)
        made.add(make_wheel(tmp_path, "app", "9.0"))
        assert looking.roles().snapshot.signed.version == before + 1
        assert looking.page(app) != page
