"""Remembers when this machine last read the pages of an index, and when it first saw each file.

Rule: nothing here decides what may be signed; the ledger does that. A lost row costs a request, or
a date in a message.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import date, datetime, timezone

from packaging.utils import NormalizedName

from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.connection import Connection
from securepip.transport import file_url_to_path
from securepip.trust import TrustedRepository

FRESH_SECONDS = 600.0
"""How long a page is not read again. pip caches its pages for the same time."""

RENEW_SECONDS = 86_400.0
"""How often the repository is checked for signatures that expire."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS asked (project TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS seen_until (signed_id INTEGER PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS loss (project TEXT PRIMARY KEY, is_accepted INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS renewed (only INTEGER PRIMARY KEY CHECK (only = 1), at REAL NOT NULL);
"""


class Memory:
    """Reads and writes the tables, which are in the ledger's file. Use from one thread.

    Args:
        connection: The connection of the ledger.
        now: The time of this run (Unix time).
    """

    def __init__(self, connection: Connection, now: float) -> None:
        self._connection = connection
        self._now = now
        connection.executescript(_SCHEMA)

    def is_fresh(self, project: NormalizedName) -> bool:
        """Whether the project's page was read less than ``FRESH_SECONDS`` ago."""
        row = self._connection.execute(
            "SELECT at FROM asked WHERE project = ?", (project,)
        ).fetchone()
        return row is not None and 0 <= self._now - float(row[0]) < FRESH_SECONDS

    def asked(self, projects: Iterable[NormalizedName]) -> None:
        """Remember that the pages of these projects were read now."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO asked VALUES (?, ?)",
                [(project, self._now) for project in projects],
            )

    def forget(self, projects: Iterable[NormalizedName]) -> None:
        """Forget when the pages of these projects were read, so that they are read again."""
        with self._connection:
            self._connection.executemany(
                "DELETE FROM asked WHERE project = ?", [(project,) for project in projects]
            )

    def mark_seen(self) -> None:
        """Remember that all files in the ledger were seen by now."""
        with self._connection:
            self._connection.execute(
                "INSERT OR IGNORE INTO seen_until SELECT max(id), ? FROM signed HAVING max(id)",
                (self._now,),
            )

    def first_seen(self, project: NormalizedName, filename: str) -> date:
        """The day (UTC) on which a file was first signed; today if it never was."""
        row = self._connection.execute(
            "SELECT at FROM seen_until WHERE signed_id >= (SELECT min(id) FROM signed"
            " WHERE project = ? AND filename = ?) ORDER BY signed_id LIMIT 1",
            (project, filename),
        ).fetchone()
        return datetime.fromtimestamp(row[0] if row else self._now, timezone.utc).date()

    def refuse_loss(self, project: NormalizedName) -> None:
        """Remember that the project's page lost most of its files, so that it can be accepted."""
        with self._connection:
            self._connection.execute("INSERT OR IGNORE INTO loss VALUES (?, 0)", (project,))

    def is_loss_refused(self, project: NormalizedName) -> bool:
        """Whether a loss of most files of the project's page was refused."""
        row = self._connection.execute("SELECT 1 FROM loss WHERE project = ?", (project,))
        return row.fetchone() is not None

    def accept_loss(self, project: NormalizedName) -> None:
        """Allow the project's page to lose most of its files when it is read next."""
        with self._connection:
            self._connection.execute(
                "UPDATE loss SET is_accepted = 1 WHERE project = ?", (project,)
            )
        self.forget([project])

    def accepted_losses(self) -> frozenset[NormalizedName]:
        """The projects whose page may lose most of its files."""
        rows = self._connection.execute("SELECT project FROM loss WHERE is_accepted")
        return frozenset(NormalizedName(project) for (project,) in rows)

    def use_up_losses(self, projects: Iterable[NormalizedName]) -> None:
        """Forget the accepted losses of these projects, so that the next loss is refused again."""
        with self._connection:
            self._connection.executemany(
                "DELETE FROM loss WHERE project = ?", [(project,) for project in projects]
            )

    @property
    def is_new(self) -> bool:
        """Whether the signatures were never checked, because the repository is new."""
        return self._connection.execute("SELECT 1 FROM renewed").fetchone() is None

    def is_renewal_due(self) -> bool:
        """Whether the signatures were last checked a day ago or longer, or never."""
        row = self._connection.execute("SELECT at FROM renewed").fetchone()
        # A clock that was set back makes the difference negative.
        return row is None or not 0 <= self._now - float(row[0]) < RENEW_SECONDS

    def mark_renewed(self) -> None:
        """Remember that the signatures were checked now."""
        with self._connection:
            self._connection.execute("INSERT OR REPLACE INTO renewed VALUES (1, ?)", (self._now,))


def first_seen_in(repository: TrustedRepository, project: NormalizedName, filename: str) -> date:
    """The day (UTC) on which a first-use repository first signed a file.

    Raises:
        RepositoryStateError: The repository cannot be opened.
    """
    with Repository.open(file_url_to_path(repository.location)) as opened:
        return Memory(opened.ledger.connection, time.time()).first_seen(project, filename)
