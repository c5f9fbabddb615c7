"""The three steps of a ceremony: prepare on the server, sign with each key holder, collect.

Rule: nothing but signatures makes what is collected count. A root needs a threshold of the root
before it and one of its own; a role below needs a threshold of those whom its delegator names. The
server's own keys sign only what follows from it.
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
    """Write down what the offline keys are to sign.

    In any case: what is due, and the claims that wait.

    Args:
        repository: Its offline keys are not needed.
        bundle: The folder to be made.
        renew: Roles to be signed anew although they are not due.
        new_keys: The public keys that are to come, by offline role.
        replace: The beginnings of the ids of the keys that go; by default all of these roles.
        online: Where the new online key comes from, if there is to be one.

    Raises:
        UsageError: No such role or key.
        RepositoryStateError: There is nothing to sign, or the folder exists.
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
        proposal: What is to be signed.
        roles: What was current when it was prepared, verified here.
        since: The root that this machine signed last; of none, the one that the repository began
            with.
        root_sha256: The digest of that first root.
    """

    def __init__(self, bundle: Path, root_sha256: Sha256 | None = None) -> None:
        """Read and verify ``bundle``.

        Args:
            bundle: The folder.
            root_sha256: The digest of the repository's first root, where the key holder says it.
                Needed where this machine has signed nothing of the repository yet.

        Raises:
            RepositoryStateError: It is damaged, begins with another root than the one that is
                known here, or has a role to be signed that nobody delegates to.
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
                raise RepositoryStateError(f"{bundle}: {name} is no later version")
        self._check_names()
        self._compare_with_what_was_signed_here()
        self.duties()  # before anything is shown of a role that nobody delegates to

    def _last_root(self) -> Metadata[Root]:
        """The root that this machine signed last, if it is one of the bundle's; else the first."""
        if self._known.root is None:
            return read_root(self._bundle, 1)
        last = Metadata[Root].from_bytes(self._known.root.encode())
        version, current = last.signed.version, self.roles.root.signed.version
        if version <= current:
            there = read_root(self._bundle, version)
            if there.signed_bytes != last.signed_bytes:
                raise RepositoryStateError(
                    f"root version {version} in {self._bundle} is not the one that was signed on "
                    "this machine",
                    meaning="Root has two histories: somebody has a threshold of its keys.",
                    remedy="Do not sign. Tell the operator and the other key holders.",
                )
        return last

    def _compare_with_what_was_signed_here(self) -> None:
        """Let the last version of a role that was signed or seen here be the one to compare with.

        The bundle may call an older one current, and propose one of a number that is new here:
        then the two would not differ, and what was signed in between would be undone. That is so
        without an attack where a copy is recovered from; the file in between is in the bundle then.

        Raises:
            RepositoryStateError: It is not.
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
        """See to it that roles and keys are called what they are: all words go by these names."""
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
        """What nobody can ask for, or has not signed, in words: not to be signed without a reason.

        What would happen to claimed projects without their maintainers' signatures, and what
        would become of the frame.
        """
        projects = unproven(self._bundle, self.proposal, self.roles)
        return [*projects, *misshapen(self.proposal, self.roles)]

    def duties(self) -> list[Duty]:
        """What has to be signed, and by whom."""
        return list(self.proposal.duties(self.roles))

    def sign(self, ring: KeyRing) -> dict[str, list[str]]:
        """Sign with the keys at hand, where signatures are wanting, and keep it in the bundle.

        Returns:
            The ids of the keys that have signed, by file.

        Raises:
            RepositoryStateError: A key fails, or has signed for another repository here; or the
                bundle cannot be written; or this machine has signed other contents before under
                the same versions or later ones.
            SecurepipError: What was signed cannot be remembered: nothing was signed.
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
        """Remember what is about to be signed: a run that is killed must not be forgotten."""
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
    """See to it that nothing was signed before under these versions, or later ones.

    Each of several roots counts by itself: the first of two is a next root like any other.

    Raises:
        RepositoryStateError: Something was.
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


def _in_words(what: str, words: str) -> str:
    """What a bundle is for, and what the operator says of the reason."""
    return f"{what[:200]}: {words}" if words else what[:200]


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
    """Make what was signed current. Run again after having been killed, it goes on.

    Args:
        repository: Opened with its online key.
        bundles: Copies of one bundle, each signed by others, or one that went around.

    Returns:
        The names of the roles that became current.

    Raises:
        RepositoryStateError: Signatures are wanting, or the repository has changed since.
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
