"""Where a repository is: what it serves, what it remembers, and this machine's own folder for it.

Rule: whoever opens or makes a repository does it through a ``Site``; nothing else decides where its
parts are. A folder is one by default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from securepip.errors import RepositoryStateError
from securepip.formats.layout import METADATA_DIR, PACKAGES_DIR, SIMPLE_DIR
from securepip.signing.repository.config import (
    CONFIG_NAME,
    LOG_NAME,
    STATE_DIR,
    UNFINISHED_DIR,
    check_no_database,
    load_config,
)
from securepip.signing.repository.roles import TIMESTAMP_NAME
from securepip.signing.repository.state.interface import State
from securepip.signing.repository.state.local import LocalState
from securepip.signing.repository.storage.interface import Storage
from securepip.signing.repository.storage.local import LocalStorage

_OWN = {METADATA_DIR, SIMPLE_DIR, PACKAGES_DIR, STATE_DIR}


class Site(Protocol):
    """The places of one repository.

    Attributes:
        address: What people type to name it, without secrets.
        name: Its last part, for people.
        home: A folder of this machine that is not served, for what is under way and for reports.
        storage: What the repository serves.
        memory: What remembers for it, for people, without secrets.
    """

    @property
    def address(self) -> str: ...  # noqa: D102 # said above

    @property
    def name(self) -> str: ...  # noqa: D102 # said above

    @property
    def home(self) -> Path: ...  # noqa: D102 # said above

    @property
    def storage(self) -> Storage: ...  # noqa: D102 # said above

    @property
    def memory(self) -> str: ...  # noqa: D102 # said above

    def anew(self) -> Site:
        """The same places, for use from another thread."""

    def serves(self, path: Path) -> bool:
        """Whether what lies at ``path`` on this machine would be served, or looked for as such."""

    def make(self) -> State:
        """Make room for a new repository, and open its memory.

        Raises:
            RepositoryStateError: There is one already, or something else, or it cannot be made.
        """

    def take(self) -> State:
        """Make room for a repository that is moved here, and open what is to be its memory.

        Raises:
            RepositoryStateError: It cannot be made.
        """

    def open(self) -> State:
        """The memory of the repository that is here.

        Raises:
            RepositoryStateError: There is none.
        """


class FolderSite:
    """A repository in one folder of this machine. Implements ``Site``.

    Args:
        folder: It.
        unfinished: The folder in ``state`` for what is written. Who holds the lock empties it, so
            one who writes without has another.
    """

    def __init__(self, folder: Path, unfinished: str = UNFINISHED_DIR) -> None:
        self._folder = folder.absolute()
        self._unfinished = unfinished
        self.address = str(self._folder)
        self.name = self._folder.name
        self.home = self._folder / STATE_DIR
        self.memory = self.address
        self.storage = LocalStorage(self._folder, self.home / unfinished)

    def anew(self) -> FolderSite:
        """As ``Site.anew``."""
        return FolderSite(self._folder, self._unfinished)

    def serves(self, path: Path) -> bool:
        """As ``Site.serves``."""
        return any(
            each.is_relative_to(of)
            for each, of in (
                (path.absolute(), self._folder),
                (path.resolve(), self._folder.resolve()),
            )
        )

    def make(self) -> State:
        """As ``Site.make``."""
        folder = self._folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            check_no_database(folder)
            there = {entry.name for entry in folder.iterdir()}
            if (self.home / CONFIG_NAME).exists():
                raise RepositoryStateError(
                    f"{folder} is a repository already",
                    remedy=f"Name a new folder. What this one is: securepip repo status {folder}",
                )
            if there - _OWN or (there and STATE_DIR not in there):
                raise RepositoryStateError(
                    f"{folder} is not empty", remedy="Name a folder that does not exist."
                )
            self.home.mkdir(mode=0o700, exist_ok=True)
            for name in (METADATA_DIR, SIMPLE_DIR, PACKAGES_DIR):
                (folder / name).mkdir(exist_ok=True)
            # Of a run that was killed: there is no repository yet.
            (self.home / LOG_NAME).unlink(missing_ok=True)
            self.storage.delete(f"{METADATA_DIR}/{TIMESTAMP_NAME}")
        except OSError as error:
            raise RepositoryStateError(f"{folder} cannot be made: {error}") from None
        return LocalState(folder)

    def take(self) -> State:
        """As ``Site.take``."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RepositoryStateError(f"{self.home} cannot be made: {error}") from None
        return LocalState(self._folder)

    def open(self) -> State:
        """As ``Site.open``."""
        load_config(self._folder)  # before anything is made in a folder that is none
        return LocalState(self._folder)
