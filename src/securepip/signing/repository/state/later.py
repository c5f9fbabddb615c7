"""Collects rows, to write many of them in one transaction.

A transaction costs as much as some hundred rows. Rule: ``Later.flush`` is called before anything is
signed that a row is about. If a run is killed before that, the rows are lost, and nothing that they
are about was signed. ``Aside`` keeps values in a temporary file until everything is signed.
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
    """Rows that wait to be written.

    Args:
        connection: Where they are written. The lock must be held until then.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[Sequence[Any]]] = {}
        self._count = 0

    def put(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute ``sql`` for each of ``rows``, at the latest in the next ``flush``.

        The order of different statements is not kept.

        Args:
            sql: A statement for ``Connection.executemany``.
            rows: Its parameters.
        """
        waiting = self._rows.setdefault(sql, [])
        before = len(waiting)
        waiting += rows
        self._count += len(waiting) - before
        if self._count >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Write all waiting rows, in one transaction."""
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
    """Execute ``sql`` for each of ``rows``: in the next flush of ``later``; if it is None, now."""
    if later is not None:
        later.put(sql, rows)
        return
    with connection:
        connection.executemany(sql, rows)


class Aside(Generic[T]):
    """A sequence of values in a private file.

    Args:
        fields: Returns the fields of a value, in types that JSON has.
        made: Makes a value from its fields.
    """

    def __init__(self, fields: Callable[[T], Sequence[Any]], made: Callable[..., T]) -> None:
        self._fields = fields
        self._made = made
        self._file = TemporaryFile()  # noqa: SIM115 # closed by `close`

    def add(self, one: T) -> None:
        """Append a value."""
        self._file.write(json.dumps(self._fields(one)).encode() + b"\n")

    def __iter__(self) -> Iterator[T]:
        self._file.seek(0)
        for line in self._file:
            yield self._made(*json.loads(line))

    def close(self) -> None:
        """Drop the file."""
        self._file.close()
