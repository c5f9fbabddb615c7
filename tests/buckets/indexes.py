"""A repository in a bucket, for its operator and its clients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.signing.clients import updater
from tests.support.machine import Finished, Machine
from tests.support.store import Store


@dataclass(frozen=True)
class BucketIndex:
    """It.

    Attributes:
        operator: The machine that signs.
        store: Where it is.
        address: What the operator types.
        root_sha256: What clients pin.
    """

    operator: Machine
    store: Store
    address: str
    root_sha256: str

    @property
    def url(self) -> str:
        """The URL for clients."""
        return self.store.public_url(self.address)

    def key(self, name: str) -> str:
        """The key of a file in the bucket."""
        return f"{self.address.partition('://')[2].partition('/')[2]}/{name}"

    def read(self, name: str) -> bytes:
        """Read a file, as anybody can."""
        return self.store.get(self.key(name))

    def run(self, command: str, *words: str | Path, **variables: str) -> Finished:
        """Run ``securepip repo COMMAND ADDRESS …``."""
        return self.operator.run("repo", command, self.address, *words, **variables)

    def add(self, *wheels: Path) -> None:
        """Publish wheels."""
        done = self.run("add", *wheels)
        assert done.code == 0, done.err

    def look(self, folder: Path, *paths: str) -> list[bool]:
        """Let python-tuf refresh its state, and return whether each of these targets is there.

        Everything that is there is fetched.
        """
        here = folder / "first"
        (here / "metadata").mkdir(parents=True, exist_ok=True)
        (here / "metadata" / "1.root.json").write_bytes(self.read("metadata/1.root.json"))
        client = updater(here, folder, self.url)
        client.refresh()
        found = [client.get_targetinfo(path) for path in paths]
        for info in found:
            if info is not None:
                client.download_target(info)
        return [info is not None for info in found]
