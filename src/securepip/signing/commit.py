"""Signing roles and making them current, in the one order that survives being killed.

Rule: the new timestamp is the last file written. Until it is there, nothing that is current names
anything that was written before; what a killed run leaves behind is overwritten by the next one.

Source: TUF specification 6 (repository operations) and PEP 458 (consistent snapshots).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from securepip.errors import RepositoryStateError
from securepip.formats.layout import BINS_ROLE, CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE
from securepip.signing.config import Expiry
from securepip.signing.files import Writer, flush
from securepip.signing.keys import KeyRing
from securepip.signing.roles import TIMESTAMP_NAME, S

_WITH_LENGTH = ("targets", BINS_ROLE, CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE)
# Validation re-reads what was written; python-tuf's own types cannot be built wrongly here.
_COMPACT = JSONSerializer(compact=True)

Delegator = Root | Targets


def now() -> datetime:
    """The moment, in whole seconds of UTC as TUF writes them."""
    return datetime.now(timezone.utc).replace(microsecond=0)


class Committer:
    """Signs roles with the keys at hand and writes them.

    Args:
        folder: The repository's ``metadata`` folder.
        writer: Writes its files.
        expiry: How long signatures are valid.
        keys: Where signers come from.
    """

    def __init__(self, folder: Path, writer: Writer, expiry: Expiry, keys: KeyRing) -> None:
        self._folder = folder
        self._writer = writer
        self._expiry = expiry
        self._keys = keys

    def sign_root(self, root: Metadata[Root], signed_by: Root) -> bytes:
        """Sign ``root`` with the root keys that ``signed_by`` names, and write it.

        Raises:
            RepositoryStateError: Fewer keys than its threshold are here.
        """
        data = self._sign(root, signed_by, "root")
        self._writer.write(self._folder / f"{root.signed.version}.root.json", data)
        return data

    def commit(
        self,
        root: Root,
        timestamp: Metadata[Timestamp],
        snapshot: Metadata[Snapshot],
        changed: Mapping[str, Metadata[Targets]],
        delegator_of: Callable[[str], Delegator],
    ) -> tuple[str, ...]:
        """Sign ``changed`` with their next versions, then the snapshot, then the timestamp.

        The objects that are passed are changed. When this returns, they are current; when it
        raises, or never returns, what was current still is.

        Returns:
            The names of the roles that were signed.

        Raises:
            RepositoryStateError: A key is not here.
        """
        listed = snapshot.signed.meta
        for name, metadata in changed.items():
            before = listed.get(f"{name}.json")
            version = before.version + 1 if before else 1
            metadata.signed.version = version
            data = self._sign(metadata, delegator_of(name), name)
            self._writer.write(self._folder / f"{version}.{name}.json", data)
            # Bins carry a version only: with thousands of them, this is the size of the snapshot.
            length = len(data) if name in _WITH_LENGTH else None
            listed[f"{name}.json"] = MetaFile(version, length)
        snapshot.signed.version += 1
        data = self._sign(snapshot, root, "snapshot")
        self._writer.write(self._folder / f"{snapshot.signed.version}.snapshot.json", data)
        timestamp.signed.snapshot_meta = MetaFile.from_data(
            snapshot.signed.version, data, ["sha256"]
        )
        self.renew_timestamp(root, timestamp)
        return (*changed, "snapshot", "timestamp")

    def renew_timestamp(self, root: Root, timestamp: Metadata[Timestamp]) -> None:
        """Sign ``timestamp`` with its next version and make it current.

        Raises:
            RepositoryStateError: Its key is not here.
        """
        timestamp.signed.version += 1
        data = self._sign(timestamp, root, "timestamp")
        flush()
        self._writer.write(self._folder / TIMESTAMP_NAME, data)

    def _sign(self, metadata: Metadata[S], delegator: Delegator, name: str) -> bytes:
        metadata.signed.expires = now() + self._expiry.of(name)
        metadata.signatures.clear()
        threshold = delegator.get_delegated_role(name).threshold
        signers = self._signers(delegator, name)
        if len(signers) < threshold:
            raise RepositoryStateError(
                f"the role {name} cannot be signed: {len(signers)} of {threshold} keys are here",
                remedy="--keys DIR names the folder of the online key, --offline-keys DIR that of "
                "the offline ones.",
            )
        for signer in signers[:threshold]:
            metadata.sign(signer, append=True)
        return metadata.to_bytes(_COMPACT)

    def _signers(self, delegator: Delegator, name: str) -> list[Signer]:
        keyids = delegator.get_delegated_role(name).keyids
        found = (self._keys.find(delegator.get_key(keyid)) for keyid in keyids)
        return [signer for signer in found if signer is not None]
