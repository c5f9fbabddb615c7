"""Compares two states of a repository.

Rule: both states are verified, from the first root on, before they are compared. The comparison is
between what clients are given: the targets of a project that signs for itself come from its own
role, and what the bins say of it does not count.

Source: PEP 458 and PEP 480, "Auditing Snapshots".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Timestamp

from securepip.errors import RepositoryStateError, SecurepipError, TransportError, VerificationError
from securepip.formats.digests import Sha256, parse_sha256
from securepip.formats.layout import METADATA_DIR, project_of_target
from securepip.signing.offline.proposal import BIN_ROLE, OFFLINE_ROLES, ONLINE_ROLES
from securepip.signing.repository.claim_tree import TOPS, Keyholders
from securepip.signing.repository.roles import TIMESTAMP_NAME, Roles
from securepip.signing.repository.storage.interface import Reader, StorageError
from securepip.transport import Transport, redact
from securepip.trust.bootstrap import MAX_ROOT_BYTES, MAX_ROOT_VERSIONS
from securepip.updater.session import MAX_TARGETS_BYTES

MAX_SNAPSHOT_BYTES = 64 << 20
_ROLE_FILE = re.compile(r"[a-z0-9][a-z0-9._-]{0,250}\.json")
_NOBODY = Keyholders((), 0)


@dataclass(frozen=True)
class TargetChange:
    """A target that differs.

    Attributes:
        path: Its target path.
        before: Its digest in the first state; None if it is not there.
        after: Its digest in the second state; None if it is not there.
    """

    path: str
    before: Sha256 | None
    after: Sha256 | None


@dataclass(frozen=True)
class KeyChange:
    """A role, or a project, whose keys differ.

    Attributes:
        role: The name of the role; ``bin-n`` for all bins.
        gone: The ids of the keys that only the first state names.
        came: The ids of the keys that only the second state names.
        thresholds: Its threshold in the first and in the second state; 0 if nobody delegates to it.
    """

    role: str
    gone: tuple[str, ...]
    came: tuple[str, ...]
    thresholds: tuple[int, int]


@dataclass(frozen=True)
class Comparison:
    """The differences between two states.

    Attributes:
        targets: The targets that differ, sorted by path.
        keys: The roles whose keys differ.
        older: Roles that have an older version in the second state, with both versions.
    """

    targets: tuple[TargetChange, ...]
    keys: tuple[KeyChange, ...]
    older: tuple[tuple[str, int, int], ...]

    def __bool__(self) -> bool:
        return bool(self.targets or self.keys or self.older)


def compare(first: Roles, second: Roles) -> Comparison:
    """Compare two states.

    Raises:
        VerificationError: A role of one of them is not signed as it has to be.
        StorageError: One of them cannot be read just now.
    """
    try:
        return Comparison(
            tuple(_target_changes(first, second)),
            tuple(_key_changes(first, second)),
            tuple(_older(first, second)),
        )
    except RepositoryStateError as error:
        raise _unverified(error) from None


def read_state(metadata: Reader | Path, root_sha256: Sha256) -> Roles:
    """Open a state. Each of its roles is verified when it is read.

    Raises:
        VerificationError: It is not signed as it has to be.
        StorageError: It cannot be read just now.
    """
    try:
        return Roles(metadata, root_sha256)
    except RepositoryStateError as error:
        raise _unverified(error) from None


def fetch_state(location: str, folder: Path, transport: Transport, root_sha256: Sha256) -> Roles:
    """Fetch the metadata that a mirror serves, and open it as a state.

    Args:
        location: The mirror's base URL, with a slash at the end.
        folder: An empty folder, for the metadata.
        transport: Fetches it.
        root_sha256: The digest of the first root.

    Raises:
        VerificationError: It is not signed as it has to be.
        TransportError: It cannot be fetched.
    """
    base = f"{location}{METADATA_DIR}/"

    def fetch(name: str, most: int) -> None:
        (folder / name).write_bytes(transport.get(base + name, max_bytes=most).body)

    for version in range(1, MAX_ROOT_VERSIONS + 1):
        try:
            fetch(f"{version}.root.json", MAX_ROOT_BYTES)
        except TransportError as error:
            if version > 1 and error.status in (403, 404):
                break
            raise
    fetch(TIMESTAMP_NAME, MAX_ROOT_BYTES)
    try:
        timestamp = Metadata[Timestamp].from_file(str(folder / TIMESTAMP_NAME)).signed
        fetch(f"{timestamp.snapshot_meta.version}.snapshot.json", MAX_SNAPSHOT_BYTES)
    except (RepositoryError, AttributeError) as error:
        raise VerificationError(f"{redact(base)}{TIMESTAMP_NAME} is none: {error}") from None
    state = read_state(folder, root_sha256)
    listed = state.snapshot.signed.meta
    for name in listed:
        # An attacker may have signed the snapshot: no name in it may lead out of the folder.
        if not _ROLE_FILE.fullmatch(name):
            raise VerificationError(f"{redact(base)} lists a role that cannot be: {name!r:.80}")
    names = [f"{meta.version}.{name}" for name, meta in listed.items()]
    for _ in transport.map(lambda name: fetch(name, MAX_TARGETS_BYTES), names):
        pass
    return state


def targets_of(roles: Roles) -> dict[str, Sha256]:
    """The digest of every target that clients are given, by path.

    Raises:
        RepositoryStateError: A role is not signed as it has to be.
    """
    digests: dict[str, Sha256] = {}
    claims = [claim for top in TOPS for claim in roles.claims_below(top).claims()]
    claimed = {claim.project for claim in claims}
    for name in roles.bin_names():
        for path, target in roles.role(name).signed.targets.items():
            if project_of_target(path) not in claimed:
                digests[path] = parse_sha256(target.hashes.get("sha256"))
    # In reverse order, so that `claimed`, which clients ask first, overwrites `recently-claimed`.
    for claim in reversed(claims):
        for path, target in roles.role(claim.role).signed.targets.items():
            if project_of_target(path) == claim.project:
                digests[path] = parse_sha256(target.hashes.get("sha256"))
    return digests


def _target_changes(first: Roles, second: Roles) -> Iterator[TargetChange]:
    before, after = targets_of(first), targets_of(second)
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            yield TargetChange(path, before.get(path), after.get(path))


def _key_changes(first: Roles, second: Roles) -> Iterator[KeyChange]:
    before, after = holders_of(first), holders_of(second)
    for role in [*before, *(role for role in after if role not in before)]:
        old, new = before.get(role, _NOBODY), after.get(role, _NOBODY)
        if (set(old.keyids), old.threshold) != (set(new.keyids), new.threshold):
            yield KeyChange(
                role,
                tuple(keyid for keyid in old.keyids if keyid not in new.keyids),
                tuple(keyid for keyid in new.keyids if keyid not in old.keyids),
                (old.threshold, new.threshold),
            )


def holders_of(roles: Roles) -> dict[str, Keyholders]:
    """The keys of each role: the frame, all bins as one, and every project that signs for itself.

    Raises:
        RepositoryStateError: A role is not signed as it has to be.
    """
    holders = {}
    for name in (*OFFLINE_ROLES, *ONLINE_ROLES):
        holders[name] = roles.holders(next(roles.bin_names()) if name == BIN_ROLE else name)
    for top in TOPS:
        for claim in roles.claims_below(top).claims():
            holders.setdefault(claim.role, claim.holders)
    return holders


def _older(first: Roles, second: Roles) -> Iterator[tuple[str, int, int]]:
    known = _versions(first)
    for name, version in _versions(second).items():
        before = known.get(name, 0)
        if version < before:
            yield name, before, version


def _versions(roles: Roles) -> dict[str, int]:
    listed = roles.snapshot.signed.meta
    return {
        "root": roles.root.signed.version,
        "timestamp": roles.timestamp.signed.version,
        "snapshot": roles.snapshot.signed.version,
        **{name.removesuffix(".json"): meta.version for name, meta in listed.items()},
    }


def _unverified(error: RepositoryStateError) -> SecurepipError:
    if isinstance(error, StorageError):
        return error  # nothing was found to be wrong
    return VerificationError(
        error.what,
        meaning="This copy is damaged, or somebody changed it: it proves nothing.",
        remedy="Compare with another copy.",
    )
