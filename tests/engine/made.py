"""A repository that remembers in a database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from securepip.engine.state import DatabaseSite
from securepip.formats.digests import Sha256
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.site import FolderSite


@dataclass(frozen=True)
class Made:
    """It.

    Attributes:
        folder: What is served.
        url: The database.
        repository: The signing side; its offline keys are at hand too.
        online_keys: The folder of the online key.
        root_sha256: What clients pin.
    """

    folder: Path
    url: str
    repository: Repository
    online_keys: Path
    root_sha256: Sha256

    def open(self) -> Repository:
        """The repository once more, as another machine opens it."""
        site = DatabaseSite(FolderSite(self.folder), self.url)
        return Repository.open(site, keys=[self.online_keys])
