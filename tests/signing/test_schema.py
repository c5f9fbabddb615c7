"""The tables of the ledger: those of an earlier securepip continue to work."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256
from securepip.signing.overlay.memory import Memory, Upstream
from securepip.signing.repository.state.ledger import Ledger
from securepip.signing.repository.state.schema import STEPS
from securepip.signing.repository.state.sqlite import open_sqlite
from securepip.signing.repository.state.tokens import Tokens

APP = NormalizedName("app")
FIRST = Path(__file__).with_name("first_ledger.sql")
"""What the first version wrote, before steps were counted. Never to be changed."""


@pytest.fixture
def first(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST.read_text())
    return path


def shape(path: Path) -> dict[str, set[tuple[str, str]]]:
    """The columns of each table, and their types as SQLite takes them."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            table: {
                (name, {"DOUBLE PRECISION": "REAL", "BIGINT": "INTEGER"}.get(kind, kind))
                for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")
            }
            for (table,) in tables.fetchall()
        }


def test_a_file_of_the_first_version_keeps_all_that_it_knew(first: Path) -> None:
    with closing(open_sqlite(first)) as connection:
        ledger = Ledger(connection)
        assert ledger.current() == (1, 2)
        assert list(ledger.known(APP)) == ["app-1.0-py3-none-any.whl"]
        assert ledger.withdrawn(NormalizedName("gone")).whole
        assert ledger.lookup.projects() == [APP]
        assert [token.note for token in Tokens(connection).all()] == ["the first"]
        assert Memory(connection).upstream() == Upstream(
            ("https://two.example.org/simple", "https://one.example.org/simple"), named=True
        )
        # It continues to work.
        ledger.record([(APP, "app-2.0-py3-none-any.whl", Sha256("2" * 64))])
        ledger.flush()
    with closing(open_sqlite(first)) as connection:
        assert len(Ledger(connection).known(APP)) == 2


def test_it_has_the_same_tables_then_as_a_new_one(first: Path, tmp_path: Path) -> None:
    for path in (first, tmp_path / "new"):
        open_sqlite(path).close()
    assert shape(first) == shape(tmp_path / "new")


def test_many_that_open_it_at_once_take_each_step_once(first: Path) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            open_sqlite(first).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_step_that_fails_leaves_the_file_as_it_was(
    first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shape(first)
    steps = (*STEPS, "CREATE TABLE more (x INTEGER); SELECT no_such_function()")
    monkeypatch.setattr("securepip.signing.repository.state.sqlite.STEPS", steps)
    with pytest.raises(RepositoryStateError, match="no_such_function"):
        open_sqlite(first)
    assert shape(first) == before


def test_a_file_that_a_newer_version_wrote_is_left_alone(first: Path) -> None:
    open_sqlite(first).close()
    with closing(sqlite3.connect(first)) as connection:
        connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(RepositoryStateError, match="a newer securepip"):
        open_sqlite(first)
