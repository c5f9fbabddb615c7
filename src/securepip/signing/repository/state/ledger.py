"""The ledger: remembers the digest of every file that was ever signed, and what was revoked.

Rule: a row is written before the signature that it is about becomes current. An extra row is
harmless. A missing row would let a published file name get other bytes: that is how a stolen
account replaces a release that people have pinned.

The ledger is never served. Use it from one thread, and hold the repository's lock when writing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256
from securepip.formats.distribution import parse_distribution
from securepip.signing.repository.state.connection import Connection
from securepip.signing.repository.state.known import Known
from securepip.signing.repository.state.later import Later, write


@dataclass(frozen=True)
class Withdrawn:
    """The revocations of one project, looked up once for all of its files.

    Attributes:
        project: The name of the project.
        marks: Pairs of a version and a file name, one of which is "". Both are "" if the whole
            project was revoked.
    """

    project: NormalizedName
    marks: frozenset[tuple[str, str]]

    @property
    def whole(self) -> bool:
        """Whether the whole project was revoked."""
        return ("", "") in self.marks

    def covers(self, filename: str) -> bool:
        """Whether ``filename``, its version, or the whole project was revoked."""
        if self.whole or not self.marks:
            return self.whole
        name = parse_distribution(filename, self.project)
        return ("", filename) in self.marks or (
            name is not None and (str(name.version), "") in self.marks
        )


class Ledger:
    """The ledger of one repository.

    Args:
        connection: The database with its tables.

    Attributes:
        lookup: The look-up tables of the current state.
        connection: The same database, for modules that have their own tables in it. Each statement
            is committed; use ``with connection:`` for a transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.lookup = Known(connection)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def flush(self) -> None:
        """Wait until everything is on disk: the next signature relies on it.

        Raises:
            RepositoryStateError: As ``Connection.flush``.
        """
        self.connection.flush()

    def known(self, project: NormalizedName) -> dict[str, Sha256]:
        """The sha256 that each file name of ``project`` has to keep, if it was ever signed."""
        rows = self.connection.execute(
            "SELECT filename, sha256 FROM signed WHERE project = ? ORDER BY id", (project,)
        )
        return {filename: Sha256(sha256) for filename, sha256 in rows}

    def signed_as(self, filename: str) -> list[tuple[NormalizedName, Sha256]]:
        """Project and sha256 of everything that was ever signed under ``filename``."""
        rows = self.connection.execute(
            "SELECT project, sha256 FROM signed WHERE filename = ?", (filename,)
        )
        return [(NormalizedName(project), Sha256(sha256)) for project, sha256 in rows]

    def record(
        self, files: Iterable[tuple[NormalizedName, str, Sha256]], later: Later | None = None
    ) -> None:
        """Remember files that are about to be signed.

        Args:
            files: The project, file name and sha256 of each.
            later: Holds the rows; the caller flushes it before signing. None writes them now.
        """
        write(
            self.connection,
            "INSERT INTO signed (project, filename, sha256) VALUES (?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            files,
            later,
        )

    def own(self, projects: Iterable[NormalizedName], later: Later) -> None:
        """Remember that these projects get own files: their pages no longer come from an index."""
        rows = ((project,) for project in projects)
        write(self.connection, "DELETE FROM upstream_page WHERE project = ?", rows, later)

    def refuse(self, project: NormalizedName, filename: str, sha256: Sha256) -> None:
        """Remember that other bytes of ``filename`` were refused, so that they can be accepted.

        A person who accepts the change accepts exactly these bytes, and not whatever comes next.
        """
        with self.connection:
            self.connection.execute(
                "INSERT INTO refused VALUES (?, ?, ?)"
                " ON CONFLICT (project, filename) DO UPDATE SET sha256 = excluded.sha256",
                (project, filename, sha256),
            )

    def refused_as(self, filename: str) -> list[tuple[NormalizedName, Sha256]]:
        """Project and sha256 of the bytes that were last refused under ``filename``."""
        rows = self.connection.execute(
            "SELECT project, sha256 FROM refused WHERE filename = ?", (filename,)
        )
        return [(NormalizedName(project), Sha256(sha256)) for project, sha256 in rows]

    def accept_change(self, filename: str) -> list[tuple[NormalizedName, Sha256]]:
        """Accept the bytes of ``filename`` that were last refused, in place of the earlier ones.

        Returns:
            The project and sha256 of each file of that name that was refused.

        Raises:
            RepositoryStateError: No file of that name was refused.
        """
        rows = self.refused_as(filename)
        if not rows:
            raise RepositoryStateError(
                f"no change of {filename} was refused",
                remedy="Only a change that `repo sync` or `repo add` reported can be accepted.",
            )
        with self.connection:
            for project, sha256 in rows:
                # The last row of a name counts, so a row of earlier times is deleted first.
                key = (project, filename, sha256)
                self.connection.execute(
                    "DELETE FROM signed WHERE project = ? AND filename = ? AND sha256 = ?", key
                )
                self.connection.execute(
                    "INSERT INTO signed (project, filename, sha256) VALUES (?, ?, ?)", key
                )
            self.connection.execute("DELETE FROM refused WHERE filename = ?", (filename,))
        return rows

    def withdraw(
        self,
        project: NormalizedName,
        *,
        version: Version | None = None,
        filename: str | None = None,
    ) -> None:
        """Remember that a file, a version or (with neither) a whole project was revoked."""
        with self.connection:
            self.connection.execute(
                "INSERT INTO withdrawn VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (project, "" if version is None else str(version), filename or ""),
            )

    def withdrawn(self, project: NormalizedName) -> Withdrawn:
        """The revocations of ``project``."""
        rows = self.connection.execute(
            "SELECT version, filename FROM withdrawn WHERE project = ?", (project,)
        )
        return Withdrawn(project, frozenset((version, filename) for version, filename in rows))

    def bounds(self, project: NormalizedName) -> tuple[dict[str, Sha256], Withdrawn]:
        """As ``known`` and ``withdrawn``, in one statement."""
        rows = self.connection.execute(
            "SELECT id, filename, sha256 FROM signed WHERE project = ?"
            " UNION ALL SELECT 0, version, filename FROM withdrawn WHERE project = ? ORDER BY 1",
            (project, project),
        )
        known: dict[str, Sha256] = {}
        marks = set()
        for number, *fields in rows:
            if number:
                known[fields[0]] = Sha256(fields[1])
            else:
                marks.add((fields[0], fields[1]))
        return known, Withdrawn(project, frozenset(marks))

    def is_withdrawn(self, project: NormalizedName, filename: str | None = None) -> bool:
        """Whether ``filename``, its version, or the whole project was revoked.

        Without ``filename``: whether the whole project was revoked.
        """
        withdrawn = self.withdrawn(project)
        return withdrawn.whole if filename is None else withdrawn.covers(filename)

    def restore(self, project: NormalizedName, filename: str | None = None) -> None:
        """Forget revocations of ``project``: all of them, or those that cover ``filename``.

        If the file was revoked with its version or project, that revocation is forgotten too.
        """
        marks = self.withdrawn(project).marks
        if filename is not None:
            name = parse_distribution(filename, project)
            version = "" if name is None else str(name.version)
            marks &= {("", ""), ("", filename), (version, "")}
        with self.connection:
            self.connection.executemany(
                "DELETE FROM withdrawn WHERE project = ? AND version = ? AND filename = ?",
                [(project, *mark) for mark in marks],
            )

    def begin(self, projects: Iterable[NormalizedName]) -> None:
        """Remember that the plain view of ``projects`` is about to be out of date."""
        with self.connection:
            self.connection.executemany(
                "INSERT INTO unfinished VALUES (?) ON CONFLICT DO NOTHING",
                ((project,) for project in projects),
            )

    def unfinished(self, after: str = "", most: int = 1 << 31) -> list[NormalizedName]:
        """The projects whose plain view is out of date, sorted by name.

        Args:
            after: Only projects whose name comes after this one.
            most: At most this many.
        """
        rows = self.connection.execute(
            "SELECT project FROM unfinished WHERE project > ? ORDER BY project LIMIT ?",
            (after, most),
        )
        return [NormalizedName(project) for (project,) in rows]

    def finish(self) -> None:
        """Remember that the plain view of every project is up to date."""
        with self.connection:
            self.connection.execute("DELETE FROM unfinished")

    def list_due(self) -> float | None:
        """Since when (Unix time) the list of all projects is out of date; None if it is not."""
        row = self.connection.execute("SELECT since FROM listing").fetchone()
        return None if row is None else float(row[0])

    def want_list(self, moment: float) -> None:
        """Remember that the list of all projects is out of date since ``moment``, or longer."""
        with self.connection:
            self.connection.execute(
                "INSERT INTO listing VALUES (1, ?) ON CONFLICT DO NOTHING", (moment,)
            )

    def list_written(self) -> None:
        """Remember that the list of all projects is up to date."""
        with self.connection:
            self.connection.execute("DELETE FROM listing")

    def begin_partial(self, projects: Iterable[NormalizedName]) -> None:
        """Remember that only some files on the pages of ``projects`` have targets."""
        with self.connection:
            self.connection.executemany(
                "INSERT INTO partial VALUES (?) ON CONFLICT DO NOTHING",
                [(project,) for project in projects],
            )

    def partial(self) -> frozenset[NormalizedName]:
        """The projects of whose files only some have targets."""
        rows = self.connection.execute("SELECT project FROM partial")
        return frozenset(NormalizedName(project) for (project,) in rows)

    def complete(self, projects: Iterable[NormalizedName]) -> None:
        """Remember that every file on the pages of ``projects`` has a target."""
        with self.connection:
            self.connection.executemany(
                "DELETE FROM partial WHERE project = ?", ((project,) for project in projects)
            )

    def current(self) -> tuple[int, int]:
        """The versions of root and timestamp that became current last; zeros if none did."""
        row = self.connection.execute("SELECT root, timestamp FROM current").fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def set_current(self, root: int, timestamp: int) -> None:
        """Remember that these versions are current, so that no older state is used again."""
        with self.connection:
            self.connection.execute(
                'INSERT INTO current VALUES (1, ?, ?) ON CONFLICT ("only") DO UPDATE SET'
                " root = excluded.root, timestamp = excluded.timestamp",
                (root, timestamp),
            )
