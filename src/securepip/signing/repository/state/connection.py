"""The few calls by which tables are read and written: of a SQLite file, or of a database.

Rule: SQL is written once, for both. Its placeholders are ``?``; what is there already is passed
over with ``ON CONFLICT … DO NOTHING`` and replaced with ``DO UPDATE``; a name that one of the two
reserves stands in double quotes; truth is 0 or 1. There is no layer between that would import half
a second of code into a command that opens one file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing_extensions import Self


class Rows(Protocol):
    """What a statement found."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""

    def fetchone(self) -> Any:
        """The next row, a tuple; None at the end."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """The rows that are left."""


class Connection(Protocol):
    """An open database. Each statement is a transaction, unless it is in one.

    ``with connection:`` is a transaction: all of it, or nothing happened.
    """

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Rows:
        """Execute one statement."""

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> object:
        """Execute one statement for each row."""

    def executescript(self, sql: str, /) -> object:
        """Execute several statements that take no parameters."""

    def __enter__(self) -> Self:
        """Begin a transaction."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool | None:
        """Keep what the transaction did, or nothing of it after an error."""

    def flush(self) -> None:
        """Return when all that was written survives a power cut.

        Raises:
            RepositoryStateError: Somebody else may have the lock meanwhile.
        """

    def close(self) -> None:
        """End."""
