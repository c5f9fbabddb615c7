"""What a sync learned and the next one need not ask again: tables beside the ledger's.

Rule: nothing here decides what may be signed. A row that is lost costs requests; that of a page is
written only after the page has been published, so that a killed sync is simply done again.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field

from packaging.utils import NormalizedName

from securepip.formats.digests import Sha256
from securepip.signing.upstream.interface import Reading

_SCHEMA = """
CREATE TABLE IF NOT EXISTS upstream_page (
    project TEXT PRIMARY KEY, settings TEXT NOT NULL, readings TEXT NOT NULL,
    page TEXT NOT NULL, review_at REAL
);
CREATE TABLE IF NOT EXISTS upstream_file (
    project TEXT NOT NULL, sha256 TEXT NOT NULL,
    size INTEGER, metadata TEXT, requirements TEXT,
    PRIMARY KEY (project, sha256)
);
"""


@dataclass(frozen=True)
class PageState:
    """What a project's page was made from, when making it left nothing open.

    Attributes:
        settings: The options that decide what a page holds.
        readings: What each source answered (without ``load``).
        page: Digest of the signed page; "" when there was nothing to sign.
        review_at: When (Unix time) a file that was too young will be old enough; None for never.
    """

    settings: str
    readings: tuple[Reading, ...]
    page: str
    review_at: float | None


@dataclass
class Facts:
    """What is known of a project's distributions, by the sha256 of each.

    Attributes:
        sizes: Length in bytes.
        metadata: Digest of the ``.metadata`` file; None when there is none.
        requirements: Its Requires-Dist lines, and the build requirements of an sdist.
    """

    sizes: dict[Sha256, int] = field(default_factory=dict)
    metadata: dict[Sha256, Sha256 | None] = field(default_factory=dict)
    requirements: dict[Sha256, tuple[str, ...]] = field(default_factory=dict)


class Memory:
    """The tables. Use from one thread, with the repository's lock held."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.executescript(_SCHEMA)

    def state(self, project: NormalizedName) -> PageState | None:
        """What the project's page was last made from."""
        row = self._connection.execute(
            "SELECT settings, readings, page, review_at FROM upstream_page WHERE project = ?",
            (project,),
        ).fetchone()
        if row is None:
            return None
        readings = tuple(Reading(*each) for each in json.loads(row[1]))
        return PageState(row[0], readings, row[2], row[3])

    def keep_state(self, project: NormalizedName, state: PageState) -> None:
        """Remember it, once the page is published."""
        readings = [[r.source, r.fingerprint, r.validator] for r in state.readings]
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO upstream_page VALUES (?, ?, ?, ?, ?)",
                (project, state.settings, json.dumps(readings), state.page, state.review_at),
            )

    def facts(self, project: NormalizedName) -> Facts:
        """All that is known of the project's distributions."""
        facts = Facts()
        rows = self._connection.execute(
            "SELECT sha256, size, metadata, requirements FROM upstream_file WHERE project = ?",
            (project,),
        )
        for sha256, size, metadata, requirements in rows:
            if size is not None:
                facts.sizes[sha256] = size
            if metadata is not None:
                facts.metadata[sha256] = metadata or None
            if requirements is not None:
                facts.requirements[sha256] = tuple(json.loads(requirements))
        return facts

    def keep_facts(self, project: NormalizedName, facts: Facts) -> None:
        """Add what was learned."""
        rows = [
            (
                project,
                sha256,
                facts.sizes.get(sha256),
                (facts.metadata[sha256] or "") if sha256 in facts.metadata else None,
                json.dumps(facts.requirements[sha256]) if sha256 in facts.requirements else None,
            )
            for sha256 in {*facts.sizes, *facts.metadata, *facts.requirements}
        ]
        with self._connection:
            self._connection.executemany(
                "INSERT INTO upstream_file VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " size = coalesce(excluded.size, size),"
                " metadata = coalesce(excluded.metadata, metadata),"
                " requirements = coalesce(excluded.requirements, requirements)",
                rows,
            )
