"""Reads and verifies the signed roles of a repository, for the side that signs.

Rule: a file is not believed because it lies in the served folder. Every role is checked against the
keys and version that its delegator names, from the first root on, before its contents are signed
again. Otherwise an attacker who can write to the web server would get signatures for his changes.
Expiry does not matter here, because expired roles have to be renewed.

Source: TUF specification 5.3 to 5.6; python-tuf verifies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import TypeVar

from packaging.utils import NormalizedName
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

from securepip.errors import FormatError, RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import (
    ALL_ROLES,
    BINS_ROLE,
    CLAIMED_ROLE,
    METADATA_DIR,
    NAMED_FIELD,
    OWN_ROLES,
    project_of_role,
    project_of_target,
    project_role,
)
from securepip.formats.roles import Naming, check_role, is_named, naming_of
from securepip.signing.keys.canonical import CANONICAL
from securepip.signing.repository.claim_tree import (
    TOPS,
    Claim,
    ClaimTree,
    Keyholders,
    delegates,
    shard_parent,
)
from securepip.signing.repository.storage.interface import Reader, Storage
from securepip.signing.repository.storage.local import Folder

TIMESTAMP_NAME = "timestamp.json"
FRAME = ("targets", BINS_ROLE, CLAIMED_ROLE)
"""The roles below root that offline keys sign."""

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


class Top:
    """The root and the timestamp of a repository, verified.

    Args:
        metadata: Reads its ``metadata`` folder.
        root_sha256: The digest of its first root, which identifies the repository.
        timestamp: The bytes of the timestamp, if the caller has read them.
        root: A root that was verified before, so that earlier roots are not read again.

    Attributes:
        repository: The digest of the first root.
        root: The newest root.
        timestamp: The timestamp.

    Raises:
        RepositoryStateError: A role is missing, damaged, or not signed as its delegator says.
    """

    def __init__(
        self,
        metadata: Reader | Path,
        root_sha256: Sha256,
        timestamp: bytes | None = None,
        root: Metadata[Root] | None = None,
    ) -> None:
        self._metadata = Folder(metadata) if isinstance(metadata, Path) else metadata
        self.repository = root_sha256
        self.root = self._newest_root(root or self._first_root(root_sha256))
        data = self._read(TIMESTAMP_NAME) if timestamp is None else timestamp
        self.timestamp = self._parse(TIMESTAMP_NAME, data, Timestamp)
        self._verify(self.root.signed, "timestamp", self.timestamp)
        self._read_more()

    def _read_more(self) -> None:
        """Read the roles below the timestamp that a subclass needs at once."""

    def _first_root(self, first_sha256: Sha256) -> Metadata[Root]:
        """The first root, whose digest is remembered."""
        data = self._read("1.root.json")
        if sha256_of(data) != first_sha256:
            raise self._odd("1.root.json is not the root that this repository began with")
        root = self._parse("1.root.json", data, Root)
        self._verify(root.signed, "root", root)
        return root

    def _newest_root(self, root: Metadata[Root]) -> Metadata[Root]:
        """Walk from a verified root to the newest one."""
        while self._metadata.exists(f"{root.signed.version + 1}.root.json"):
            newer = self._load(f"{root.signed.version + 1}.root.json", Root)
            self._verify(root.signed, "root", newer)
            self._verify(newer.signed, "root", newer)
            if newer.signed.version != root.signed.version + 1:
                raise self._odd(f"{root.signed.version + 1}.root.json is of another version")
            root = newer
        return root

    def _load(self, filename: str, kind: type[S]) -> Metadata[S]:
        return self._parse(filename, self._read(filename), kind)

    def _parse(self, filename: str, data: bytes, kind: type[S]) -> Metadata[S]:
        try:
            metadata = Metadata[S].from_bytes(data)
        except RepositoryError as error:
            raise self._odd(f"{filename} is not signed metadata: {error}") from None
        if not isinstance(metadata.signed, kind):
            raise self._odd(f"{filename} is of another role")
        return metadata

    def _read(self, filename: str) -> bytes:
        try:
            return self._metadata.read(filename)
        except FileNotFoundError as error:
            raise self._odd(f"{filename} cannot be read: {error.strerror}") from None

    def _verify(self, delegator: Root | Targets, name: str, metadata: Metadata[S]) -> None:
        try:
            delegator.verify_delegate(
                name, CANONICAL.serialize(metadata.signed), metadata.signatures
            )
        except (RepositoryError, ValueError) as error:
            raise self._odd(f"the role {name} is not signed as it has to be: {error}") from None

    def _odd(self, what: str) -> RepositoryStateError:
        return RepositoryStateError(
            f"{self._metadata.address}: {what}",
            meaning="Something other than securepip changed or lost files of the repository.",
            remedy="Find out by whom, and restore the folder from a backup. Nothing was signed.",
        )


class Roles(Top):
    """All current roles of a repository, verified.

    Targets roles are read when they are first needed. Arguments and errors are those of ``Top``.
    """

    def _read_more(self) -> None:
        self._targets: dict[str, Metadata[Targets]] = {}
        self._naming: Naming | None = None
        meta = self.timestamp.signed.snapshot_meta
        self.snapshot = self._load(f"{meta.version}.snapshot.json", Snapshot)
        self._verify(self.root.signed, "snapshot", self.snapshot)
        if self.snapshot.signed.version != meta.version:
            raise self._odd(f"{meta.version}.snapshot.json is of another version")

    def frame(self) -> Roles:
        """A copy that keeps the frame in memory, and reads bins and roles of projects again."""
        roles = copy(self)
        kept = (*FRAME, *TOPS)
        roles._targets = {name: self._targets[name] for name in kept if name in self._targets}
        return roles

    @property
    def targets(self) -> Metadata[Targets]:
        """The top-level targets role."""
        return self.role("targets")

    @property
    def succinct(self) -> SuccinctRoles:
        """The delegation to the hash bins."""
        delegations = self.role(BINS_ROLE).signed.delegations
        if delegations is None or delegations.succinct_roles is None:
            raise self._odd("bins delegates to no hash bins")
        return delegations.succinct_roles

    def bin_names(self) -> Iterator[str]:
        """The names of all bins that are in use."""
        return self.succinct.get_roles()

    def role(self, name: str) -> Metadata[Targets]:
        """A role below root: ``targets``, one that it delegates to, a bin, a shard, a project."""
        role = self._targets[name] = self.read_once(name)
        return role

    def read_once(self, name: str) -> Metadata[Targets]:
        """As ``role``, but the role is not kept in memory. Use it to go through all bins."""
        if name not in self._targets:
            meta = self.meta(name)
            version = meta.version
            data = self._read(f"{version}.{name}.json")
            metadata = self._parse(f"{version}.{name}.json", data, Targets)
            delegator = self.delegator(name)
            self._verify(delegator, name, metadata)
            self._verify_digest(f"{version}.{name}.json", data, meta)
            if metadata.signed.version != version:
                raise self._odd(f"{version}.{name}.json is of another version")
            try:
                if name == "targets":
                    self._naming = Naming(self.repository).joined(naming_of(metadata.signed))
                check_role(name, metadata.signed, delegator, self.naming)
            except FormatError as error:
                raise self._odd(error.what) from None
            return metadata
        return self._targets[name]

    @property
    def naming(self) -> Naming:
        """The names that the roles of this repository have to carry."""
        if self._naming is None:
            self.role("targets")
        return self._naming or Naming(self.repository)

    def unnamed(self) -> list[str]:
        """The roles signed by the repository that do not carry their name and repository yet.

        Only a repository that an earlier version of securepip has made has such roles. Unless
        ``targets`` promises that there are none, all bins are read.
        """
        if self.naming.includes(BINS_ROLE):
            return []
        trees = (self.claims_below(top).roles() for top in TOPS)
        names = ("targets", BINS_ROLE, *(name for tree in trees for name in tree))
        return [
            name for name in (*names, *self.bin_names()) if not is_named(self.role(name).signed)
        ]

    def promise_names(self, targets: Targets, changed: Collection[str]) -> None:
        """Let ``targets`` promise clients that all roles carry their names, if they do.

        Args:
            targets: The new version of ``targets``, which is about to be signed.
            changed: The roles that are signed together with it, and then carry their names.
        """
        if set(self.unnamed()) - set(changed):
            return
        claims = (claim for top in TOPS for claim in self.claims_below(top).claims())
        every = all(is_named(self.role(claim.role).signed) for claim in claims)
        targets.unrecognized_fields[NAMED_FIELD] = ALL_ROLES if every else OWN_ROLES

    def adopt(self, name: str, metadata: Metadata[Targets], version: int | None = None) -> None:
        """Replace a role with metadata that the caller has verified and will write.

        Args:
            name: The role.
            metadata: Its new metadata.
            version: The version that the snapshot is to list; by default that of ``metadata``.
        """
        _ = self.naming  # determined now, from the role that is replaced and not from its successor
        self._targets[name] = metadata
        meta = MetaFile(version or metadata.signed.version)
        self.snapshot.signed.meta[f"{name}.json"] = meta

    def meta(self, name: str) -> MetaFile:
        """The entry of a role in the snapshot.

        Raises:
            RepositoryStateError: The snapshot does not list it.
        """
        try:
            return self.snapshot.signed.meta[f"{name}.json"]
        except KeyError:
            raise self._odd(f"the snapshot does not list {name}") from None

    def bin_of(self, target_path: str) -> str:
        """The name of the bin that ``target_path`` belongs to."""
        return self.succinct.get_role_for_target(target_path)

    def target(self, target_path: str) -> TargetFile | None:
        """The signed length and hash of a target; None if there is no such target."""
        project = project_of_target(target_path)
        claimed = project is not None and self.claim(project) is not None
        name = project_role(project) if project and claimed else self.bin_of(target_path)
        return self.role(name).signed.targets.get(target_path)

    def claim(self, project: NormalizedName) -> Claim | None:
        """The claim of ``project``; None if it does not sign for itself."""
        tops = (top for top in TOPS if delegates(self.role(top)))
        return next(filter(None, (self.claims_below(top).find(project) for top in tops)), None)

    def claims_below(self, top: str) -> ClaimTree:
        """The claims below ``claimed`` or ``recently-claimed``. Changes are made to copies."""
        return ClaimTree(top, self.role, self.holders(top))

    def holders(self, name: str) -> Keyholders:
        """The keys of a role, and how many of them have to sign."""
        delegator = self.delegator(name)
        role = delegator.get_delegated_role(name)
        return Keyholders(tuple(map(delegator.get_key, role.keyids)), role.threshold)

    def delegator(
        self, name: str, changed: Mapping[str, Metadata[Targets]] | None = None
    ) -> Root | Targets:
        """The role that names the keys of ``name``.

        Args:
            name: Any role.
            changed: New versions of some roles, which are used in place of the current ones.

        Raises:
            RepositoryStateError: No role delegates to ``name``.
        """
        if name in self.root.signed.roles:
            return self.root.signed
        if name in (BINS_ROLE, *TOPS):
            parent = "targets"
        elif project := project_of_role(name):
            claim = self.claim(project)
            if claim is None:
                raise self._odd(f"nobody delegates to {name}")
            parent = claim.delegator
        else:
            parent = shard_parent(name) or BINS_ROLE
        delegator = (changed or {}).get(parent) or self.role(parent)
        try:
            delegator.signed.get_delegated_role(name)
        except ValueError:
            raise self._odd(f"nobody delegates to {name}") from None
        return delegator.signed

    def _verify_digest(self, filename: str, data: bytes, meta: MetaFile) -> None:
        """Check the digest in the snapshot: two files of one version may be validly signed."""
        if meta.hashes:
            try:
                meta.verify_length_and_hashes(data)
            except RepositoryError as error:
                raise self._odd(
                    f"{filename} is not the one that was made current: {error}"
                ) from None


def next_version(storage: Reader, name: str, after: int) -> int:
    """The first version of a role above ``after`` that no file here has.

    A killed run may have left a signed file, and mirrors may have copied it. Of two signed files
    with one version and name, a client could not tell which one was made current. Versions of a
    thief's files are not used again either, because caches may still hold those files.

    Args:
        storage: The repository's storage.
        name: The role.
        after: The last version that is in use.
    """
    version = after + 1
    while storage.exists(f"{METADATA_DIR}/{version}.{name}.json"):
        version += 1
    return version


def write_next(
    storage: Storage, name: str, role: Snapshot | Targets, sign: Callable[[], bytes]
) -> bytes:
    """Write a role with the first version above its own that no file has; see ``next_version``.

    ``Storage.create`` finds out whether a file exists, which saves a request.

    Args:
        storage: The repository's storage.
        name: The name of the role.
        role: The role; its version is changed.
        sign: Signs the role as it is then, and returns the bytes of its file.

    Returns:
        The bytes of the file.
    """
    while True:
        role.version += 1
        data = sign()
        if storage.create(f"{METADATA_DIR}/{role.version}.{name}.json", data):
            return data
