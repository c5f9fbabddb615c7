"""Records the projects that a sync has found and still has to read, in tables of the ledger.

Rule: nothing here decides what may be signed. If a run is killed, the next run with the same
request goes on. It reads the projects again that were not published, and follows again what other
projects want of them. The published projects are done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from securepip.formats.digests import sha256_of
from securepip.signing.repository.state.connection import Connection

CONTINUED_SECONDS = 6 * 3600.0
"""An older walk is not continued: its projects may have changed since."""


_WAITS, _UNDER_WAY, _SETTLED, _AGAIN, _LATER = range(5)
"""The stage of a project. A settled project is looked at again if another one wants more of it. A
project that is for later waits again when its page has been published."""


@dataclass(frozen=True)
class Want:
    """The versions and extras of a project that some requirement asks for."""

    specifier: SpecifierSet
    extras: frozenset[NormalizedName]


@dataclass(frozen=True)
class Wish:
    """Why a project is looked at.

    Attributes:
        project: The project.
        because: The project that requires it; "" if the operator named it first.
        named: Whether the operator named it.
        certain: Whether it is required on every platform.
    """

    project: NormalizedName
    because: str = ""
    named: bool = True
    certain: bool = True


@dataclass(frozen=True)
class Need:
    """A project that a file requires, and the versions and extras that it requires."""

    wish: Wish
    want: Want


class Walk:
    """The tables of one repository, or of one run. Use from one thread, with the lock held."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def begin(self, asked: str, now: float) -> int:
        """Continue the interrupted walk if it was for the same request; else begin a new one.

        Args:
            asked: A digest of the request.
            now: Unix time.

        Returns:
            How many projects of the walk are done.
        """
        execute = self._connection.execute
        row = execute("SELECT asked, begun FROM walk").fetchone()
        if row is None or row[0] != asked or not 0 <= now - row[1] < CONTINUED_SECONDS:
            with self._connection:
                self._clear()
                execute("INSERT INTO walk VALUES (1, ?, ?)", (asked, now))
            return 0
        with self._connection:
            execute(
                "UPDATE walk_want SET followed = 0 WHERE project IN"
                " (SELECT project FROM walk_project WHERE published = 0)"
            )
            execute(
                "UPDATE walk_project SET stage = ?, troubled = 0 WHERE published = 0", (_WAITS,)
            )
            execute("UPDATE walk_project SET stage = ? WHERE published = 1", (_SETTLED,))
            execute(
                "UPDATE walk_project SET stage = ? WHERE published = 1 AND project IN"
                " (SELECT project FROM walk_want WHERE followed = 0)",
                (_AGAIN,),
            )
        (done,) = execute("SELECT count(*) FROM walk_project WHERE published = 1").fetchone()
        return int(done)

    def name(self, project: NormalizedName, want: Want | None) -> bool:
        """Add a project that the operator names.

        Args:
            project: The project.
            want: What of it is to be followed; None for nothing.

        Returns:
            Whether it is new. If so, it is under way from now on, and the caller has to read it.
        """
        added = self._connection.execute(
            "INSERT INTO walk_project"
            " (project, because, named, certain, stage, published, troubled)"
            " VALUES (?, '', 1, 1, ?, 0, 0) ON CONFLICT (project) DO NOTHING",
            (project, _UNDER_WAY),
        )
        if not added.rowcount:
            self._connection.execute(
                "UPDATE walk_project SET named = 1, certain = 1 WHERE project = ?", (project,)
            )
        if want is not None:
            self._add_wants([(project, want)])
            self._open_again([project])
        return added.rowcount > 0

    def next(self) -> Wish | None:
        """The next project that waits; None if none does. It is under way from now on."""
        return self._take(_WAITS)

    def again(self) -> NormalizedName | None:
        """The next settled project to look at again; None if there is none.

        It is under way from now on.
        """
        wish = self._take(_AGAIN)
        return None if wish is None else wish.project

    def wish(self, project: NormalizedName) -> Wish:
        """Why a project of the walk is looked at."""
        row = self._connection.execute(
            "SELECT because, named, certain FROM walk_project WHERE project = ?", (project,)
        ).fetchone()
        return Wish(project, row[0], bool(row[1]), bool(row[2]))

    def wants(self, project: NormalizedName) -> list[Want]:
        """What other projects want of a project, as far as it was not followed yet."""
        rows = self._connection.execute(
            "SELECT want FROM walk_want WHERE project = ? AND followed = 0 ORDER BY want",
            (project,),
        )
        wants = (json.loads(text) for (text,) in rows.fetchall())
        return [
            Want(SpecifierSet(specifier), frozenset(map(NormalizedName, extras)))
            for specifier, extras in wants
        ]

    def settle(
        self,
        project: NormalizedName,
        wants: Iterable[Want],
        needs: Sequence[Need],
        *,
        later: bool = False,
    ) -> None:
        """Record that a project was followed. All of it is recorded, or nothing.

        Args:
            project: The project.
            wants: What was wanted of it, and is followed by now.
            needs: What it was found to need.
            later: Whether it has to be read again after the next publication.
        """
        with self._connection:
            self._connection.executemany(
                "UPDATE walk_want SET followed = 1 WHERE project = ? AND sha256 = ?",
                [(project, sha256_of(_text(want))) for want in wants],
            )
            self._connection.executemany(
                "INSERT INTO walk_project"
                " (project, because, named, certain, stage, published, troubled)"
                " VALUES (?, ?, 0, ?, ?, 0, 0) ON CONFLICT (project) DO UPDATE SET certain ="
                " CASE WHEN excluded.certain = 1 THEN 1 ELSE walk_project.certain END",
                [(n.wish.project, n.wish.because, int(n.wish.certain), _WAITS) for n in needs],
            )
            self._add_wants((need.wish.project, need.want) for need in needs)
            self._connection.execute(
                "UPDATE walk_project SET stage = ? WHERE project = ?", (_SETTLED, project)
            )
            self._open_again(dict.fromkeys([project, *(need.wish.project for need in needs)]))
            if later:
                self._connection.execute(
                    "UPDATE walk_project SET stage = ?, published = 0 WHERE project = ?",
                    (_LATER, project),
                )

    def published(self) -> None:
        """Record that the projects that are settled by now have been published."""
        with self._connection:
            self._connection.execute(
                "UPDATE walk_project SET published = 1"
                " WHERE stage IN (?, ?) AND published = 0 AND troubled = 0",
                (_SETTLED, _AGAIN),
            )
            self._connection.execute(
                "UPDATE walk_project SET stage = ? WHERE stage = ?", (_WAITS, _LATER)
            )

    def waiting(self) -> int:
        """How many projects wait to be read."""
        (count,) = self._connection.execute(
            "SELECT count(*) FROM walk_project WHERE stage = ?", (_WAITS,)
        ).fetchone()
        return int(count)

    def trouble(self, project: NormalizedName) -> None:
        """Record that a project has a problem: a continued walk reads it and reports it again."""
        self._connection.execute(
            "UPDATE walk_project SET troubled = 1, published = 0 WHERE project = ?", (project,)
        )

    def end(self) -> None:
        """End the walk, so that the next run begins a new one."""
        with self._connection:
            self._clear()

    def _take(self, stage: int) -> Wish | None:
        row = self._connection.execute(
            "SELECT project, because, named, certain FROM walk_project WHERE stage = ?"
            " ORDER BY id LIMIT 1",
            (stage,),
        ).fetchone()
        if row is None:
            return None
        self._connection.execute(
            "UPDATE walk_project SET stage = ? WHERE project = ?", (_UNDER_WAY, row[0])
        )
        return Wish(NormalizedName(row[0]), row[1], bool(row[2]), bool(row[3]))

    def _add_wants(self, wants: Iterable[tuple[NormalizedName, Want]]) -> None:
        rows = [
            (project, sha256_of(text), text.decode())
            for project, want in wants
            for text in (_text(want),)
        ]
        self._connection.executemany(
            "INSERT INTO walk_want VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING", rows
        )

    def _open_again(self, projects: Iterable[NormalizedName]) -> None:
        """Mark those settled ``projects`` to be looked at again that others want more of."""
        self._connection.executemany(
            "UPDATE walk_project SET stage = ? WHERE project = ? AND stage = ? AND EXISTS"
            " (SELECT 1 FROM walk_want"
            " WHERE walk_want.project = walk_project.project AND walk_want.followed = 0)",
            [(_AGAIN, project, _SETTLED) for project in projects],
        )

    def _clear(self) -> None:
        self._connection.execute("DELETE FROM walk")
        self._connection.execute("DELETE FROM walk_project")
        self._connection.execute("DELETE FROM walk_want")


def _text(want: Want) -> bytes:
    """``want`` as a row holds it: in ASCII, because no database takes every character."""
    return json.dumps([str(want.specifier), sorted(want.extras)]).encode()
