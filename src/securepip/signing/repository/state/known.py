"""What is current, looked up: pages and their digests, what expires when, how much there is.

Rule: these rows follow what is signed and decide nothing of it. They name the snapshot that they
are about. Where that is not the current one, because a run was killed after its timestamp, or an
earlier securepip signed, the roles that differ are read again: verified, as ever. A digest that is
found here still has to be that of the page's bytes.
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
"""Between them is a project, in the path of its page."""


@dataclass(frozen=True)
class RoleFacts:
    """What there is to know of a hash bin, or of the role of a project that signs for itself.

    Attributes:
        name: Its name.
        version: Its version.
        expires: Unix time.
        pages: The digests of the pages that it signs, by project.
        files: How many distributions it signs.
    """

    name: str
    version: int
    expires: float
    pages: Mapping[NormalizedName, Sha256]
    files: int


@dataclass(frozen=True)
class Renewed:
    """A role that was signed again with the same targets. ``expires`` is Unix time."""

    name: str
    version: int
    expires: float


@dataclass(frozen=True)
class Counts:
    """How much is signed.

    Attributes:
        projects: Projects that have a page.
        files: Distributions.
        highest: The highest version of a bin.
        first_expiry: When the first of the bins expires.
        claims: Projects that sign for themselves.
    """

    projects: int
    files: int
    highest: int
    first_expiry: datetime
    claims: int


def facts_of(name: str, role: Targets) -> RoleFacts:
    """What there is to know of a role."""
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
    """Facts of any number of roles, on their way to the rows."""
    return Aside(
        lambda facts: (facts.name, facts.version, facts.expires, facts.pages, facts.files),
        RoleFacts,
    )


class Known:
    """The rows of one repository. Use with ``follow`` first, whenever the state may have changed.

    Args:
        connection: Of its ledger.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def snapshot(self) -> str:
        """The digest of the snapshot that the rows are about; "" for none."""
        row = self._connection.execute("SELECT snapshot FROM known_state").fetchone()
        return _NOBODY_KNOWS if row is None else str(row[0])

    def follow(
        self, snapshot: str, versions: Mapping[str, int], read: Callable[[str], RoleFacts]
    ) -> list[str]:
        """Let the rows be about ``snapshot``: read the roles whose version is another.

        Args:
            snapshot: Its digest.
            versions: The roles that count, and their current versions.
            read: Reads one of them, verified.

        Returns:
            The roles that were read.
        """
        rows = self._connection.execute("SELECT name, version FROM known_role")
        have = {str(name): int(version) for name, version in rows}
        differ = [name for name, version in versions.items() if have.get(name) != version]
        found = [read(name) for name in differ]
        with self._connection:
            self._forget(have.keys() - versions.keys())
            self._put(found)
            self._set_snapshot(snapshot)
        return differ

    def apply(
        self, snapshot: str, roles: Iterable[RoleFacts], renewed: Iterable[Renewed] = ()
    ) -> None:
        """Let the rows be about ``snapshot``, in which these roles were signed anew."""
        with self._connection:
            self._put(roles)
            self._connection.executemany(
                "UPDATE known_role SET version = ?, expires = ? WHERE name = ?",
                [(each.version, each.expires, each.name) for each in renewed],
            )
            self._set_snapshot(snapshot)

    def rebuild(
        self, snapshot: str, versions: Mapping[str, int], read: Callable[[str], RoleFacts]
    ) -> list[str]:
        """Read every role again, and put right what was wrong.

        Returns:
            The roles of which something else was known; those that are not in use are among them.
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
        """The digest of the signed page of a project; None where there is none."""
        rows = self._connection.execute(
            "SELECT role, sha256 FROM known_page WHERE project = ?", (project,)
        )
        found = {str(role): Sha256(sha256) for role, sha256 in rows}
        own = project_role(project)
        return found.get(own) or next(iter(found.values()), None)

    def projects(self) -> list[NormalizedName]:
        """All projects that have a page, sorted."""
        return list(self.each_project())

    def each_project(self) -> Iterator[NormalizedName]:
        """The same, one after the other: there may be a million. Nothing may change meanwhile."""
        rows = self._connection.execute("SELECT DISTINCT project FROM known_page ORDER BY project")
        for (project,) in rows:
            yield NormalizedName(project)

    def counts(self) -> Counts:
        """How much is signed."""
        execute = self._connection.execute
        # Each page has one signer: these are sums of thousands of rows, and not of a million.
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
        """Names and expiry (Unix time) of the bins that expire before ``moment``, first ones first.

        Those of the roles of projects that sign for themselves are not among them.
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
        """Let these be the rows of their roles: few statements, however many roles they are."""
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
