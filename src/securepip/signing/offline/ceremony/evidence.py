"""Proves to key holders that a project's maintainers have asked for a change of its keys.

Rule: the server says that a project gets other keys, and an attacker may control the server. So the
bundle carries the statement that the project's maintainers have signed. The key holder's machine
verifies it with the project's present keys, which offline keys have signed before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.utils import NormalizedName
from tuf.api.metadata import Metadata, Targets

from securepip.errors import SecurepipError
from securepip.formats.layout import CLAIMED_ROLE, shard_names
from securepip.signing.claims.promote import Promotion
from securepip.signing.claims.transactions.archive import MAX_ROLE_BYTES, open_archive
from securepip.signing.claims.transactions.statement import parse_statement
from securepip.signing.offline.proposal import Proposal
from securepip.signing.repository.claim_tree import Claim, claims_in, shards_in
from securepip.signing.repository.register import Register
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import Roles

_STATEMENTS_DIR = "statements"


def add_statements(bundle: Path, repository: Repository, promotion: Promotion) -> None:
    """Copy the maintainers' signed statements about the changes in ``promotion`` into ``bundle``.

    Raises:
        FormatError: A waiting transaction is damaged.
        OSError: The bundle cannot be written.
    """
    folder = bundle / _STATEMENTS_DIR
    for project in promotion.rekeyed:
        pending = Register(repository).pending(project)
        if pending is not None:
            with open_archive(pending) as archive:
                data = archive.statement() or b""
            folder.mkdir(exist_ok=True)
            (folder / f"{project}.json").write_bytes(data)


def unproven(bundle: Path, proposal: Proposal, roles: Roles) -> Iterator[str]:
    """The changes to claimed projects that their maintainers have not signed, in words.

    Args:
        bundle: The bundle.
        proposal: The proposal in the bundle.
        roles: The current roles, verified.
    """
    shards = [name for name in proposal.roles if name.partition(".")[0] == CLAIMED_ROLE]
    listed = [name for name in shards if f"{name}.json" in roles.snapshot.signed.meta]
    before = _claims((name, roles.role(name)) for name in listed)
    after = _claims((name, proposal.roles[name]) for name in shards)
    # An attacker need not change the shard with the claim that he wants to undo or take over. It is
    # enough to drop the delegation to that shard, to delegate to it with his keys, or to claim the
    # project in a role that clients reach before the shard.
    for name in listed:
        for gone in sorted({*shards_in(roles.role(name))} - {*shards_in(proposal.roles[name])}):
            yield f"no project of {gone} would sign for itself any more: nobody can ask for that"
    for name in shards:
        yield from _strange_keys(name, proposal, roles)
    for project, coming in after.items():
        beside = shards_in(proposal.roles[coming.delegator])
        shard = next((each for each in shard_names(CLAIMED_ROLE, project) if each in beside), None)
        if project not in before and shard:
            yield f"{project} would be claimed beside {shard}, where it may be claimed already"
    for project, was in before.items():
        claim = after.get(project)
        if claim is None:
            yield f"{project} would sign for itself no more: nobody can ask for that"
        elif claim.holders != was.holders and not _is_proven(bundle, was, claim):
            yield (
                f"{project} would get other keys, and its present maintainers have not signed that"
            )


def _strange_keys(name: str, proposal: Proposal, roles: Roles) -> Iterator[str]:
    """The shards below ``name`` that would get other keys than those of ``claimed``, in words."""
    top = proposal.delegator(CLAIMED_ROLE, roles).get_delegated_role(CLAIMED_ROLE)
    role = proposal.roles[name]
    for shard in shards_in(role):
        delegated = role.signed.get_delegated_role(shard)
        if (set(delegated.keyids), delegated.threshold) != (set(top.keyids), top.threshold):
            yield f"{shard} would be signed by other keys than those of {CLAIMED_ROLE}"


def _claims(
    roles: Iterable[tuple[str, Metadata[Targets]]],
) -> Mapping[NormalizedName, Claim]:
    return {
        claim.project: claim
        for name, metadata in roles
        for claim in claims_in(CLAIMED_ROLE, name, metadata)
    }


def _is_proven(bundle: Path, was: Claim, claim: Claim) -> bool:
    """Whether the present maintainers have signed exactly these keys, after their own claim."""
    try:
        with (bundle / _STATEMENTS_DIR / f"{claim.project}.json").open("rb") as stream:
            signed = parse_statement(stream.read(MAX_ROLE_BYTES))
    except (OSError, SecurepipError):
        return False
    change = signed.statement
    return (
        (change.project, change.holders, change.version)
        == (claim.project, claim.holders, claim.since)
        and change.version > was.since
        and signed.is_signed_by(was.holders)
    )
