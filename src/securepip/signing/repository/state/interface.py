"""The interface to the memory of a repository: a folder with SQLite files, or a database.

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
        """Where the memory is, for people."""

    @property
    def ledger(self) -> Ledger:
        """What was signed and revoked, and the look-up tables of the current state."""

    @property
    def log(self) -> Log:
        """What was signed, when, and why."""

    @property
    def tokens(self) -> Tokens:
        """Who may upload, and to which projects."""

    @property
    def under_way(self) -> UnderWay:
        """The files of work that was begun and not finished."""

    def settings(self) -> Config:
        """The settings. They are read each time: another process may have changed them.

        Raises:
            RepositoryStateError: They are damaged.
        """

    def keep_settings(self, config: Config) -> None:
        """Write the settings durably. The lock must be held.

        Raises:
            RepositoryStateError: They say that the repository moves away, and uploads wait.
        """

    def lock(self) -> AbstractContextManager[bool]:
        """Keep other processes from changing the repository. It may be nested.

        The value of the context manager says whether this is the outermost lock.

        Raises:
            RepositoryStateError: Another process holds the lock for too long.
        """

    def close(self) -> None:
        """Close all files and connections."""
