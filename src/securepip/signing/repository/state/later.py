"""Rows that may be written a little later, many in one transaction.

Each transaction costs as much as some hundred rows. Rule: whoever signs what a row is about calls
``flush`` first; of a run that is killed before, nothing was signed that these rows were about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from securepip.signing.repository.state.connection import Connection

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
