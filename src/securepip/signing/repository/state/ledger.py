"""The repository's memory: what was ever signed, with which bytes, and what was revoked.

Rule: a row is written before the signature that it is about becomes current. A row too many is
harmless; a missing one would let a published file name get other bytes, which is how a stolen
account replaces a release that people have pinned.

It is never served. Use from one thread, with the repository's lock held when writing.
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
    """What was revoked of one project, looked up once for all of its files.

    Attributes:
        project: Its name.
        marks: A version and a file name each; both are empty for the whole project.
    """

    project: NormalizedName
    marks: frozenset[tuple[str, str]]

    @property
    def whole(self) -> bool:
        """Whether the whole project was."""
        return ("", "") in self.marks

    def covers(self, filename: str) -> bool:
        """Whether ``filename``, its version, or its whole project was."""
        if self.whole or not self.marks:
            return self.whole
        name = parse_distribution(filename, self.project)
        return ("", filename) in self.marks or (
            name is not None and (str(name.version), "") in self.marks
        )


class Ledger:
    """The memory of one repository.

    Args:
        connection: Where its tables are.

    Attributes:
        lookup: What is current.
        connection: For rooms that keep tables of their own beside these. It commits by itself; use
            ``with connection:`` for a transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.lookup = Known(connection)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def flush(self) -> None:
        """Wait until all that was remembered is on the disk: what is signed next relies on it.

        Raises:
            RepositoryStateError: Somebody else may have the lock meanwhile.
        """
        self.connection.flush()

    def known(self, project: NormalizedName) -> dict[str, Sha256]:
        """For each file name of ``project`` ever signed, the sha256 that it has to keep."""
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
        """Remember that these (project, file name, sha256) are about to be signed.

        Args:
            files: They.
            later: Where rows wait, for who flushes it before he signs.
        """
        write(
            self.connection,
            "INSERT INTO signed (project, filename, sha256) VALUES (?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            files,
            later,
        )

    def own(self, projects: Iterable[NormalizedName], later: Later) -> None:
        """Files of this repository's own are about to be signed: no page is an index's alone."""
        rows = ((project,) for project in projects)
        write(self.connection, "DELETE FROM upstream_page WHERE project = ?", rows, later)

    def refuse(self, project: NormalizedName, filename: str, sha256: Sha256) -> None:
        """Remember that ``filename`` came with other bytes than before, so that it can be accepted.

        A person who then accepts the change accepts these bytes, not whatever comes next.
        """
        with self.connection:
            self.connection.execute(
                "INSERT INTO refused VALUES (?, ?, ?)"
                " ON CONFLICT (project, filename) DO UPDATE SET sha256 = excluded.sha256",
                (project, filename, sha256),
            )

    def refused_as(self, filename: str) -> list[tuple[NormalizedName, Sha256]]:
        """Project and sha256 of what was refused last under ``filename``."""
        rows = self.connection.execute(
            "SELECT project, sha256 FROM refused WHERE filename = ?", (filename,)
        )
        return [(NormalizedName(project), Sha256(sha256)) for project, sha256 in rows]

    def accept_change(self, filename: str) -> list[tuple[NormalizedName, Sha256]]:
        """From now on ``filename`` has to have the bytes that were refused last.

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
                # Deleted first, so that it becomes the last one even if it was signed before.
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
        """What was revoked of ``project``."""
        rows = self.connection.execute(
            "SELECT version, filename FROM withdrawn WHERE project = ?", (project,)
        )
        return Withdrawn(project, frozenset((version, filename) for version, filename in rows))

    def bounds(self, project: NormalizedName) -> tuple[dict[str, Sha256], Withdrawn]:
        """As ``known`` and ``withdrawn``, looked up at once."""
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
        """Whether ``filename``, its version, or its whole project was revoked.

        Without ``filename``: whether the whole project was.
        """
        withdrawn = self.withdrawn(project)
        return withdrawn.whole if filename is None else withdrawn.covers(filename)

    def restore(self, project: NormalizedName, filename: str | None = None) -> None:
        """Forget that ``project`` was revoked, in part or whole; with ``filename``, for that file.

        A file that was revoked with its version or project is freed together with these.
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
        """Remember that what plain clients see of ``projects`` is about to change."""
        with self.connection:
            self.connection.executemany(
                "INSERT INTO unfinished VALUES (?) ON CONFLICT DO NOTHING",
                ((project,) for project in projects),
            )

    def unfinished(self, after: str = "", most: int = 1 << 31) -> list[NormalizedName]:
        """The projects of which ``finish`` was not reached: a run ended before its work did.

        Args:
            after: Only those whose name comes after this one.
            most: So many of them, the first ones by name.
        """
        rows = self.connection.execute(
            "SELECT project FROM unfinished WHERE project > ? ORDER BY project LIMIT ?",
            (after, most),
        )
        return [NormalizedName(project) for (project,) in rows]

    def finish(self) -> None:
        """What plain clients see is what is signed, for every project."""
        with self.connection:
            self.connection.execute("DELETE FROM unfinished")

    def list_due(self) -> float | None:
        """Since when (Unix time) the list of all projects is behind; None where it is not."""
        row = self.connection.execute("SELECT since FROM listing").fetchone()
        return None if row is None else float(row[0])

    def want_list(self, moment: float) -> None:
        """Remember that the list of all projects is behind since ``moment``, or longer."""
        with self.connection:
            self.connection.execute(
                "INSERT INTO listing VALUES (1, ?) ON CONFLICT DO NOTHING", (moment,)
            )

    def list_written(self) -> None:
        """The list of all projects is what is signed."""
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
        """The projects of which only the chosen files have targets."""
        rows = self.connection.execute("SELECT project FROM partial")
        return frozenset(NormalizedName(project) for (project,) in rows)

    def complete(self, projects: Iterable[NormalizedName]) -> None:
        """Every file on the pages of ``projects`` has a target now."""
        with self.connection:
            self.connection.executemany(
                "DELETE FROM partial WHERE project = ?", ((project,) for project in projects)
            )

    def current(self) -> tuple[int, int]:
        """The versions of root and timestamp that became current last; zeros before the first."""
        row = self.connection.execute("SELECT root, timestamp FROM current").fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def set_current(self, root: int, timestamp: int) -> None:
        """Remember that these versions are current: no older state is signed on top of, ever."""
        with self.connection:
            self.connection.execute(
                'INSERT INTO current VALUES (1, ?, ?) ON CONFLICT ("only") DO UPDATE SET'
                " root = excluded.root, timestamp = excluded.timestamp",
                (root, timestamp),
            )
