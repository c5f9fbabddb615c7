"""Signs roles and makes them current, in the one order that survives being killed.

Rule: the new timestamp is written last. Until then, no current role names any of the new files, so
clients do not see what a killed run leaves behind.

Source: TUF specification 6 (repository operations) and PEP 458 (consistent snapshots).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, parse_sha256, sha256_of
from securepip.formats.layout import METADATA_DIR
from securepip.formats.roles import Naming, name_role
from securepip.signing.keys.canonical import COMPACT, add_signature, sign_anew
from securepip.signing.keys.ring import KeyRing
from securepip.signing.repository.bins import Bin, Changes, Hand, are_worth_processes, sign_bins
from securepip.signing.repository.config import Expiry
from securepip.signing.repository.roles import TIMESTAMP_NAME, S, next_version, write_next
from securepip.signing.repository.state.known import RoleFacts
from securepip.signing.repository.state.later import Aside
from securepip.signing.repository.state.log import (
    Log,
    SignedRole,
    anchor_of,
    set_anchor,
    signed_aside,
)
from securepip.signing.repository.storage.interface import Storage

MAX_PINNED_BINS = 256
"""With at most this many bins, the snapshot gives the digest of each; with more, only lengths.

In a compressed snapshot, a length costs 4 bytes a bin and a digest 42: 10.6 kB for 256 bins, which
each client fetches again with every new snapshot, and 680 kB for 16,384. With any number of bins,
the name inside each one keeps it from passing for another.
"""

Delegator = Root | Targets


@dataclass(frozen=True)
class BinWork:
    """Bins to be changed one by one, without reading all of them into memory.

    Attributes:
        delegator: The current role that delegates to them.
        naming: The names that the roles of this repository have to carry.
        bins: The names of the bins, and the changes in each.
        facts: Collects the facts about the new bins.
    """

    delegator: Metadata[Targets]
    naming: Naming
    bins: Changes
    facts: Aside[RoleFacts]


@dataclass(frozen=True)
class Committed:
    """The roles that were signed and are current now.

    Attributes:
        names: The names of the roles.
        timestamp: The bytes of the timestamp that made them current.
    """

    names: tuple[str, ...]
    timestamp: bytes


def now() -> datetime:
    """The current time in UTC, in whole seconds as in TUF metadata."""
    return datetime.now(timezone.utc).replace(microsecond=0)


class Committer:
    """Signs roles with the keys at hand and writes them.

    Args:
        storage: The repository's storage.
        expiry: How long signatures are valid.
        keys: Finds the signers.
        log: Records what is signed.
        remember: Waits until the rest of the memory is on disk (``Ledger.flush``).

    Attributes:
        log: The log, with the reason for what is signed.
    """

    def __init__(
        self,
        storage: Storage,
        expiry: Expiry,
        keys: KeyRing,
        log: Log,
        remember: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._expiry = expiry
        self._keys = keys
        self._remember = remember
        self.log = log

    def sign_root(self, root: Metadata[Root], signed_by: Root, anchored: Timestamp | None) -> bytes:
        """Sign ``root`` with the root keys that ``signed_by`` names, and write it.

        Args:
            root: The new root, with its final version.
            signed_by: The root before it; for the first root, itself.
            anchored: The current timestamp; None for the first root.

        Returns:
            The bytes of the new root.

        Raises:
            RepositoryStateError: Fewer keys than its threshold are here.
        """
        root.signed.expires = now() + self._expiry.of("root")
        root.signatures.clear()
        self.add_signatures(root, signed_by, "root")
        return self.write_root(root, anchored)

    def write_root(self, root: Metadata[Root], anchored: Timestamp | None) -> bytes:
        """Make a signed and checked root the current one.

        Returns:
            The bytes of the root.

        Raises:
            RepositoryStateError: The log is not what was written.
        """
        data = root.to_bytes(COMPACT)
        before = None if anchored is None else anchor_of(anchored)
        self.log.append([_entry("root", root, data)], before)
        name = f"{METADATA_DIR}/{root.signed.version}.root.json"
        self._storage.write(name, data, durable=True)
        return data

    def commit(
        self,
        root: Root,
        timestamp: Metadata[Timestamp],
        snapshot: Metadata[Snapshot],
        changed: Mapping[str, Metadata[Targets]],
        delegator_of: Callable[[str], Delegator],
        repository: Sha256,
        finished: Mapping[str, Metadata[Targets]] | None = None,
        *,
        replaces: bytes | None,
        bins: BinWork | None = None,
    ) -> Committed:
        """Sign the next versions of roles, then the snapshot, then the timestamp.

        The metadata objects that are passed are changed. When this returns, they are current. If it
        raises, or the process is killed, the earlier state is still current.

        Args:
            root: The current root.
            timestamp: The current timestamp.
            snapshot: The current snapshot.
            changed: The roles to sign, by name.
            delegator_of: Returns the role that names the keys of a role.
            repository: The digest of the first root, which every role that is signed carries
                together with its name.
            finished: Roles that were signed with keys that are not here. The caller has checked
                them, and they are published as they are.
            replaces: The bytes of the timestamp that the new one replaces; None if there is none.
                If the file has other bytes, nothing becomes current.
            bins: Bins to be changed one by one.

        Returns:
            What was signed.

        Raises:
            RepositoryStateError: A key is not here, or another process has signed too.
        """
        listed = snapshot.signed.meta
        names = [*(finished or ()), *changed]
        with closing(signed_aside()) as signed:
            for name, metadata in (finished or {}).items():
                signed.add(self._write_finished(name, metadata, listed))
            for name, metadata in changed.items():
                name_role(metadata.signed, name, repository)
                signed.add(self._sign_role(name, metadata, delegator_of(name), root, listed))
            if bins is not None:
                names += self._sign_bins(root, bins, listed, repository, signed)
            data = write_next(
                self._storage,
                "snapshot",
                snapshot.signed,
                lambda: self._sign(snapshot, root, "snapshot"),
            )
            signed.add(_entry("snapshot", snapshot, data))
            timestamp.signed.snapshot_meta = MetaFile.from_data(
                snapshot.signed.version, data, ["sha256"]
            )
            written = self.renew_timestamp(root, timestamp, signed, replaces=replaces)
        return Committed((*names, "snapshot", "timestamp"), written)

    def renew_timestamp(
        self,
        root: Root,
        timestamp: Metadata[Timestamp],
        signed: Iterable[SignedRole] = (),
        *,
        replaces: bytes | None,
    ) -> bytes:
        """Sign ``timestamp`` with its next version and make it current.

        Args:
            root: The current root.
            timestamp: The current timestamp; it is changed.
            signed: The roles that it makes current, for the log.
            replaces: The bytes of the current timestamp file; None if there is none.

        Returns:
            The bytes of the new timestamp.

        Raises:
            RepositoryStateError: Its key is not here, the log is not what was written, or another
                process has signed too.
        """
        before = anchor_of(timestamp.signed)
        timestamp.signed.version += 1
        keyids = tuple(each.public_key.keyid for each in self._needed(root, "timestamp"))
        snapshot = parse_sha256((timestamp.signed.snapshot_meta.hashes or {}).get("sha256"))
        entry = SignedRole("timestamp", timestamp.signed.version, snapshot, keyids)
        set_anchor(timestamp.signed, self.log.append(chain(signed, [entry]), before))
        data = self._sign(timestamp, root, "timestamp")
        self._storage.flush()
        self._remember()
        self._storage.replace(f"{METADATA_DIR}/{TIMESTAMP_NAME}", data, replaces)
        return data

    def add_signatures(self, metadata: Metadata[S], delegator: Delegator, name: str) -> None:
        """Add as many signatures to ``metadata`` as the threshold in ``delegator`` asks for.

        Raises:
            RepositoryStateError: Fewer keys are here, or one of them fails.
        """
        for signer in self._needed(delegator, name):
            add_signature(metadata, signer, name)

    def _sign_bins(
        self,
        root: Root,
        work: BinWork,
        listed: dict[str, MetaFile],
        repository: Sha256,
        signed: Aside[SignedRole],
    ) -> Iterator[str]:
        """Sign bins, list them in the snapshot, and collect the facts; yields their names."""
        delegator = work.delegator.signed
        coming = iter(work.bins)
        first = next(coming, None)
        if first is None:
            return

        def bins() -> Iterator[Bin]:
            for name, edits in chain([first], coming):
                meta = listed[f"{name}.json"]
                yield Bin(name, meta.version, (meta.hashes or {}).get("sha256"), edits)

        pinned = not _is_unpinned_bin(delegator, root)
        expires = now() + self._expiry.of(first[0])
        hand = Hand(
            self._storage, work.delegator.to_bytes(COMPACT), work.naming, repository, expires
        )
        signers = self._needed(delegator, first[0])
        are_many = are_worth_processes(work.bins)
        for done in sign_bins(hand, signers, bins(), are_many=are_many):
            facts = done.facts
            hashes: dict[str, str] | None = {"sha256": done.sha256} if pinned else None
            listed[f"{facts.name}.json"] = MetaFile(facts.version, done.length, hashes)
            signed.add(SignedRole(facts.name, facts.version, done.sha256, done.keyids))
            work.facts.add(facts)
            yield facts.name

    def _write_finished(
        self, name: str, metadata: Metadata[Targets], listed: dict[str, MetaFile]
    ) -> SignedRole:
        """Write a role that was signed with keys that are not here."""
        data = metadata.to_bytes(COMPACT)
        path = f"{METADATA_DIR}/{metadata.signed.version}.{name}.json"
        if self._storage.exists(path) and not self._storage.holds(path, sha256_of(data)):
            # No current role names this file: a killed run has left it, or a thief has changed it.
            self._storage.delete(path)
        return self._write_role(name, metadata, data, listed, pinned=True)

    def _sign_role(
        self,
        name: str,
        metadata: Metadata[Targets],
        delegator: Delegator,
        root: Root,
        listed: dict[str, MetaFile],
    ) -> SignedRole:
        """Sign a role with its next version, and write it."""
        before = listed.get(f"{name}.json")
        after = before.version if before else 0
        metadata.signed.version = next_version(self._storage, name, after)
        data = self._sign(metadata, delegator, name)
        pinned = not _is_unpinned_bin(delegator, root)
        return self._write_role(name, metadata, data, listed, pinned=pinned)

    def _write_role(
        self,
        name: str,
        metadata: Metadata[Targets],
        data: bytes,
        listed: dict[str, MetaFile],
        *,
        pinned: bool,
    ) -> SignedRole:
        version = metadata.signed.version
        self._storage.write(f"{METADATA_DIR}/{version}.{name}.json", data)
        # The digest in the snapshot stops a thief of this role's key who can answer clients in the
        # repository's place: he cannot serve another file of the same version.
        listed[f"{name}.json"] = (
            MetaFile.from_data(version, data, ["sha256"])
            if pinned
            else MetaFile(version, length=len(data))
        )
        return _entry(name, metadata, data)

    def _sign(self, metadata: Metadata[S], delegator: Delegator, name: str) -> bytes:
        metadata.signed.expires = now() + self._expiry.of(name)
        return sign_anew(metadata, self._needed(delegator, name), name)

    def _needed(self, delegator: Delegator, name: str) -> list[Signer]:
        """As many signers of a role as its threshold asks for."""
        threshold = delegator.get_delegated_role(name).threshold
        signers = self._signers(delegator, name)
        if len(signers) < threshold:
            raise RepositoryStateError(
                f"the role {name} cannot be signed: {len(signers)} of {threshold} keys are here",
                remedy="--keys DIR names the folder of the online key, --offline-keys DIR that of "
                "the offline ones.",
            )
        return signers[:threshold]

    def _signers(self, delegator: Delegator, name: str) -> list[Signer]:
        keyids = delegator.get_delegated_role(name).keyids
        signers = (self._keys.find(delegator.get_key(keyid)) for keyid in keyids)
        return [signer for signer in signers if signer is not None]


def _is_unpinned_bin(delegator: Delegator, root: Root) -> bool:
    """Whether ``delegator`` delegates to bins whose digests the snapshot does not give.

    That is so if there are many bins, and their keys also sign the snapshot: a thief of those keys
    could sign other digests anyway. While keys are being replaced, root names the new keys first,
    and these sign.
    """
    delegations = delegator.delegations if isinstance(delegator, Targets) else None
    if delegations is None or delegations.succinct_roles is None:
        return False
    snapshot = root.roles["snapshot"]
    shared = set(delegations.succinct_roles.keyids) <= set(snapshot.keyids[: snapshot.threshold])
    return shared and delegations.succinct_roles.number_of_bins > MAX_PINNED_BINS


def _entry(role: str, metadata: Metadata[S], data: bytes) -> SignedRole:
    keyids = tuple(metadata.signatures)
    return SignedRole(role, metadata.signed.version, sha256_of(data), keyids)
