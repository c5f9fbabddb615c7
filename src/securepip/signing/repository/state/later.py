"""Rows that may be written a little later, many in one transaction.

Each transaction costs as much as some hundred rows. Rule: whoever signs what a row is about calls
``Later.flush`` first; of a run that is killed before, nothing was signed that these rows were
about. What is known only when all is signed waits in a file (``Aside``), and goes with the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from tempfile import TemporaryFile
from typing import Any, Generic, TypeVar

from securepip.signing.repository.state.connection import Connection

T = TypeVar("T")

_MOST = 2_000


class Later:
    """Rows on their way to the tables of ``connection``.

    Args:
        connection: Where they are written. The lock must be held meanwhile.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[Sequence[Any]]] = {}
        self._count = 0

    def put(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute ``sql`` for each of ``rows``, by the next ``flush``; in any order among others.

        Args:
            sql: As ``Connection.executemany`` takes it.
            rows: Its parameters.
        """
        waiting = self._rows.setdefault(sql, [])
        before = len(waiting)
        waiting += rows
        self._count += len(waiting) - before
        if self._count >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Write all that waits, in one transaction."""
        if not self._count:
            return
        with self._connection:
            for sql, rows in self._rows.items():
                self._connection.executemany(sql, rows)
        self._rows.clear()
        self._count = 0


def write(
    connection: Connection, sql: str, rows: Iterable[Sequence[Any]], later: Later | None
) -> None:
    """Execute ``sql`` for each of ``rows``: at once, or ``later`` where there is such."""
    if later is not None:
        later.put(sql, rows)
        return
    with connection:
        connection.executemany(sql, rows)


class Aside(Generic[T]):
    """What is kept for later in a file that nobody else sees, in the order it comes in.

    Args:
        fields: Those of one, as JSON has them.
        made: Makes one of these again.
    """

    def __init__(self, fields: Callable[[T], Sequence[Any]], made: Callable[..., T]) -> None:
        self._fields = fields
        self._made = made
        self._file = TemporaryFile()  # noqa: SIM115 # closed by `close`

    def add(self, one: T) -> None:
        """Keep it too."""
        self._file.write(json.dumps(self._fields(one)).encode() + b"\n")

    def __iter__(self) -> Iterator[T]:
        self._file.seek(0)
        for line in self._file:
            yield self._made(*json.loads(line))

    def close(self) -> None:
        """Drop the file."""
        self._file.close()
