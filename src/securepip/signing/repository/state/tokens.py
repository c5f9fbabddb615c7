"""Upload tokens: what each of them may upload. The tokens themselves are not stored.

Rule: a token is shown once, when it is made. Only its digest is stored, so that a thief of a backup
cannot upload. The secret part has 256 random bits, which nobody can guess, so a plain SHA-256 is
enough.

A token is ``securepip-<id>-<secret>``. Secret scanners recognize the prefix, and the id names the
token in lists and in the log.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError
from securepip.signing.repository.state.connection import Connection

_TOKEN = re.compile(r"securepip-([0-9a-f]{12})-([A-Za-z0-9_-]{43})")
_COLUMNS = "id, every_project, note, created, used, revoked"


@dataclass(frozen=True)
class Token:
    """The record of a token.

    Attributes:
        id: Its id, which is no secret.
        projects: The projects that it may upload to; None for every project.
        note: The operator's note about it; may be "".
        created: When it was made (UTC).
        used: When something was last published with it (UTC); None for never.
        revoked: When it was revoked (UTC); None if it is valid.
    """

    id: str
    projects: frozenset[NormalizedName] | None
    note: str
    created: datetime
    used: datetime | None = None
    revoked: datetime | None = None

    def allows(self, project: NormalizedName) -> bool:
        """Whether it may upload to ``project`` now."""
        return self.revoked is None and (self.projects is None or project in self.projects)


class Tokens:
    """The tokens of one repository. Each change is one transaction, so no lock is needed.

    Args:
        connection: The connection of its ledger.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self, projects: Iterable[NormalizedName] | None, note: str = ""
    ) -> tuple[Token, str]:
        """Make a token.

        Args:
            projects: The projects that it may upload to; None for every project.
            note: The operator's note about it.

        Returns:
            Its record, and the token itself, which is stored nowhere.
        """
        name, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        scope = None if projects is None else frozenset(projects)
        token = Token(name, scope, note, _now())
        with self._connection:
            self._connection.execute(
                "INSERT INTO upload_token VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                (name, _digest(secret), int(scope is None), note, token.created.timestamp()),
            )
            self._connection.executemany(
                "INSERT INTO upload_token_project VALUES (?, ?)",
                [(name, project) for project in scope or ()],
            )
        return token, f"securepip-{name}-{secret}"

    def find(self, text: str) -> Token | None:
        """The record of the token ``text``; None if it is unknown or revoked.

        The time that this takes tells an attacker nothing about the secret: only the id is looked
        up, and digests are compared in constant time.
        """
        parts = _TOKEN.fullmatch(text)
        name, secret = parts.groups() if parts else ("", "")
        row = self._connection.execute(
            "SELECT digest FROM upload_token WHERE id = ?", (name,)
        ).fetchone()
        kept = row[0] if row else _digest("of no token")
        if not hmac.compare_digest(str(kept), _digest(secret)) or row is None:
            return None
        token = self.get(name)
        return token if token is not None and token.revoked is None else None

    def get(self, name: str) -> Token | None:
        """The record of the token with that id, valid or revoked; None if there is none."""
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM upload_token WHERE id = ?",  # noqa: S608 # constants
            (name,),
        ).fetchone()
        return None if row is None else self._token(row)

    def all(self) -> list[Token]:
        """The records of all tokens that were ever made, the oldest first."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM upload_token ORDER BY created, id"  # noqa: S608 # constants
        )
        return [self._token(row) for row in rows.fetchall()]

    def revoke(self, name: str) -> bool:
        """Revoke the token with that id.

        Returns:
            Whether it was valid until now.

        Raises:
            RepositoryStateError: There is no such token.
        """
        with self._connection:
            updated = self._connection.execute(
                "UPDATE upload_token SET revoked = ? WHERE id = ? AND revoked IS NULL",
                (_now().timestamp(), name),
            )
        if not updated.rowcount and self.get(name) is None:
            raise RepositoryStateError(
                f"there is no token {name!r}",
                remedy="securepip repo token list shows the id of each, in its first column.",
            )
        return updated.rowcount > 0

    def mark_used(self, names: Iterable[str]) -> None:
        """Remember that something was published with the tokens of these ids just now."""
        now = _now().timestamp()
        with self._connection:
            self._connection.executemany(
                "UPDATE upload_token SET used = ? WHERE id = ?", [(now, name) for name in names]
            )

    def _token(self, row: tuple[str, int, str, float, float | None, float | None]) -> Token:
        name, every_project, note, created, used, revoked = row
        rows = self._connection.execute(
            "SELECT project FROM upload_token_project WHERE id = ?", (name,)
        )
        scope = frozenset(NormalizedName(project) for (project,) in rows)
        moments = (None if each is None else _moment(each) for each in (used, revoked))
        return Token(name, None if every_project else scope, note, _moment(created), *moments)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
