"""The memory of a repository in one SQLite file, which is never served. Use from one thread."""

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

    The library would leave what one statement begins open until the next ``with`` is left, and
    other processes waiting: a sync waits for its network then.
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
        done = super().executemany(sql, rows)
        if self.in_transaction and not self._within:
            self.commit()
        return done

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

        A transaction that is waited for takes all those before it along (one file holds them).
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
    """An open file that nobody else waits for: all that is done with it is one transaction."""

    _within = 1


def open_sqlite(path: Path) -> SqliteConnection:
    """Open the file at ``path``, or make it, with all tables as they are today.

    Raises:
        RepositoryStateError: It is no such file, or a newer securepip has written it.
        PermissionError: Nobody may write to it, or beside it.
    """
    try:
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, factory=SqliteConnection)
        # No flush of its own for each transaction: ``flush`` waits for all of them together, once,
        # before the new timestamp is written. A power cut before that leaves the database whole.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if _version(connection) != len(STEPS):
            _migrate(connection, path)
    except sqlite3.Error as error:
        there = [each for each in (path.parent, path) if each.exists()]
        if not all(os.access(each, os.W_OK) for each in there):
            # Nothing is broken: an image, say, or somebody else's folder.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)) from None
        raise RepositoryStateError(
            f"{path} cannot be opened: {error}",
            remedy="Restore it from a backup: without it, published files could be replaced.",
        ) from None
    return connection


def private_sqlite(step: str) -> SqliteConnection:
    """The tables of a step (``schema``), empty, in a file that nobody else sees.

    It is in memory as far as it is short.
    """
    connection = sqlite3.connect("", factory=_PrivateConnection)
    connection.execute(f"PRAGMA cache_size = -{_PRIVATE_KIB}")
    for statement in statements((step,), 0, _WORDS):
        connection.execute(statement)
    return connection


def _version(connection: sqlite3.Connection) -> int:
    """How many steps the file has taken."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)  # anew: another process may have been first
        if version > len(STEPS):
            raise RepositoryStateError(
                f"{path} was written by a newer securepip (its tables are of version {version}, "
                f"and this one knows {len(STEPS)})",
                remedy="Use the newer one: pip install --upgrade securepip",
            )
        for statement in statements(STEPS, version, _WORDS):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
