"""The place of a repository: its storage, its memory, and its folder on this machine.

Rule: every repository is opened or made through a ``Site``, and nothing else decides where its
parts are. By default the site is a folder.
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
    """The place of one repository.

    Attributes:
        address: The address that people type, without secrets.
        name: Its last part, for people.
        home: A folder on this machine that is not served, for unfinished work and reports.
        storage: The files that the repository serves.
        memory: The address of the repository's memory, for people, without secrets.
    """

    @property
    def address(self) -> str: ...  # noqa: D102 # see the class

    @property
    def name(self) -> str: ...  # noqa: D102 # see the class

    @property
    def home(self) -> Path: ...  # noqa: D102 # see the class

    @property
    def storage(self) -> Storage: ...  # noqa: D102 # see the class

    @property
    def memory(self) -> str: ...  # noqa: D102 # see the class

    def anew(self) -> Site:
        """A new object for the same place, for use from another thread."""

    def serves(self, path: Path) -> bool:
        """Whether ``path`` on this machine is inside the repository, so that it may be served."""

    def make(self) -> State:
        """Prepare the place for a new repository, and open its memory.

        Raises:
            RepositoryStateError: The place is not empty, or it cannot be made.
        """

    def take(self) -> State:
        """Prepare the place for a repository that is moved here, and open its new memory.

        Raises:
            RepositoryStateError: It cannot be made.
        """

    def open(self) -> State:
        """Open the memory of the repository that is here.

        Raises:
            RepositoryStateError: There is no repository.
        """


class FolderSite:
    """A repository in one folder on this machine. Implements ``Site``.

    Args:
        folder: The folder.
        unfinished: The name of the folder in ``state`` for files that are being written. A process
            that takes the lock empties the default one, so code that writes without the lock needs
            another name.
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
            entries = {entry.name for entry in folder.iterdir()}
            if (self.home / CONFIG_NAME).exists():
                raise RepositoryStateError(
                    f"{folder} is a repository already",
                    remedy=f"Name a new folder. What this one is: securepip repo status {folder}",
                )
            if entries - _OWN or (entries and STATE_DIR not in entries):
                raise RepositoryStateError(
                    f"{folder} is not empty", remedy="Name a folder that does not exist."
                )
            self.home.mkdir(mode=0o700, exist_ok=True)
            for name in (METADATA_DIR, SIMPLE_DIR, PACKAGES_DIR):
                (folder / name).mkdir(exist_ok=True)
            # A killed run may have left these before there was a repository.
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
        load_config(self._folder)  # raises an error before anything is made in another folder
        return LocalState(self._folder)
