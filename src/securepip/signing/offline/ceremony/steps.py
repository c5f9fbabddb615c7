"""The three steps of a ceremony: prepare on the server, sign with each key holder, collect.

Rule: what is collected counts only by its signatures. A root needs a threshold of the keys of the
root before it, and a threshold of its own keys. Any other role needs a threshold of the keys that
its delegator names. The server's own keys sign only what follows from that.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root

from securepip.errors import FormatError, RepositoryStateError, UsageError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import CLAIMED_ROLE, METADATA_DIR
from securepip.formats.roles import check_name
from securepip.signing.claims import promote
from securepip.signing.claims.promote import Promotion
from securepip.signing.keys import ring as keys
from securepip.signing.keys.memory import Remembered, check_owner, recall, remembering
from securepip.signing.keys.ring import KeyRing
from securepip.signing.offline.apply import apply
from securepip.signing.offline.bundle import (
    add_current,
    read_bundle,
    read_current,
    read_role,
    read_root,
    write_bundle,
)
from securepip.signing.offline.ceremony.evidence import add_statements, unproven
from securepip.signing.offline.ceremony.frame import misshapen
from securepip.signing.offline.proposal import OFFLINE_ROLES, Duty, Proposal, Replacement, propose
from securepip.signing.offline.rotate import NewKeys, keys_of, prepare_keys
from securepip.signing.publish.accounted import accounted
from securepip.signing.publish.refresh import offline_due
from securepip.signing.repository.claim_tree import check_form
from securepip.signing.repository.repository import Repository


def prepare(
    repository: Repository,
    bundle: Path,
    *,
    renew: Collection[str] = (),
    new_keys: Mapping[str, Sequence[Key]] | None = None,
    replace: Collection[str] = (),
    online: NewKeys | None = None,
) -> tuple[Proposal, Promotion]:
    """Write a bundle with what the offline keys are to sign.

    That always includes the roles that are due, and the claims that wait.

    Args:
        repository: The repository. Its offline keys are not needed.
        bundle: The folder to be made.
        renew: Roles to be signed although they are not due.
        new_keys: The new public keys, by offline role.
        replace: The ids of the keys that go, or the beginnings of their ids; by default all keys of
            the roles in ``new_keys``.
        online: Where the new online key comes from; None if it stays.

    Returns:
        The proposal, and the claims and changes of keys that are part of it.

    Raises:
        UsageError: There is no such role or key.
        RepositoryStateError: There is nothing to sign, the folder exists, or ``accounted`` refuses.
    """
    new_keys = new_keys or {}
    for role in (*renew, *new_keys):
        if role not in OFFLINE_ROLES:
            raise UsageError(
                f"not a role of offline keys: {role!r:.80}",
                remedy=f"One of: {', '.join(OFFLINE_ROLES)}",
            )
    if bundle.exists():
        raise RepositoryStateError(f"{bundle} exists", remedy="Name a folder that does not.")
    with accounted(repository):
        roles = repository.roles()
        replacements = [
            Replacement(name, keys_of(roles, name, replace)[name], tuple(coming))
            for name, coming in new_keys.items()
        ]
        words = [f"new keys of {name}" for name in new_keys]
        if online is not None:
            prepared = prepare_keys(repository, keys.ONLINE, 1, online)
            prepared.store(repository, keys.ONLINE, online)
            for name, going in keys_of(roles, keys.ONLINE).items():
                replacements.append(Replacement(name, going, prepared.keys))
            words.append("new online key")
        promotion = promote.plan(repository)
        words += [f"{project} is claimed" for project in promotion.moved]
        words += [f"{project} gets other keys" for project in promotion.rekeyed]
        due = {*renew, *offline_due(roles, repository.config.expiry)}
        words += [f"renew {name}" for name in OFFLINE_ROLES if name in due]
        if not words:
            raise RepositoryStateError(
                "there is nothing to sign: no role is due, no claim waits",
                remedy="--renew ROLE has a role signed although it is not due.",
            )
        proposal = propose(
            roles,
            repository.config.expiry,
            why=_in_words(", ".join(words), repository.log.reason.words),
            replacements=replacements,
            renew=due,
            claimed=promotion.offline,
        )
        temporary = bundle.with_name(f"{bundle.name}.unfinished")
        shutil.rmtree(temporary, ignore_errors=True)
        add_current(temporary, repository.storage.below(METADATA_DIR), roles, proposal)
        add_statements(temporary, repository, promotion)
        write_bundle(temporary, proposal)
        temporary.rename(bundle)
        return proposal, promotion


class Signing:
    """A bundle on the machine of a key holder, to look at and to sign.

    Attributes:
        proposal: The proposal to be signed.
        roles: The roles that were current when it was prepared, verified here.
        since: The root that this machine signed last; the first root if it has signed none.
        root_sha256: The digest of the first root.
    """

    def __init__(self, bundle: Path, root_sha256: Sha256 | None = None) -> None:
        """Read and verify ``bundle``.

        Args:
            bundle: The folder.
            root_sha256: The digest of the repository's first root, as the key holder gives it.
                Needed if this machine has signed nothing for the repository yet.

        Raises:
            RepositoryStateError: The bundle is damaged, begins with another root than the one that
                is known here, does not follow what this machine has signed, or proposes a role that
                no role delegates to.
            OSError: The bundle cannot be read.
        """
        self._bundle = bundle
        self.proposal = read_bundle(bundle)
        self.roles, self.root_sha256 = read_current(bundle, root_sha256)
        known = recall(self.root_sha256)
        if known is None and root_sha256 is None:
            raise _unknown_repository()
        self._known = known or Remembered()
        self.since = self._last_root()
        for number, root in enumerate(self.proposal.roots, self.roles.root.signed.version + 1):
            if root.signed.version != number:
                raise RepositoryStateError(f"{bundle}: root is not the next version")
        for name, metadata in self.proposal.roles.items():
            listed = self.roles.snapshot.signed.meta.get(f"{name}.json")
            if metadata.signed.version <= (listed.version if listed else 0):
                raise RepositoryStateError(f"{bundle}: {name} is not a later version")
        self._check_names()
        self._compare_with_what_was_signed_here()
        self.duties()  # refuses a role that no role delegates to, before anything is shown of it

    def _last_root(self) -> Metadata[Root]:
        """The root that this machine signed last; the first root if it has signed none."""
        if self._known.root is None:
            return read_root(self._bundle, 1)
        last = Metadata[Root].from_bytes(self._known.root.encode())
        version, current = last.signed.version, self.roles.root.signed.version
        if version <= current:
            in_bundle = read_root(self._bundle, version)
            if in_bundle.signed_bytes != last.signed_bytes:
                raise RepositoryStateError(
                    f"root version {version} in {self._bundle} is not the one that was signed on "
                    "this machine",
                    meaning="Root has two histories: somebody has a threshold of its keys.",
                    remedy="Do not sign. Tell the operator and the other key holders.",
                )
        return last

    def _compare_with_what_was_signed_here(self) -> None:
        """Compare each proposed role with the last version that was signed or seen here.

        A bundle may call an older version current, and propose the same contents under a new
        number. Compared with that older version, nothing would change, but what was signed in
        between would be undone. A recovery from a copy does so without an attack; its bundle holds
        the version in between, so that key holders see what is undone.

        Raises:
            RepositoryStateError: The bundle does not hold that version.
        """
        listed = self.roles.snapshot.signed.meta
        for name, proposed in self.proposal.roles.items():
            version, digest = self._known.last(name)
            current = listed[f"{name}.json"].version if f"{name}.json" in listed else 0
            if not current < version < proposed.signed.version:
                continue
            between = read_role(self._bundle, name, version)
            if between is None or sha256_of(between.signed_bytes) != digest:
                raise RepositoryStateError(
                    f"version {version} of {name} was signed on this machine, or current on it, "
                    f"and {self._bundle} calls version {current} the current one",
                    meaning="The server shows an older state, perhaps to undo a claim or a change "
                    "of keys. Or what was signed here was never collected.",
                    remedy="Do not sign before the operator has told you why. If it was never "
                    f"collected, put {version}.{name}.json, from the folder `new` of that bundle, "
                    f"into {self._bundle / 'current'}: this one is compared with it then.",
                )
            self.roles.adopt(name, between)

    def _check_names(self) -> None:
        """Check the names of roles and the ids of keys: the text for the key holder relies on them.

        Raises:
            RepositoryStateError: A role or key is called what it is not.
        """
        try:
            for name, metadata in self.proposal.roles.items():
                check_name(name, metadata.signed, self.roles.naming)
                if name.partition(".")[0] == CLAIMED_ROLE:
                    check_form(name, metadata)
                delegations = metadata.signed.delegations
                for key in delegations.keys.values() if delegations else ():
                    keys.check_public_key(key)
            for root in self.proposal.roots:
                for key in root.signed.keys.values():
                    keys.check_public_key(key)
        except FormatError as error:
            raise RepositoryStateError(
                f"{self._bundle}: {error.what}",
                meaning="The server asks for a signature on something other than it says.",
                remedy="Do not sign. Tell the operator.",
            ) from None

    def unproven(self) -> list[str]:
        """The changes that no command proposes or no maintainer has signed, in words.

        They concern claimed projects and the frame. A key holder should not sign them without
        knowing a reason.
        """
        projects = unproven(self._bundle, self.proposal, self.roles)
        return [*projects, *misshapen(self.proposal, self.roles)]

    def duties(self) -> list[Duty]:
        """The files that have to be signed, and the roles that name their keys."""
        return list(self.proposal.duties(self.roles))

    def sign(self, ring: KeyRing) -> dict[str, list[str]]:
        """Add the missing signatures with the keys at hand, and write them into the bundle.

        Returns:
            The ids of the keys that have signed, by file.

        Raises:
            RepositoryStateError: A key fails, or has signed for another repository here; or the
                bundle cannot be written; or this machine has signed other contents under the same
                or a later version.
            SecurepipError: The signatures cannot be remembered, so nothing was signed.
        """
        duties = self.duties()
        at_hand = [(duty, duty.keyids_at_hand(ring)) for duty in duties]
        keyids = tuple(dict.fromkeys(keyid for _, each in at_hand for keyid in each))
        check_owner(keyids, self.root_sha256)
        if keyids:
            self._remember([duty for duty, each in at_hand if each], keyids)
        done = {duty.filename: duty.sign(ring) for duty in duties}
        try:
            write_bundle(self._bundle, self.proposal)
        except OSError as error:
            raise RepositoryStateError(f"{self._bundle} cannot be written: {error}") from None
        return {filename: keyids for filename, keyids in done.items() if keyids}

    def _remember(self, duties: Sequence[Duty], keyids: tuple[str, ...]) -> None:
        """Remember what is about to be signed: a killed run may have signed it already."""
        with remembering(self.root_sha256) as update:
            check_not_signed_before(update.value, duties)
            for duty in duties:
                version, digest = _version_of(duty)
                if duty.role == "root" and version > update.value.signed.get("root", (0,))[0]:
                    root = duty.metadata.to_bytes().decode()
                    update.value = replace(update.value, root=root)
                update.value = update.value.with_signed(duty.role, version, digest)
            update.value = update.value.with_keys(keyids)


def check_not_signed_before(known: Remembered, duties: Sequence[Duty]) -> None:
    """Check that this machine has signed nothing else under these versions, or later ones.

    Each of several roots counts by itself: the first of two is a next root like any other.

    Raises:
        RepositoryStateError: It has.
    """
    for duty in duties:
        ours, digest = _version_of(duty)
        same = known.known(duty.role, ours)
        newest = known.newest(duty.role)
        if same - {digest} or (not same and ours < newest):
            version = ours if same else newest
            raise RepositoryStateError(
                f"version {version} of {duty.role} was signed on this machine before, and this is "
                f"version {ours}, with other contents",
                meaning="The server shows an older state as the current one. It may have been "
                "restored from a backup, or taken over by somebody who wants to undo a claim "
                "or a change of keys.",
                remedy="Do not sign. Ask the operator; `securepip repo audit` compares states.",
            )


def _in_words(changes: str, reason: str) -> str:
    """What a bundle is for: its changes, and the operator's reason if there is one."""
    return f"{changes[:200]}: {reason}" if reason else changes[:200]


def _version_of(duty: Duty) -> tuple[int, Sha256]:
    return duty.metadata.signed.version, sha256_of(duty.metadata.signed_bytes)


def _unknown_repository() -> RepositoryStateError:
    return RepositoryStateError(
        "this machine has signed nothing of this repository yet",
        meaning="Whoever made this bundle chose the root that it begins with. Signed for a "
        "stranger's repository in which you hold keys too, a root could count in yours.",
        remedy="--root-sha256 HEX says which repository you mean: its fingerprint, from where you "
        "have had it since it was made, and never from who brings the bundle.",
    )


def collect(repository: Repository, bundles: Sequence[Path]) -> tuple[str, ...]:
    """Make a signed bundle current. A run that was killed is finished by running it again.

    Args:
        repository: Opened with its online key.
        bundles: One bundle that all key holders have signed, or copies of it, each signed by some.

    Returns:
        The names of the roles that became current.

    Raises:
        RepositoryStateError: Signatures are missing, the repository has changed since, or the
            bundles are of different ceremonies.
    """
    first, *others = map(read_bundle, bundles)
    for bundle, other in zip(bundles[1:], others, strict=True):
        for ours, theirs in _pairs(first, other, bundle):
            ours.signatures |= {**theirs.signatures, **ours.signatures}
    repository.log.give_words(first.why)
    with accounted(repository):
        return apply(repository, first)


def _pairs(
    first: Proposal, other: Proposal, bundle: Path
) -> list[tuple[Metadata[Any], Metadata[Any]]]:
    if len(first.roots) != len(other.roots) or first.roles.keys() != other.roles.keys():
        raise RepositoryStateError(f"{bundle} is of another ceremony")
    pairs: list[tuple[Metadata[Any], Metadata[Any]]] = [*zip(first.roots, other.roots, strict=True)]
    pairs += [(first.roles[name], other.roles[name]) for name in first.roles]
    for ours, theirs in pairs:
        if ours.signed_bytes != theirs.signed_bytes:
            raise RepositoryStateError(f"{bundle} is of another ceremony")
    return pairs
