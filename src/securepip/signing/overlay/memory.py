"""Remembers what a sync has learned, so that the next one need not ask again, in tables.

Rule: nothing here decides what may be signed. A lost row costs requests. The row of a page is
written only after the page has been published, so that a killed sync is simply repeated.

What a server says about a file, because the index does not, is asked again after
``RECHECK_SECONDS``. Otherwise one wrong answer of a proxy or a broken server would make the file
impossible to install for ever.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from packaging.utils import NormalizedName

from securepip.formats.digests import Sha256
from securepip.signing.overlay.upstream.interface import Reading
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.connection import Connection
from securepip.signing.repository.state.later import Later, write

RECHECK_SECONDS = 7 * 86400.0
"""How long a length, or the digest of a ``.metadata`` file, is not asked for again."""

_AT_A_TIME = 1_000


@dataclass(frozen=True)
class Upstream:
    """The indexes that a repository was last synced from.

    Attributes:
        locations: Their addresses, without credentials, in order.
        named: Whether an operator named them; if not, they are those of pip's configuration.
    """

    locations: tuple[str, ...]
    named: bool


@dataclass(frozen=True)
class PageState:
    """The answers that a project's page was made from, if nothing about it was left to do.

    Attributes:
        settings: The options that decide what a page holds.
        readings: What each source answered (without ``load``).
        page: The sha256 of the signed page; "" if there was nothing to sign.
        review_at: When (Unix time) the page has to be judged again although no source has changed:
            a file becomes old enough, or a server has to be asked again; None for never.
    """

    settings: str
    readings: tuple[Reading, ...]
    page: str
    review_at: float | None


@dataclass(frozen=True)
class Facts:
    """The known facts about a project's distributions, by the sha256 of each.

    Attributes:
        sizes: Their lengths in bytes.
        metadata: The digests of their ``.metadata`` files; None if there is no such file.
        requirements: Their Requires-Dist lines, and the build requirements of an sdist.
        old_sizes: Lengths that were learned so long ago that servers are asked again. They are used
            if no server answers.
        old_metadata: The same for ``.metadata`` files.
    """

    sizes: Mapping[Sha256, int] = field(default_factory=dict)
    metadata: Mapping[Sha256, Sha256 | None] = field(default_factory=dict)
    requirements: Mapping[Sha256, tuple[str, ...]] = field(default_factory=dict)
    old_sizes: Mapping[Sha256, int] = field(default_factory=dict)
    old_metadata: Mapping[Sha256, Sha256 | None] = field(default_factory=dict)

    def plus(self, learned: Facts) -> Facts:
        """These facts together with ``learned``."""
        # The requirements of these were read from a metadata file that has changed since.
        outdated = {
            sha256
            for sha256, metadata in learned.metadata.items()
            if self.old_metadata.get(sha256, metadata) != metadata
        }
        kept = {key: lines for key, lines in self.requirements.items() if key not in outdated}
        return replace(
            self,
            sizes={**self.sizes, **learned.sizes},
            metadata={**self.metadata, **learned.metadata},
            requirements={**kept, **learned.requirements},
        )


def upstream_named_before(repository: Repository) -> tuple[str, ...]:
    """The indexes that an operator named at the last sync; empty if they were those of pip."""
    upstream = Memory(repository.ledger.connection).upstream()
    return upstream.locations if upstream is not None and upstream.named else ()


class Memory:
    """Reads and writes the tables. Use from one thread, with the repository's lock held."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def upstream(self) -> Upstream | None:
        """The indexes of the last sync; None if there was none."""
        rows = self._connection.execute(
            "SELECT location, named FROM upstream ORDER BY position"
        ).fetchall()
        if not rows:
            return None
        return Upstream(tuple(location for location, _ in rows), bool(rows[0][1]))

    def keep_upstream(self, upstream: Upstream) -> None:
        """Remember the indexes of this sync."""
        named = int(upstream.named)
        rows = [(each, named, number) for number, each in enumerate(upstream.locations)]
        with self._connection:
            self._connection.execute("DELETE FROM upstream")
            self._connection.executemany("INSERT INTO upstream VALUES (?, ?, ?)", rows)

    def each_known(self) -> Iterator[tuple[NormalizedName, bool]]:
        """Each project that has a page, or that an index has offered; and whether one has.

        They are sorted by name. The tables may change between two results.
        """
        after = ""
        while True:
            rows = self._connection.execute(
                "SELECT project, max(offered) FROM ("
                "SELECT * FROM (SELECT project, 1 AS offered FROM synced"
                " WHERE project > ? ORDER BY project LIMIT ?) AS offered_here"
                " UNION ALL SELECT * FROM (SELECT DISTINCT project, 0 AS offered FROM known_page"
                " WHERE project > ? ORDER BY project LIMIT ?) AS signed_here"
                ") AS known GROUP BY project ORDER BY project LIMIT ?",
                (after, _AT_A_TIME, after, _AT_A_TIME, _AT_A_TIME),
            ).fetchall()
            for project, offered in rows:
                yield NormalizedName(project), bool(offered)
            if not rows:
                return
            after = rows[-1][0]

    def count(self) -> int:
        """How many projects an index has offered."""
        (count,) = self._connection.execute("SELECT count(*) FROM synced").fetchone()
        return int(count)

    def keep_projects(self, projects: Iterable[NormalizedName], later: Later | None = None) -> None:
        """Remember that an index has offered these projects, whatever it says of them later.

        Args:
            projects: The projects.
            later: Holds the rows until the pages are published; None writes them now.
        """
        write(
            self._connection,
            "INSERT INTO synced VALUES (?) ON CONFLICT DO NOTHING",
            [(project,) for project in projects],
            later,
        )

    def forget_project(self, project: NormalizedName) -> None:
        """Forget a project, after a person has decided that it is gone."""
        with self._connection:
            self._connection.execute("DELETE FROM synced WHERE project = ?", (project,))

    def state(self, project: NormalizedName) -> PageState | None:
        """What the project's page was last made from; None if that is not known."""
        row = self._connection.execute(
            "SELECT settings, readings, page, review_at FROM upstream_page WHERE project = ?",
            (project,),
        ).fetchone()
        if row is None:
            return None
        readings = tuple(_reading(*each) for each in json.loads(row[1]))
        return PageState(row[0], readings, row[2], row[3])

    def keep_state(
        self, project: NormalizedName, state: PageState, later: Later | None = None
    ) -> None:
        """Remember what a page was made from.

        Args:
            project: The project.
            state: What its page was made from.
            later: Holds the row until the page is published; None writes it now.
        """
        readings = [[r.source, r.fingerprint, r.validator, r.serial] for r in state.readings]
        write(
            self._connection,
            "INSERT INTO upstream_page VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (project) DO UPDATE SET settings = excluded.settings,"
            " readings = excluded.readings, page = excluded.page,"
            " review_at = excluded.review_at",
            [(project, state.settings, json.dumps(readings), state.page, state.review_at)],
            later,
        )

    def forget_state(self, project: NormalizedName) -> None:
        """Forget what a page was made from, so that it is judged again even if nothing changed."""
        with self._connection:
            self._connection.execute("DELETE FROM upstream_page WHERE project = ?", (project,))

    def facts(self, project: NormalizedName, now: float) -> Facts:
        """All that is known of the project's distributions at ``now`` (Unix time)."""
        rows = self._connection.execute(
            "SELECT sha256, size, size_at, metadata, metadata_at, requirements"
            " FROM learned WHERE project = ?",
            (project,),
        )
        fresh = now - RECHECK_SECONDS
        sizes: dict[Sha256, int] = {}
        old_sizes: dict[Sha256, int] = {}
        digests: dict[Sha256, Sha256 | None] = {}
        old_digests: dict[Sha256, Sha256 | None] = {}
        lines: dict[Sha256, tuple[str, ...]] = {}
        for sha256, size, size_at, metadata, metadata_at, requirements in rows:
            if size is not None:
                (sizes if size_at > fresh else old_sizes)[sha256] = size
            if metadata is not None:
                (digests if metadata_at > fresh else old_digests)[sha256] = metadata or None
            if requirements is not None:
                lines[sha256] = tuple(json.loads(requirements))
        return Facts(sizes, digests, lines, old_sizes, old_digests)

    def keep_facts(self, project: NormalizedName, facts: Facts, now: float) -> None:
        """Add what was learned at ``now`` (Unix time)."""
        if not (facts.sizes or facts.metadata or facts.requirements):
            return
        rows = [
            (
                project,
                sha256,
                facts.sizes.get(sha256),
                now if sha256 in facts.sizes else None,
                (facts.metadata[sha256] or "") if sha256 in facts.metadata else None,
                now if sha256 in facts.metadata else None,
                json.dumps(facts.requirements[sha256]) if sha256 in facts.requirements else None,
            )
            for sha256 in {*facts.sizes, *facts.metadata, *facts.requirements}
        ]
        with self._connection:
            self._connection.executemany(
                "INSERT INTO learned VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, sha256)"
                " DO UPDATE SET size = coalesce(excluded.size, learned.size),"
                " size_at = coalesce(excluded.size_at, learned.size_at),"
                " metadata = coalesce(excluded.metadata, learned.metadata),"
                " metadata_at = coalesce(excluded.metadata_at, learned.metadata_at),"
                # Requirements that were read from another metadata file no longer count.
                " requirements = CASE WHEN excluded.metadata IS NULL OR learned.metadata IS NULL"
                " OR excluded.metadata = learned.metadata"
                " THEN coalesce(excluded.requirements, learned.requirements)"
                " ELSE excluded.requirements END",
                rows,
            )

    def recheck_at(
        self, project: NormalizedName, sizes: Collection[Sha256], metadata: Collection[Sha256]
    ) -> float | None:
        """When (Unix time) the first of these facts has to be asked for again; None for never.

        Args:
            project: The project.
            sizes: The distributions whose length was learned from a server.
            metadata: The distributions whose ``.metadata`` file was learned from a server.
        """
        rows = self._connection.execute(
            "SELECT sha256, size_at, metadata_at FROM learned WHERE project = ?", (project,)
        )
        learned = [
            moment
            for sha256, size_at, metadata_at in rows
            for moment, wanted in ((size_at, sizes), (metadata_at, metadata))
            if moment is not None and sha256 in wanted
        ]
        return min(learned) + RECHECK_SECONDS if learned else None

    def forget(self, files: Iterable[tuple[NormalizedName, Sha256]]) -> list[NormalizedName]:
        """Forget what was learned about these distributions, so that the next sync asks again.

        Returns:
            The projects for which something was forgotten.
        """
        forgotten = []
        with self._connection:
            for project, sha256 in files:
                deleted = self._connection.execute(
                    "DELETE FROM learned WHERE project = ? AND sha256 = ?", (project, sha256)
                )
                if deleted.rowcount:
                    forgotten.append(project)
                    self._connection.execute(
                        "DELETE FROM upstream_page WHERE project = ?", (project,)
                    )
        return forgotten


def _reading(source: str, fingerprint: str, validator: str, serial: int = 0) -> Reading:
    return Reading(source, fingerprint, validator, serial=serial)
