"""Look-up tables of the current state: digests of pages, expiries of bins, and counts.

Rule: these rows follow what is signed, and decide nothing. They name the snapshot that they
describe. If that is not the current one, because a run was killed after it wrote the timestamp or
an earlier securepip signed, the roles that differ are read and verified again. A page must still
have the digest that the rows give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice

from packaging.utils import NormalizedName
from tuf.api.metadata import Targets

from securepip.formats.digests import Sha256, parse_sha256
from securepip.formats.layout import PACKAGES_DIR, PAGE_NAME, SIMPLE_DIR, project_role
from securepip.signing.repository.state.connection import Connection
from securepip.signing.repository.state.later import Aside

_NOBODY_KNOWS = ""
_AT_A_TIME = 128
_FILES = f"{PACKAGES_DIR}/"
_START, _END = f"{SIMPLE_DIR}/", f"/{PAGE_NAME}"
"""The parts of a page's path before and after the name of the project."""


@dataclass(frozen=True)
class RoleFacts:
    """The facts about a hash bin, or about the role of a project that signs for itself.

    Attributes:
        name: Its name.
        version: Its version.
        expires: When it expires (Unix time).
        pages: The digests of the pages that it signs, by project.
        files: The number of distributions that it signs.
    """

    name: str
    version: int
    expires: float
    pages: Mapping[NormalizedName, Sha256]
    files: int


@dataclass(frozen=True)
class Counts:
    """Counts of what is signed.

    Attributes:
        projects: The number of projects that have a page.
        files: The number of distributions.
        highest: The highest version of a bin.
        first_expiry: When the first of the bins expires (UTC).
        claims: The number of projects that sign for themselves.
    """

    projects: int
    files: int
    highest: int
    first_expiry: datetime
    claims: int


def facts_of(name: str, role: Targets) -> RoleFacts:
    """The facts about a role."""
    pages: dict[NormalizedName, Sha256] = {}
    files = 0
    for path, target in role.targets.items():
        if path.startswith(_FILES):
            files += 1
        elif path.startswith(_START) and path.endswith(_END):
            project = NormalizedName(path[len(_START) : -len(_END)])
            pages[project] = parse_sha256(target.hashes.get("sha256"))
    return RoleFacts(name, role.version, role.expires.timestamp(), pages, files)


def facts_aside() -> Aside[RoleFacts]:
    """A file for the facts about any number of roles, until they are written to the tables."""
    return Aside(
        lambda facts: (facts.name, facts.version, facts.expires, facts.pages, facts.files),
        RoleFacts,
    )


class Known:
    """The look-up tables of one repository. Call ``follow`` when the state may have changed.

    Args:
        connection: The connection of its ledger.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def snapshot(self) -> str:
        """The digest of the snapshot that the rows describe; "" if there is none."""
        row = self._connection.execute("SELECT snapshot FROM known_state").fetchone()
        return _NOBODY_KNOWS if row is None else str(row[0])

    def follow(
        self, snapshot: str, versions: Mapping[str, int], read: Callable[[str], RoleFacts]
    ) -> list[str]:
        """Bring the rows up to date: read the roles whose versions differ.

        Args:
            snapshot: The digest of the current snapshot.
            versions: The current versions of the roles that are in use.
            read: Reads and verifies a role.

        Returns:
            The roles that were read.
        """
        rows = self._connection.execute("SELECT name, version FROM known_role")
        known = {str(name): int(version) for name, version in rows}
        differ = [name for name, version in versions.items() if known.get(name) != version]
        facts = [read(name) for name in differ]
        with self._connection:
            self._forget(known.keys() - versions.keys())
            self._put(facts)
            self._set_snapshot(snapshot)
        return differ

    def apply(self, snapshot: str, roles: Iterable[RoleFacts]) -> None:
        """Bring the rows up to date with a new snapshot, in which only these roles were signed.

        Args:
            snapshot: The digest of the snapshot.
            roles: The facts about these roles.
        """
        with self._connection:
            self._put(roles)
            self._set_snapshot(snapshot)

    def rebuild(
        self, snapshot: str, versions: Mapping[str, int], read: Callable[[str], RoleFacts]
    ) -> list[str]:
        """Read every role again, and correct the rows. The arguments are those of ``follow``.

        Returns:
            The roles for which the rows were wrong, also those that are no longer in use.
        """
        wrong = []
        with self._connection:
            rows = self._connection.execute("SELECT name FROM known_role").fetchall()
            for name in sorted({name for (name,) in rows} - versions.keys()):
                wrong.append(name)
                self._forget([name])
            for name in versions:
                facts = read(name)
                if self._facts(name) != facts:
                    wrong.append(name)
                    self._put([facts])
            self._set_snapshot(snapshot)
        return wrong

    def page(self, project: NormalizedName) -> Sha256 | None:
        """The digest of the signed page of a project; None if it has none."""
        rows = self._connection.execute(
            "SELECT role, sha256 FROM known_page WHERE project = ?", (project,)
        )
        by_role = {str(role): Sha256(sha256) for role, sha256 in rows}
        own = project_role(project)
        return by_role.get(own) or next(iter(by_role.values()), None)

    def projects(self) -> list[NormalizedName]:
        """All projects that have a page, sorted."""
        return list(self.each_project())

    def each_project(self) -> Iterator[NormalizedName]:
        """As ``projects``, one after the other. The rows must not change in between."""
        rows = self._connection.execute("SELECT DISTINCT project FROM known_page ORDER BY project")
        for (project,) in rows:
            yield NormalizedName(project)

    def counts(self) -> Counts:
        """Count what is signed."""
        execute = self._connection.execute
        # Each role has its number of pages, so this adds up thousands of rows and not a million.
        projects, files = execute("SELECT sum(pages), sum(files) FROM known_role").fetchone()
        highest, expires = execute(
            "SELECT max(version), min(expires) FROM known_role WHERE name NOT LIKE 'project.%'"
        ).fetchone()
        (claims,) = execute(
            "SELECT count(*) FROM known_role WHERE name >= 'project.' AND name < 'project/'"
        ).fetchone()
        moment = datetime.fromtimestamp(expires or 0, timezone.utc)
        return Counts(int(projects or 0), int(files or 0), int(highest or 0), moment, int(claims))

    def bins_until(self, moment: float) -> Iterator[tuple[str, float]]:
        """The names and expiries (Unix time) of the bins that expire before ``moment``.

        The bin that expires first comes first. Roles of projects are not among them.
        """
        rows = self._connection.execute(
            "SELECT name, expires FROM known_role WHERE expires < ? AND name NOT LIKE 'project.%'"
            " ORDER BY expires, name",
            (moment,),
        )
        yield from ((str(name), float(expires)) for name, expires in rows)

    def _facts(self, name: str) -> RoleFacts | None:
        row = self._connection.execute(
            "SELECT version, expires, files FROM known_role WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            return None
        rows = self._connection.execute(
            "SELECT project, sha256 FROM known_page WHERE role = ?", (name,)
        )
        pages = {NormalizedName(project): Sha256(sha256) for project, sha256 in rows}
        return RoleFacts(name, row[0], row[1], pages, row[2])

    def _put(self, roles: Iterable[RoleFacts]) -> None:
        """Replace the rows of these roles, with few statements for many roles."""
        coming = iter(roles)
        while some := {each.name: each for each in islice(coming, _AT_A_TIME)}:
            self._put_some(some)

    def _put_some(self, facts: Mapping[str, RoleFacts]) -> None:
        self._forget(facts)
        self._connection.executemany(
            "INSERT INTO known_role VALUES (?, ?, ?, ?, ?)",
            [
                (each.name, each.version, each.expires, len(each.pages), each.files)
                for each in facts.values()
            ],
        )
        self._connection.executemany(
            "INSERT INTO known_page VALUES (?, ?, ?)",
            (
                (project, each.name, sha256)
                for each in facts.values()
                for project, sha256 in each.pages.items()
            ),
        )

    def _forget(self, names: Iterable[str]) -> None:
        gone = [(name,) for name in names]
        self._connection.executemany("DELETE FROM known_role WHERE name = ?", gone)
        self._connection.executemany("DELETE FROM known_page WHERE role = ?", gone)

    def _set_snapshot(self, snapshot: str) -> None:
        self._connection.execute(
            "INSERT INTO known_state VALUES (1, ?)"
            ' ON CONFLICT ("only") DO UPDATE SET snapshot = excluded.snapshot',
            (snapshot,),
        )
