"""Everything that a repository remembers goes through this: a folder with SQLite, or a database.

Rule: nothing outside of ``state`` knows where the ledger, the log, the settings and the lock are.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from securepip.signing.repository.config import Config
from securepip.signing.repository.state.ledger import Ledger
from securepip.signing.repository.state.log import Log
from securepip.signing.repository.state.tokens import Tokens
from securepip.signing.repository.state.under_way import UnderWay


class State(Protocol):
    """The memory of one repository."""

    @property
    def address(self) -> str:
        """Where it is, for people."""

    @property
    def ledger(self) -> Ledger:
        """What was signed and revoked, and what is known of the current state."""

    @property
    def log(self) -> Log:
        """What was signed, when, and why."""

    @property
    def tokens(self) -> Tokens:
        """Who may upload, and to which projects."""

    @property
    def under_way(self) -> UnderWay:
        """What was begun and waits for its end."""

    def settings(self) -> Config:
        """The settings, read anew: another process may have changed them.

        Raises:
            RepositoryStateError: They are damaged.
        """

    def keep_settings(self, config: Config) -> None:
        """Change the settings, durably. The lock must be held.

        Raises:
            RepositoryStateError: They say that the repository is moved away, and uploads wait.
        """

    def lock(self) -> AbstractContextManager[bool]:
        """Let no other process change the repository meanwhile. May be nested.

        Its value says whether this is the outermost one.

        Raises:
            RepositoryStateError: Another process holds it for too long.
        """

    def close(self) -> None:
        """Close what is open."""
