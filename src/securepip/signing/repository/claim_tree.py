"""The trees of roles that hold the claims: ``claimed`` and ``recently-claimed`` with their shards.

Rule: the path patterns of one role's delegations never overlap, and the normalized name of a
project decides which role holds its claim. The delegation to a shard does *not* terminate, so that
clients still find unclaimed projects in the bins. The delegation to a project's role terminates.

Every client would fetch a flat list of ten thousand claims as a whole, and match every path against
one pattern after the other. So a shard holds the projects whose names begin with the same letters
(``claimed.ab`` for ``simple/ab*/*``). If it would hold too many, it delegates to shards for more
letters. ``claimed`` has shards for two letters from the first claim on. ``recently-claimed``, whose
projects soon move on, has shards only when it needs them. A shard is never removed, because a role
that was once in a snapshot stays in it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from packaging.utils import NormalizedName
from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Targets

from securepip.errors import FormatError, RepositoryStateError
from securepip.formats.layout import (
    CLAIMED_ROLE,
    PACKAGES_DIR,
    RECENTLY_CLAIMED_ROLE,
    SHARD_PREFIXES,
    SIMPLE_DIR,
    project_of_role,
    project_paths,
    project_role,
    shard_names,
)

TOPS = (CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE)
"""The roles that hold claims, in the order in which clients ask them."""

MAX_PROJECTS = 64
"""A shard that holds more projects than this is divided."""

_ALWAYS_DIVIDED = {CLAIMED_ROLE: 2, RECENTLY_CLAIMED_ROLE: 0}
"""The number of letters of the first shards, which exist in any case; 0 for no such shards."""

_SINCE = "x-securepip-since"

Read = Callable[[str], Metadata[Targets]]


@dataclass(frozen=True)
class Keyholders:
    """The keys whose signatures count for a role, and how many of them are needed.

    Attributes:
        keys: The public keys.
        threshold: How many of them have to sign.
    """

    keys: tuple[Key, ...]
    threshold: int

    @property
    def keyids(self) -> list[str]:
        """The ids of the keys."""
        return [key.keyid for key in self.keys]


@dataclass(frozen=True)
class Claim:
    """A project that signs for itself.

    Attributes:
        project: The name of the project.
        top: ``claimed`` or ``recently-claimed``.
        delegator: The role that delegates to the project's role: ``top`` or one of its shards.
        holders: The project's keys.
        since: The version of the project's role from which on these keys count. A statement about
            keys with an older version is replayed, and refused.
    """

    project: NormalizedName
    top: str
    delegator: str
    holders: Keyholders
    since: int

    @property
    def role(self) -> str:
        """The name of the project's role."""
        return project_role(self.project)


class ClaimTree:
    """The claims below one role, and changes to them.

    Args:
        top: ``claimed`` or ``recently-claimed``.
        read: Returns the current version of a role; the tree changes only copies of it.
        signers: The keys that sign ``top`` and its shards.
    """

    def __init__(self, top: str, read: Read, signers: Keyholders) -> None:
        self._top = top
        self._read = read
        self._signers = signers
        self.changed: dict[str, Metadata[Targets]] = {}
        """The changed roles, by name: they have to be signed."""

    def find(self, project: NormalizedName) -> Claim | None:
        """The claim of ``project`` in this tree; None if there is none."""
        name = self._top
        while True:
            roles = _roles(self.role(name))
            delegated = roles.get(project_role(project))
            if delegated is not None:
                return _claim(project, self._top, name, self.role(name).signed, delegated)
            below = next(
                (
                    shard
                    for shard in shard_names(self._top, project)
                    # Only to longer names: a hostile mirror could make roles delegate in a circle.
                    if shard in roles and len(shard) > len(name)
                ),
                None,
            )
            if below is None:
                return None
            name = below

    def claims(self) -> Iterator[Claim]:
        """All claims of this tree."""
        for name in self.roles():
            yield from claims_in(self._top, name, self.role(name))

    def roles(self) -> Iterator[str]:
        """The names of the tree's roles: the top one, and every shard."""
        waiting, seen = [self._top], {self._top}
        while waiting:
            name = waiting.pop()
            yield name
            new = [shard for shard in shards_in(self.role(name)) if shard not in seen]
            waiting += new
            seen |= set(new)

    def put(self, project: NormalizedName, holders: Keyholders, since: int) -> None:
        """Delegate ``project`` to ``holders``, in place of an earlier claim.

        Args:
            project: The project.
            holders: Its keys.
            since: The version of its role from which on they count.

        Raises:
            RepositoryStateError: A key has the id of another key.
        """
        name = self._place(project)
        paths = project_paths(project)
        role = DelegatedRole(
            project_role(project), holders.keyids, holders.threshold, True, paths,
            unrecognized_fields={_SINCE: since},
        )  # fmt: skip
        self._delegate(name, [(role, holders.keys)])
        self._divide(name)

    def drop(self, project: NormalizedName) -> None:
        """Remove the claim of ``project`` from this tree, if there is one."""
        claim = self.find(project)
        if claim is not None:
            changed = self._change(claim.delegator)
            _delegations(changed).roles.pop(claim.role)  # type: ignore[union-attr] # ours have
            _forget_unused_keys(changed)

    def rekey(self) -> None:
        """Delegate every shard to the keys of ``signers``, so that all are signed again."""
        for name in list(self.roles()):
            shards = shards_in(self.role(name))
            self._change(name)
            self._delegate(name, [(self._shard(shard), self._signers.keys) for shard in shards])

    def role(self, name: str) -> Metadata[Targets]:
        """A role of the tree, with the changes."""
        return self.changed[name] if name in self.changed else self._read(name)

    def _place(self, project: NormalizedName) -> str:
        """The role that holds or is to hold the claim of ``project``. Missing shards are made."""
        claim = self.find(project)
        if claim is not None:
            return claim.delegator
        name = self._top
        for letters in SHARD_PREFIXES:
            roles = _roles(self.role(name))
            divided = any(project_of_role(role) is None for role in roles)
            if letters > len(project) or not (divided or letters <= _ALWAYS_DIVIDED[self._top]):
                break
            name = self._below(name, f"{self._top}.{project[:letters]}")
        return name

    def _below(self, name: str, shard: str) -> str:
        if shard not in _roles(self.role(name)):
            self.changed[shard] = Metadata(Targets())
            self._delegate(name, [(self._shard(shard), self._signers.keys)])
        return shard

    def _shard(self, shard: str) -> DelegatedRole:
        paths = _shard_paths(shard.removeprefix(f"{self._top}."))
        return DelegatedRole(shard, self._signers.keyids, self._signers.threshold, False, paths)

    def _divide(self, name: str) -> None:
        """Move the projects of an overfull shard to shards for more letters."""
        claims = [role for role in _roles(self.role(name)).values() if project_of_role(role.name)]
        prefix = name.removeprefix(self._top).removeprefix(".")
        letters = next((n for n in SHARD_PREFIXES if n > len(prefix)), None)
        if len(claims) <= MAX_PROJECTS or letters is None:
            return
        groups: dict[str, list[DelegatedRole]] = {}
        for role in claims:
            project = project_of_role(role.name) or ""
            if len(project) >= letters:
                groups.setdefault(project[:letters], []).append(role)
        changed = self._change(name)
        keys = dict(_delegations(changed).keys)
        for start, roles in sorted(groups.items()):
            shard = self._below(name, f"{self._top}.{start}")
            self._delegate(
                shard, [(role, [keys[keyid] for keyid in role.keyids]) for role in roles]
            )
            for role in roles:
                _roles(changed).pop(role.name)
            self._divide(shard)
        _forget_unused_keys(changed)

    def _delegate(self, name: str, added: Sequence[tuple[DelegatedRole, Sequence[Key]]]) -> None:
        metadata = self._change(name)
        delegations = _delegations(metadata)
        roles = _roles(metadata)
        for role, keys in added:
            for key in keys:
                # All delegations share one list of keys. A key with the id of another key could
                # sign that key's roles.
                if delegations.keys.setdefault(key.keyid, key) != key:
                    raise RepositoryStateError(f"two keys go by the id {key.keyid}")
            roles[role.name] = role
        delegations.roles = dict(sorted(roles.items()))
        _forget_unused_keys(metadata)

    def _change(self, name: str) -> Metadata[Targets]:
        if name not in self.changed:
            # A copy: if signing fails, the role that was read has to be the current one still.
            self.changed[name] = copy.deepcopy(self._read(name))
        return self.changed[name]


def shards_in(metadata: Metadata[Targets]) -> list[str]:
    """The names of the shards that a role of the tree delegates to."""
    return [role for role in _roles(metadata) if project_of_role(role) is None]


def claims_in(top: str, name: str, metadata: Metadata[Targets]) -> Iterator[Claim]:
    """The claims in the role ``name``, which is ``top`` or one of its shards."""
    for delegated in _roles(metadata).values():
        project = project_of_role(delegated.name)
        if project is not None:
            yield _claim(project, top, name, metadata.signed, delegated)


def check_form(name: str, metadata: Metadata[Targets]) -> None:
    """Check that a role of the tree delegates as ``ClaimTree`` does, and nothing else.

    Raises:
        FormatError: The role signs targets itself, or delegates other paths to a role than those of
            its project or shard.
    """
    if metadata.signed.targets:
        raise FormatError(f"{name} would sign for targets itself")
    for delegated in _roles(metadata).values():
        project = project_of_role(delegated.name)
        prefix = delegated.name.removeprefix(f"{name.partition('.')[0]}.")
        paths = _shard_paths(prefix) if project is None else project_paths(project)
        below = project is not None or delegated.name != prefix
        if (
            not below
            or delegated.paths != paths
            or delegated.path_hash_prefixes is not None
            or delegated.terminating != (project is not None)
        ):
            raise FormatError(
                f"{name} would delegate to {delegated.name!r:.100} what is not its own"
            )


def shard_parent(role: str) -> str | None:
    """The role that delegates to a shard; None if ``role`` is no shard."""
    top, dot, prefix = role.partition(".")
    if not dot or top not in TOPS:
        return None
    shorter = [letters for letters in SHARD_PREFIXES if letters < len(prefix)]
    return f"{top}.{prefix[: shorter[-1]]}" if shorter else top


def _shard_paths(prefix: str) -> list[str]:
    return [f"{SIMPLE_DIR}/{prefix}*/*", f"{PACKAGES_DIR}/{prefix}*/*"]


def _claim(
    project: NormalizedName, top: str, delegator: str, targets: Targets, role: DelegatedRole
) -> Claim:
    keys = tuple(targets.get_key(keyid) for keyid in role.keyids)
    since = role.unrecognized_fields.get(_SINCE)
    holders = Keyholders(keys, role.threshold)
    return Claim(project, top, delegator, holders, since if isinstance(since, int) else 1)


def delegates(metadata: Metadata[Targets]) -> bool:
    """Whether a role delegates. In most repositories, ``claimed`` does not."""
    return bool(_roles(metadata))


def _roles(metadata: Metadata[Targets]) -> dict[str, DelegatedRole]:
    delegations = metadata.signed.delegations
    return {} if delegations is None or delegations.roles is None else delegations.roles


def _delegations(metadata: Metadata[Targets]) -> Delegations:
    if metadata.signed.delegations is None:
        metadata.signed.delegations = Delegations({}, {})
    return metadata.signed.delegations


def _forget_unused_keys(metadata: Metadata[Targets]) -> None:
    used = {keyid for role in _roles(metadata).values() for keyid in role.keyids}
    delegations = _delegations(metadata)
    delegations.keys = {keyid: key for keyid, key in delegations.keys.items() if keyid in used}
