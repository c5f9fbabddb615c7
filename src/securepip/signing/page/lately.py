"""Summarizes the log for the status page, in tables of the ledger.

Rule: an entry of the log can have megabytes (one record for each signed bin), and a log can go back
years. So no entry is read twice: each publication reads what it has added, and keeps what the page
shows in tables. Nothing else uses these tables: `repo log` reads and checks the log itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.log import Entry

SHOWN = 12
_MAX_COMMAND = 300
_MAX_WORDS = 500


@dataclass(frozen=True)
class Command:
    """A command that was run once, or several times in a row.

    Attributes:
        time: When it was last run (UTC).
        command: The command with its arguments.
        words: The operator's reason; "" if none was given.
        publications: How many publications it made; 0 if it only recorded a decision.
    """

    time: datetime
    command: str
    words: str
    publications: int


class Lately:
    """The summary of one repository's log. Use with the repository's lock held."""

    def __init__(self, repository: Repository) -> None:
        self._log = repository.log
        self._connection = repository.ledger.connection

    def follow(self) -> None:
        """Read the new entries of the log; all entries if the log was replaced."""
        row = self._connection.execute('SELECT "offset", number FROM page_reached').fetchone()
        offset, number = row or (0, 0)
        first = next((entry for entry, _ in self._log.after(offset)), None)
        with self._connection:
            if self._log.size() < offset or (first and first.number != number + 1):
                offset = number = 0
                self._connection.execute("DELETE FROM page_command")
                self._connection.execute("DELETE FROM page_week")
            for entry, end in self._log.after(offset):
                self._put(entry)
                offset, number = end, entry.number
            self._connection.execute(
                "INSERT INTO page_reached VALUES (1, ?, ?)"
                ' ON CONFLICT ("only") DO UPDATE SET'
                ' "offset" = excluded."offset", number = excluded.number',
                (offset, number),
            )

    def commands(self) -> list[Command]:
        """The newest ``SHOWN`` commands, the newest first."""
        rows = self._connection.execute(
            "SELECT time, command, words, publications FROM page_command ORDER BY number DESC"
        )
        return [Command(datetime.fromisoformat(time), *rest) for time, *rest in rows]

    def weeks(self, since: date) -> dict[date, int]:
        """The number of publications in each week since ``since``, by its Monday.

        Weeks without a publication are missing.
        """
        rows = self._connection.execute(
            "SELECT monday, publications FROM page_week WHERE monday >= ?", (since.isoformat(),)
        )
        return {date.fromisoformat(monday): int(count) for monday, count in rows}

    def _put(self, entry: Entry) -> None:
        # An entry without a timestamp, for a root or a decision, is no publication.
        count = int(any(each.role == "timestamp" for each in entry.signed))
        execute = self._connection.execute
        shown = (entry.why[:_MAX_COMMAND], entry.words[:_MAX_WORDS])
        last = execute(
            "SELECT number, command, words FROM page_command ORDER BY number DESC LIMIT 1"
        ).fetchone()
        if last and last[1:] == shown:
            execute(
                "UPDATE page_command SET number = ?, time = ?, publications = publications + ?"
                " WHERE number = ?",
                (entry.number, entry.time.isoformat(), count, last[0]),
            )
        else:
            execute(
                "INSERT INTO page_command VALUES (?, ?, ?, ?, ?)",
                (entry.number, entry.time.isoformat(), *shown, count),
            )
            execute(
                "DELETE FROM page_command WHERE number NOT IN"
                " (SELECT number FROM page_command ORDER BY number DESC LIMIT ?)",
                (SHOWN,),
            )
        if count:
            day = entry.time.date()
            execute(
                "INSERT INTO page_week VALUES (?, 1)"
                " ON CONFLICT (monday) DO UPDATE SET publications = page_week.publications + 1",
                ((day - timedelta(days=day.weekday())).isoformat(),),
            )
