"""A repository with its state in a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from securepip.engine.opened import site_of
from securepip.formats.layout import METADATA_DIR
from securepip.signing.publish.create import create
from securepip.signing.repository.repository import Repository
from tests.support.repositories import MadeRepository


@dataclass(frozen=True)
class Made(MadeRepository):
    """The repository. If it is in a bucket, its folder has only the first root, for clients.

    Attributes:
        address: Where it is.
        url: The database.
        public: Where everybody reads a bucket; None for a folder.
    """

    address: str
    url: str
    public: str | None = None

    def open(self) -> Repository:
        """Open the repository again, as another machine."""
        return Repository.open(site_of(self.address, self.url), keys=[self.online_keys])


@contextmanager
def make(
    address: str, folder: Path, url: str, keys: Path, public: str | None = None
) -> Iterator[Made]:
    """Make an empty one, with its keys in a new folder. The other arguments are as in ``Made``."""
    online, offline = keys / "online", keys / "offline"
    created = create(
        site_of(address, url), expected_files=10, online_keys=online, offline_keys=offline
    )
    root = folder / METADATA_DIR / "1.root.json"
    with created.repository as repository:
        if public is not None:
            root.parent.mkdir(parents=True)
            root.write_bytes(repository.storage.read(f"{METADATA_DIR}/{root.name}"))
        yield Made(
            folder, repository, root, created.root_sha256, online, offline, address, url, public
        )
