"""What the offline keys are asked to sign: the next root, and the next versions of other roles.

Rule: a proposal is final before anybody signs it, versions and expiry included. The current roles
say which signatures it needs; a new root needs those of the old root and its own. Nothing else
makes offline metadata current. Keys are replaced in three steps, and clients can follow at each. A
first root names old and new keys side by side. The new keys sign again what the old ones had
signed. A second root names the new keys alone. The replaced private keys are not needed for that.

Source: TUF specification 5.3 (root rotation) and 6.1 (key management).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Role, Root, Targets

from securepip.errors import RepositoryStateError
from securepip.formats.layout import BINS_ROLE, CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE
from securepip.formats.roles import name_role
from securepip.formats.words import counted
from securepip.signing.keys.canonical import add_signature
from securepip.signing.keys.ring import KeyRing
from securepip.signing.repository.claim_tree import ClaimTree, Keyholders
from securepip.signing.repository.commit import Delegator, now
from securepip.signing.repository.config import Expiry
from securepip.signing.repository.roles import Roles

BIN_ROLE = "bin-n"
"""The name of all bins together."""

ONLINE_ROLES = ("timestamp", "snapshot", RECENTLY_CLAIMED_ROLE, BIN_ROLE)
"""The roles whose keys are on the server."""

OFFLINE_ROLES = ("root", "targets", BINS_ROLE, CLAIMED_ROLE)
"""The roles whose keys are kept away from the server."""

_BELOW_TARGETS = (BINS_ROLE, CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE)


@dataclass(frozen=True)
class Replacement:
    """New keys for a role; its threshold stays.

    Attributes:
        role: One of ``ONLINE_ROLES`` or ``OFFLINE_ROLES``.
        out: The ids of the keys that go.
        keys: The new public keys.
    """

    role: str
    out: tuple[str, ...]
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Proposal:
    """Offline metadata that is to become current together.

    Attributes:
        why: What it is for, in words; the log records it.
        roots: The next roots, one version after the other.
        roles: The next versions of other roles, by name.
    """

    why: str
    roots: tuple[Metadata[Root], ...] = ()
    roles: Mapping[str, Metadata[Targets]] = field(default_factory=dict)

    def root(self, roles: Roles) -> Root:
        """The root that will be current in the end."""
        return self.roots[-1].signed if self.roots else roles.root.signed

    def delegator(self, name: str, roles: Roles) -> Delegator:
        """The role that will delegate to the role ``name`` in the end."""
        if name in roles.root.signed.roles:
            return self.root(roles)
        return roles.delegator(name, self.roles)

    def duties(self, roles: Roles) -> Iterator[Duty]:
        """The files that have to be signed; ``roles`` are the current ones."""
        before = roles.root.signed
        for root in self.roots:
            yield Duty("root", root, (before, root.signed))
            before = root.signed
        for name, metadata in self.roles.items():
            yield Duty(name, metadata, (self.delegator(name, roles),))


@dataclass(frozen=True)
class Duty:
    """One file that has to be signed.

    Attributes:
        role: The name of its role.
        metadata: Its contents; signatures are added to it.
        delegators: The roles that name its keys; the threshold of each has to be reached.
    """

    role: str
    metadata: Metadata[Root] | Metadata[Targets]
    delegators: tuple[Delegator, ...]

    @property
    def filename(self) -> str:
        """The name of its file."""
        return f"{self.metadata.signed.version}.{self.role}.json"

    def missing(self) -> list[tuple[int, tuple[str, ...]]]:
        """For each threshold that is not reached: how many signatures of which keys are missing."""
        results = (
            delegator.get_verification_result(
                self.role, self.metadata.signed_bytes, self.metadata.signatures
            )
            for delegator in self.delegators
        )
        return [(result.missing, tuple(result.unsigned)) for result in results if result.missing]

    def keyids_at_hand(self, ring: KeyRing) -> tuple[str, ...]:
        """The ids of the keys at hand that may sign it.

        Raises:
            RepositoryStateError: A key is here and cannot be loaded.
        """
        keys = (
            delegator.get_key(keyid)
            for delegator in self.delegators
            for keyid in delegator.get_delegated_role(self.role).keyids
        )
        return tuple(dict.fromkeys(key.keyid for key in keys if ring.find(key) is not None))

    def sign(self, ring: KeyRing) -> list[str]:
        """Add the missing signatures with the keys that are at hand.

        Returns:
            The ids of the keys that have signed now.

        Raises:
            RepositoryStateError: A key is here and fails.
        """
        signed: list[str] = []
        for delegator in self.delegators:
            for keyid in delegator.get_delegated_role(self.role).keyids:
                result = delegator.get_verification_result(
                    self.role, self.metadata.signed_bytes, self.metadata.signatures
                )
                if not result.missing:
                    break
                signer = ring.find(delegator.get_key(keyid)) if keyid in result.unsigned else None
                if signer is not None:
                    add_signature(self.metadata, signer, self.role)
                    signed.append(keyid)
        return signed


def check_signed(proposal: Proposal, roles: Roles, remedy: str = "") -> None:
    """Check that the signatures reach every threshold.

    Args:
        proposal: The signed proposal.
        roles: The current roles.
        remedy: What to do if signatures are missing; by default, text that fits any command.

    Raises:
        RepositoryStateError: Signatures are missing.
    """
    for duty in proposal.duties(roles):
        for count, keyids in duty.missing():
            raise RepositoryStateError(
                f"{duty.filename} is not signed: {counted(count, 'more signature')} of these "
                f"keys {'is' if count == 1 else 'are'} needed: {', '.join(keyids)}",
                remedy=remedy
                or "Where the command takes --offline-keys DIR, that names their folder. In a "
                "ceremony, a holder signs: securepip repo ceremony sign BUNDLE --keys DIR",
            )


def propose(
    roles: Roles,
    expiry: Expiry,
    *,
    why: str,
    replacements: Sequence[Replacement] = (),
    renew: Iterable[str] = (),
    claimed: Mapping[str, Metadata[Targets]] | None = None,
) -> Proposal:
    """Make the offline metadata that replaces keys, changes claims, or renews roles.

    Args:
        roles: The current roles.
        expiry: How long the new signatures are valid.
        why: What it is for, in words.
        replacements: The keys to replace.
        renew: Offline roles to sign again in any case; ``claimed`` includes its shards.
        claimed: The new contents of ``claimed`` and of its shards, as far as they change.

    Raises:
        RepositoryStateError: A key that is to go is none of the role's, or a role would have fewer
            keys than its threshold.
    """
    renew = set(renew)
    in_root = [each for each in replacements if each.role in roles.root.signed.roles]
    roots = _roots(roles.root, expiry, in_root) if in_root or "root" in renew else ()
    changed: dict[str, Metadata[Targets]] = copy.deepcopy(dict(claimed or {}))

    def change(name: str) -> Targets:
        if name not in changed:
            changed[name] = copy.deepcopy(roles.role(name))
        return changed[name].signed

    if "targets" in renew or any(each.role == "targets" for each in replacements):
        change("targets")
    for each in replacements:
        if each.role in _BELOW_TARGETS:
            _replace(change("targets"), each)
            if each.role == BINS_ROLE:
                change(BINS_ROLE)
        if each.role == BIN_ROLE:
            _replace(change(BINS_ROLE), each)
    if BINS_ROLE in renew:
        change(BINS_ROLE)
    if CLAIMED_ROLE in renew or any(each.role == CLAIMED_ROLE for each in replacements):
        changed |= _claimed(roles, changed)
    for name, metadata in changed.items():
        before = roles.snapshot.signed.meta.get(f"{name}.json")
        name_role(metadata.signed, name, roles.repository)
        finish(metadata, 1 + (before.version if before else 0), expiry, name)
    if "targets" in changed:
        roles.promise_names(changed["targets"].signed, changed)
    return Proposal(why, roots, changed)


def finish(
    metadata: Metadata[Root] | Metadata[Targets], version: int, expiry: Expiry, name: str
) -> None:
    """Give ``metadata`` its version and expiry, and remove the signatures of the version before."""
    metadata.signed.version = version
    metadata.signed.expires = now() + expiry.of(name)
    metadata.signatures.clear()


def _roots(
    current: Metadata[Root], expiry: Expiry, replacements: Sequence[Replacement]
) -> tuple[Metadata[Root], ...]:
    final = copy.deepcopy(current)
    for each in replacements:
        _replace(final.signed, each)
    below = [each.role for each in replacements if each.role != "root"]
    version = current.signed.version + 1
    if not below:
        finish(final, version, expiry, "root")
        return (final,)
    both = copy.deepcopy(final)
    for role in below:
        old, new = current.signed.roles[role].keyids, final.signed.roles[role].keyids
        # The new keys come first: signing uses the first keys that are at hand.
        both.signed.roles[role].keyids = [*new, *(keyid for keyid in old if keyid not in new)]
        both.signed.keys |= {keyid: current.signed.keys[keyid] for keyid in old}
    # This root still names the old keys, which may be stolen. It expires with the root before it:
    # otherwise an attacker who holds back the final root could use the stolen keys for longer.
    finish(both, version, expiry, "root")
    both.signed.expires = current.signed.expires
    finish(final, version + 1, expiry, "root")
    return both, final


def _claimed(
    roles: Roles, changed: Mapping[str, Metadata[Targets]]
) -> dict[str, Metadata[Targets]]:
    """``claimed`` and all its shards, to be signed by the keys that ``claimed`` will have."""
    delegator = roles.delegator(CLAIMED_ROLE, changed)
    role = delegator.get_delegated_role(CLAIMED_ROLE)
    keys = tuple(map(delegator.get_key, role.keyids))
    tree = ClaimTree(
        CLAIMED_ROLE,
        lambda name: changed[name] if name in changed else roles.role(name),
        Keyholders(keys, role.threshold),
    )
    tree.rekey()
    return tree.changed


def _replace(delegator: Delegator, replacement: Replacement) -> None:
    role = _delegated(delegator, replacement.role)
    wrong = [keyid for keyid in replacement.out if keyid not in role.keyids]
    if wrong:
        raise RepositoryStateError(
            f"the role {replacement.role} is not signed with the key {', '.join(wrong)}",
            remedy=f"Its keys are: {', '.join(role.keyids)}",
        )
    coming = [key.keyid for key in replacement.keys]
    going = [keyid for keyid in replacement.out if keyid not in coming]
    if isinstance(delegator, Root):
        for key in replacement.keys:
            delegator.add_key(key, replacement.role)
        for keyid in going:
            delegator.revoke_key(keyid, replacement.role)
    else:
        # python-tuf has no name for all bins together.
        name = None if replacement.role == BIN_ROLE else replacement.role
        for key in replacement.keys:
            delegator.add_key(key, name)
        for keyid in going:
            delegator.revoke_key(keyid, name)
    if len(role.keyids) < role.threshold:
        raise RepositoryStateError(
            f"the role {replacement.role} would have {counted(len(role.keyids), 'key')}, and "
            f"needs the signatures of {role.threshold}"
        )


def _delegated(delegator: Delegator, name: str) -> Role:
    if name == BIN_ROLE and isinstance(delegator, Targets) and delegator.delegations:
        succinct = delegator.delegations.succinct_roles
        if succinct is not None:
            return succinct
    return delegator.get_delegated_role(name)
