"""A repository that remembers in a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from securepip.engine.opened import site_of
from securepip.formats.digests import Sha256
from securepip.formats.layout import METADATA_DIR
from securepip.signing.publish.create import create
from securepip.signing.repository.repository import Repository


@dataclass(frozen=True)
class Made:
    """It.

    Attributes:
        address: Where it is.
        folder: What is served; of a bucket, the first root alone, as clients have it.
        url: The database.
        repository: The signing side; its offline keys are at hand too.
        online_keys: The folder of the online key.
        root_sha256: What clients pin.
        public: Where everybody reads a bucket; None for a folder.
    """

    address: str
    folder: Path
    url: str
    repository: Repository
    online_keys: Path
    root_sha256: Sha256
    public: str | None = None

    def open(self) -> Repository:
        """The repository once more, as another machine opens it."""
        return Repository.open(site_of(self.address, self.url), keys=[self.online_keys])


@contextmanager
def make(
    address: str, folder: Path, url: str, keys: Path, public: str | None = None
) -> Iterator[Made]:
    """An empty one, with its keys in a new folder; the rest is as in ``Made``."""
    online = keys / "online"
    created = create(
        site_of(address, url), expected_files=10, online_keys=online, offline_keys=keys / "offline"
    )
    with created.repository as repository:
        if public is not None:
            (folder / METADATA_DIR).mkdir(parents=True)
            root = f"{METADATA_DIR}/1.root.json"
            (folder / root).write_bytes(repository.storage.read(root))
        yield Made(address, folder, url, repository, online, created.root_sha256, public)
