"""Opens the memory of a repository in a SQLite file. A connection is for one thread."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from securepip.errors import RepositoryStateError
from securepip.signing.repository.state.schema import STEPS, Words, statements

if TYPE_CHECKING:
    from typing_extensions import Self

_WORDS = Words(text="TEXT", numbered="INTEGER PRIMARY KEY", keyed="WITHOUT ROWID", row="rowid")
_WAIT_SECONDS = 60
_PRIVATE_KIB = 512


class SqliteConnection(sqlite3.Connection):
    """An open file. Implements ``Connection``.

    A statement outside of a ``with`` block is committed at once. The library would leave its
    transaction open, and keep other processes waiting while a sync waits for the network.
    """

    _within = 0

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """As ``Connection.execute``."""
        rows = super().execute(sql, parameters)
        if self.in_transaction and not self._within:
            self.commit()
        return rows

    def executemany(self, sql: str, rows: Iterable[Any], /) -> sqlite3.Cursor:
        """As ``Connection.executemany``."""
        cursor = super().executemany(sql, rows)
        if self.in_transaction and not self._within:
            self.commit()
        return cursor

    def __enter__(self) -> Self:
        self._within += 1
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> Literal[False]:
        self._within -= 1
        return super().__exit__(kind, error, trace)

    def flush(self) -> None:
        """As ``Connection.flush``.

        All transactions are in one file, so waiting for a new one waits for all of them.
        """
        self.execute("PRAGMA synchronous = FULL")
        try:
            with self:
                self.execute(
                    "INSERT INTO flushed VALUES (1, 1)"
                    ' ON CONFLICT ("only") DO UPDATE SET times = flushed.times + 1'
                )
        finally:
            self.execute("PRAGMA synchronous = NORMAL")


class _PrivateConnection(SqliteConnection):
    """An open private file. No other process waits for it, so it has a single transaction."""

    _within = 1


def open_sqlite(path: Path) -> SqliteConnection:
    """Open the file at ``path``, or make it, and bring its tables up to date.

    Raises:
        RepositoryStateError: It is damaged, or a newer securepip has written it.
        PermissionError: This process may not write to it, or to its folder.
    """
    try:
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, factory=SqliteConnection)
        # Transactions are not flushed one by one: ``flush`` waits for all of them once, before the
        # new timestamp is written. A power cut before that leaves the database consistent.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if _version(connection) != len(STEPS):
            _migrate(connection, path)
    except sqlite3.Error as error:
        existing = [each for each in (path.parent, path) if each.exists()]
        if not all(os.access(each, os.W_OK) for each in existing):
            # Nothing is damaged: it may be a read-only image, or somebody else's folder.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)) from None
        raise RepositoryStateError(
            f"{path} cannot be opened: {error}",
            remedy="Restore it from a backup: without it, published files could be replaced.",
        ) from None
    return connection


def private_sqlite(step: str) -> SqliteConnection:
    """A private temporary file with the empty tables of one step (``schema``).

    SQLite keeps it in memory as long as it is small.
    """
    connection = sqlite3.connect("", factory=_PrivateConnection)
    connection.execute(f"PRAGMA cache_size = -{_PRIVATE_KIB}")
    for statement in statements((step,), 0, _WORDS):
        connection.execute(statement)
    return connection


def _version(connection: sqlite3.Connection) -> int:
    """The number of migration steps that the file has taken."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)  # read again: another process may have been first
        if version > len(STEPS):
            raise RepositoryStateError(
                f"{path} was written by a newer securepip (its tables are of version {version}, "
                f"and this one knows {len(STEPS)})",
                remedy="Use the newer one: pip install --upgrade securepip",
            )
        for statement in statements(STEPS, version, _WORDS):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
