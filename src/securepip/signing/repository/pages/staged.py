"""The projects that are to change, in a private file, because there may be many."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.utils import NormalizedName

from securepip.formats.digests import Sha256
from securepip.signing.repository.state.sqlite import private_sqlite


class Staged:
    """The digest of the new page of each project; None if it is to have none."""

    def __init__(self) -> None:
        self._connection = private_sqlite(
            "CREATE TABLE staged (project TEXT PRIMARY KEY, sha256 TEXT) WITHOUT ROWID"
        )
        self._count = 0
        self._last: tuple[NormalizedName, Sha256 | None] | None = None

    def __len__(self) -> int:
        return self._count

    def __contains__(self, project: NormalizedName) -> bool:
        return self._row(project) is not None

    def __iter__(self) -> Iterator[NormalizedName]:
        rows = self._connection.execute("SELECT project FROM staged")
        return (NormalizedName(project) for (project,) in rows)

    def put(self, project: NormalizedName, sha256: Sha256 | None) -> None:
        """Add a project that is not staged yet."""
        self._connection.execute("INSERT INTO staged VALUES (?, ?)", (project, sha256))
        self._count += 1
        self._last = project, sha256

    def find(self, project: NormalizedName) -> tuple[NormalizedName, Sha256 | None] | None:
        """The project and the digest of its new page; None if the project is not staged."""
        if self._last is not None and self._last[0] == project:
            return self._last  # most projects are looked up right after they were added
        row = self._row(project)
        return None if row is None else (project, row[0])

    def close(self) -> None:
        """Drop the file."""
        self._connection.close()

    def _row(self, project: NormalizedName) -> tuple[Sha256 | None] | None:
        row: tuple[Sha256 | None] | None = self._connection.execute(
            "SELECT sha256 FROM staged WHERE project = ?", (project,)
        ).fetchone()
        return row
