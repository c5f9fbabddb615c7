"""The interface to tables in a SQLite file or in a database.

Rule: every statement is written once, and runs on both. Placeholders are ``?``. An existing row is
kept with ``ON CONFLICT … DO NOTHING`` or replaced with ``DO UPDATE``. Names that one of the two
reserves are in double quotes. Booleans are 0 or 1. There is no library on top, because importing
one would take half a second in every command.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing_extensions import Self


class Rows(Protocol):
    """The result of a statement."""

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
    """An open database. A statement outside of a transaction is a transaction of its own.

    ``with connection:`` is a transaction: all of its statements take effect, or none.
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
        """Commit the transaction, or roll it back after an error."""

    def flush(self) -> None:
        """Return when everything that was written would survive a power cut.

        Raises:
            RepositoryStateError: The connection was lost, and with it perhaps the lock.
        """

    def close(self) -> None:
        """Close the connection."""
