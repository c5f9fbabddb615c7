"""Makes signed offline metadata current, and signs with the online key what has to follow.

Rule: a run can be killed between any two steps, and the next run goes on. The first step publishes
the root that names old and new keys. The second publishes one snapshot with the other roles of the
proposal and all that the new online key has to sign. The last publishes the root that names the new
keys alone. Each of these states is valid for every client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from securepip.errors import RepositoryStateError
from securepip.formats.layout import BINS_ROLE, CLAIMED_ROLE, METADATA_DIR, RECENTLY_CLAIMED_ROLE
from securepip.signing.claims import promote
from securepip.signing.claims.promote import Promotion
from securepip.signing.offline.proposal import Proposal, check_signed
from securepip.signing.repository.claim_tree import Claim, ClaimTree, Keyholders
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import Roles


class StaleProposalError(RepositoryStateError):
    """The repository has changed since the proposal was made: it has to be made again."""


def apply(repository: Repository, proposal: Proposal) -> tuple[str, ...]:
    """Make those parts of ``proposal`` current that are not yet. The lock must be held.

    Returns:
        The names of the roles that were signed or became current.

    Raises:
        StaleProposalError: The proposal does not follow the current state.
        RepositoryStateError: A signature is missing, or a key is not here. The current state is the
            one from before, or one of the steps described above.
    """
    roles = repository.roles()
    left = _left(proposal, roles, repository)
    check_signed(left, roles)
    final = left.root(roles)
    changed = _signed_anew(left, roles)
    promotion = _promotion(repository, left)
    online = bool(left.roles or changed or not _accepts(final, roles))
    if online:
        _check_keys(repository, final)
    done: list[str] = []
    for root in left.roots[:-1]:
        repository.write_root(root)
        done.append("root")
    if online:
        changed = {**changed, **promotion.online}
        done += repository.publish_signed(promotion.projects, changed, left.roles).signed
        promote.finish(repository, promotion)
    if left.roots:
        if not _accepts(final, repository.roles()):
            raise RepositoryStateError("the new root does not name the keys that sign now")
        repository.write_root(left.roots[-1])
        done.append("root")
    return tuple(dict.fromkeys(done))


def _left(proposal: Proposal, roles: Roles, repository: Repository) -> Proposal:
    """The parts of the proposal that are not current yet."""
    version = roles.root.signed.version
    roots = [root for root in proposal.roots if root.signed.version > version]
    for root in proposal.roots[: len(proposal.roots) - len(roots)]:
        name = f"{root.signed.version}.root.json"
        here = repository.storage.read(f"{METADATA_DIR}/{name}")
        if Metadata[Root].from_bytes(here).signed_bytes != root.signed_bytes:
            raise _stale(f"{name} is another one")
    if roots and roots[0].signed.version != version + 1:
        raise _stale(f"root is of version {version}")
    below: dict[str, Metadata[Targets]] = {}
    for name, metadata in proposal.roles.items():
        listed = roles.snapshot.signed.meta.get(f"{name}.json")
        current = listed.version if listed else 0
        if current == metadata.signed.version - 1:
            below[name] = metadata
        elif current != metadata.signed.version or (
            roles.role(name).signed_bytes != metadata.signed_bytes
        ):
            raise _stale(f"{name} is of version {current}")
    return replace(proposal, roots=tuple(roots), roles=below)


def _promotion(repository: Repository, proposal: Proposal) -> Promotion:
    """The changes to online roles that go with the claims of the proposal.

    Raises:
        StaleProposalError: The proposal has other claims than those that wait now.
    """
    if CLAIMED_ROLE not in {name.partition(".")[0] for name in proposal.roles}:
        return Promotion()
    roles = repository.roles()
    before, after = (
        {claim.project: claim for claim in _claims(roles, changed)}
        for changed in ({}, proposal.roles)
    )
    coming = {
        project
        for project, claim in after.items()
        if project not in before or before[project].holders != claim.holders
    }
    try:
        promotion = promote.plan(repository, coming) if coming else Promotion()
    except RepositoryStateError as error:
        raise _stale(error.what) from None
    expected = {claim.project: claim for claim in _claims(roles, promotion.offline)}
    # A claim of the proposal may have been withdrawn or replaced since it was made.
    if {key: (each.holders, each.since) for key, each in expected.items()} != {
        key: (each.holders, each.since) for key, each in after.items()
    }:
        raise _stale("other projects than then wait for the offline keys")
    return promotion


def _claims(roles: Roles, changed: Mapping[str, Metadata[Targets]]) -> Iterator[Claim]:
    """The claims below ``claimed``, once ``changed`` is current."""
    return ClaimTree(
        CLAIMED_ROLE,
        lambda name: changed[name] if name in changed else roles.role(name),
        roles.holders(CLAIMED_ROLE),
    ).claims()


def _signed_anew(proposal: Proposal, roles: Roles) -> Mapping[str, Metadata[Targets]]:
    """The online roles that have to be signed again, because the proposal changes their keys."""
    changed: dict[str, Metadata[Targets]] = {}
    targets, bins = proposal.roles.get("targets"), proposal.roles.get(BINS_ROLE)
    if targets is not None:
        role = targets.signed.get_delegated_role(RECENTLY_CLAIMED_ROLE)
        if set(role.keyids) != set(roles.holders(RECENTLY_CLAIMED_ROLE).keyids):
            keys = tuple(map(targets.signed.get_key, role.keyids))
            holders = Keyholders(keys, role.threshold)
            changed |= _rekeyed(roles, holders)
    names = list(roles.bin_names())
    before = set(roles.holders(names[0]).keyids)
    after = before if bins is None else set(bins.signed.get_delegated_role(names[0]).keyids)
    shared = before <= set(roles.root.signed.roles["snapshot"].keyids)
    # From now on the bins have another key than the snapshot. A snapshot lists digests of roles
    # that another key signs, so all bins are signed again.
    parted = shared and not after <= set(proposal.root(roles).roles["snapshot"].keyids)
    if after != before or parted:
        changed |= {name: roles.role(name) for name in names}
    return changed


def _rekeyed(roles: Roles, holders: Keyholders) -> Mapping[str, Metadata[Targets]]:
    """``recently-claimed`` and its shards, to be signed by ``holders``."""
    tree = ClaimTree(RECENTLY_CLAIMED_ROLE, roles.role, holders)
    tree.rekey()
    return tree.changed


def _accepts(root: Root, roles: Roles) -> bool:
    """Whether ``root`` names the keys that have signed the current roles."""
    current: Mapping[str, Metadata[Timestamp] | Metadata[Snapshot] | Metadata[Targets]] = {
        "timestamp": roles.timestamp,
        "snapshot": roles.snapshot,
        "targets": roles.targets,
    }
    return all(
        root.get_verification_result(name, metadata.signed_bytes, metadata.signatures)
        for name, metadata in current.items()
    )


def _check_keys(repository: Repository, root: Root) -> None:
    """Check that the new online keys are here, before anything is written."""
    for name in ("timestamp", "snapshot"):
        role = root.roles[name]
        at_hand = [keyid for keyid in role.keyids if repository.keys.find(root.keys[keyid])]
        if len(at_hand) < role.threshold:
            raise RepositoryStateError(
                f"the new key of {name} is not here: {', '.join(role.keyids)}",
                remedy="--keys DIR names the folder of the online key.",
            )


def _stale(what: str) -> StaleProposalError:
    return StaleProposalError(
        f"the repository has changed since this was prepared: {what}",
        remedy="Prepare it again, and have it signed again.",
    )
