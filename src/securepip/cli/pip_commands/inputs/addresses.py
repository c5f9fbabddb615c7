"""Fetches what the user names by address: requirements files, and distributions with hashes.

Rule: a distribution is used only if its bytes have a hash that the user named. A requirements file
is used as it comes, like one on disk: the user is responsible for it.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from securepip.errors import TransportError, VerificationError
from securepip.formats.digests import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from securepip.cli.options import Network
    from securepip.cli.pip_commands.inputs.indexes import Indexes
    from securepip.transport import Transport

_MAX_REQUIREMENTS_BYTES = 64 << 20
_MAX_DISTRIBUTION_BYTES = 16 << 30


@dataclass(frozen=True)
class Addresses:
    """Fetches from addresses, with the credentials of the indexes that are named.

    Attributes:
        network: How servers are reached.
        indexes: The indexes that this run names.
    """

    network: Network
    indexes: Indexes

    @property
    def trusted_hosts(self) -> tuple[str, ...]:
        """Hosts whose TLS certificates are not checked."""
        return (*self.network.trusted_hosts, *self.indexes.said.trusted_hosts)

    def connect(self, believed: Iterable[str] = ()) -> Transport:
        """A client for the named indexes, and for ``believed``, the addresses of repositories."""
        named = (*self.indexes.named, *self.indexes.places.configured, *believed)
        return self.network.transport(named, self.indexes.said.trusted_hosts)

    def read(self, url: str) -> bytes:
        """Fetch a requirements file or a lock file.

        Raises:
            TransportError: It cannot be fetched, or is too long.
        """
        with self.connect() as transport:
            try:
                return transport.get(url, max_bytes=_MAX_REQUIREMENTS_BYTES).body
            except TransportError as error:
                if error.status is not None:
                    raise
                # pip's name for this kind of error, which users search for.
                raise TransportError(
                    f"connection-failed: {error.what}", url=error.url, remedy=error.remedy
                ) from None

    def fetch(self, url: str, hashes: frozenset[str], stack: ExitStack) -> Path:
        """Fetch a distribution, and check that it has one of the hashes.

        Args:
            url: The address.
            hashes: ``algorithm:hex digits``, each.
            stack: Deletes the file when it is closed.

        Raises:
            TransportError: It cannot be fetched.
            VerificationError: It has none of the hashes.
        """
        from securepip.redaction import redact

        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="securepip-"))
        path = Path(folder, "direct")
        with self.connect() as transport, path.open("xb") as stream:
            transport.download(url, stream, max_bytes=_MAX_DISTRIBUTION_BYTES)
        actual = set()
        for algorithm in {one.partition(":")[0] for one in hashes}:
            with path.open("rb") as stream:
                actual.add(f"{algorithm}:{_digest(stream, algorithm)}")
        if not actual & hashes:
            raise VerificationError(
                f"{redact(url)} does not have the hash that you named",
                meaning=f"Expected {' or '.join(sorted(hashes))}\n"
                f"     Got {', '.join(sorted(actual))}",
                remedy="Nothing was installed. Ask whoever gave you the hash what changed.",
            )
        return path


def _digest(stream: BinaryIO, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
