"""Signing roles and making them current, in the one order that survives being killed.

Rule: the new timestamp is the last file written. Until it is there, nothing that is current names
anything that was written before; what a killed run leaves behind is overwritten by the next one.

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
"""Up to so many bins, the snapshot gives the digest of each, and of more only the lengths.

In a compressed snapshot a length costs 4 bytes a bin and a digest 42: 10.6 kB for 256 bins, which
each client fetches again with every new snapshot, and 680 kB for 16,384. What keeps one bin from
passing for another, in any number of them, is the name in it.
"""

Delegator = Root | Targets


@dataclass(frozen=True)
class BinWork:
    """Bins to be changed in place.

    Attributes:
        delegator: The current role that delegates to them.
        naming: What roles of this repository have to say of themselves.
        bins: Which, and what changes in each.
        facts: Keeps what there is to know of them afterwards.
    """

    delegator: Metadata[Targets]
    naming: Naming
    bins: Changes
    facts: Aside[RoleFacts]


@dataclass(frozen=True)
class Committed:
    """What was signed, and is current.

    Attributes:
        names: The roles.
        timestamp: The bytes of the timestamp that made them current.
    """

    names: tuple[str, ...]
    timestamp: bytes


def now() -> datetime:
    """The moment, in whole seconds of UTC as TUF writes them."""
    return datetime.now(timezone.utc).replace(microsecond=0)


class Committer:
    """Signs roles with the keys at hand and writes them.

    Args:
        storage: What the repository serves.
        expiry: How long signatures are valid.
        keys: Where signers come from.
        log: Remembers what was signed.
        remember: Waits until all else that is remembered is on the disk (``Ledger.flush``).

    Attributes:
        log: That log, with the reason for what is signed.
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
            root: Its version is final already.
            signed_by: The root before it; the first root is signed by itself.
            anchored: The current timestamp, if there is one.

        Raises:
            RepositoryStateError: Fewer keys than its threshold are here.
        """
        root.signed.expires = now() + self._expiry.of("root")
        root.signatures.clear()
        self.add_signatures(root, signed_by, "root")
        return self.write_root(root, anchored)

    def write_root(self, root: Metadata[Root], anchored: Timestamp | None) -> bytes:
        """Make a root that is signed, and checked, the current one.

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
        """Sign ``changed`` with their next versions, then the snapshot, then the timestamp.

        Roles that are ``finished`` were signed elsewhere, by those whose keys are not here, and
        are published as they are; who passes them has checked them. The new timestamp ``replaces``
        a file of those bytes (None for none), or nothing becomes current. ``bins`` are those that
        are changed in place, in parallel.

        Roles that are signed here say their names, and that ``repository`` is the sha256 of the
        first root. The objects that are passed are changed. When this returns, they are current;
        when it raises, or never returns, what was current still is.

        Returns:
            What was signed.

        Raises:
            RepositoryStateError: A key is not here, or another process signs as well.
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
            signed: What it makes current, for the log.
            replaces: The bytes of the file that is current now; None for none.

        Returns:
            Its bytes.

        Raises:
            RepositoryStateError: Its key is not here, the log is not what was written, or another
                process has signed meanwhile.
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
        """Sign ``metadata`` with as many keys as ``delegator`` asks for, beside what has signed it.

        Raises:
            RepositoryStateError: Fewer are here, or one of them fails.
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
        """Sign bins, and know what there is to know of them; yields their names."""
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
        """Write a role as those have signed it whose keys are not here."""
        data = metadata.to_bytes(COMPACT)
        path = f"{METADATA_DIR}/{metadata.signed.version}.{name}.json"
        if self._storage.exists(path) and not self._storage.holds(path, sha256_of(data)):
            # Nothing current names it: a killed run has left it, or a thief changed it.
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
        # With its digest in the snapshot, who has stolen the role's key, and sits between the
        # repository and a client, cannot serve another file of the same version.
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
        found = (self._keys.find(delegator.get_key(keyid)) for keyid in keyids)
        return [signer for signer in found if signer is not None]


def _is_unpinned_bin(delegator: Delegator, root: Root) -> bool:
    """Whether it delegates to so many hash bins that the snapshot does not give their digests.

    Only where they are signed with the keys that sign the snapshot, so that who has stolen those
    gains nothing. Where keys are being replaced, root names the new ones first: these sign.
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
