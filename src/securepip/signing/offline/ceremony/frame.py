"""Finds changes of the frame that no command of securepip proposes, but that an attacker might.

Rule: a proposal may change keys and claims, and key holders are shown which. Everything else in the
frame stays as it is: which roles exist, in which order clients ask them, which targets each may
sign, how many signatures each needs, and that only bins and projects sign targets.
"""

from __future__ import annotations

from collections.abc import Iterator

from tuf.api.metadata import Metadata, Root, Targets

from securepip.formats.layout import BINS_ROLE, NAMED_FIELD
from securepip.signing.offline.ceremony.words import delegated_roles, rest_of
from securepip.signing.offline.proposal import Proposal
from securepip.signing.repository.commit import Delegator
from securepip.signing.repository.roles import Roles


def misshapen(proposal: Proposal, roles: Roles) -> Iterator[str]:
    """The changes of the frame that no command proposes, in words.

    Args:
        proposal: The proposal to be signed.
        roles: The current roles, verified.
    """
    before: Metadata[Root] | Metadata[Targets] = roles.root
    for root in proposal.roots:
        if _shape(root.signed) != _shape(before.signed):
            yield "root would name other roles, or need another number of signatures"
        before = root
    for name in ("targets", BINS_ROLE):
        if name not in proposal.roles:
            continue
        old, new = roles.role(name).signed, proposal.roles[name].signed
        if _shape(new) != _shape(old):
            yield f"{name} would delegate to other roles, in another order or for other targets"
        if new.targets:
            yield f"{name} would sign for targets itself"
        promised = old.unrecognized_fields.get(NAMED_FIELD)
        if promised and new.unrecognized_fields.get(NAMED_FIELD) != promised:
            yield f"{name} would take back what it promises of the names of roles"


def _shape(delegator: Delegator) -> list[object]:
    """What ``delegator`` says of each role, except for the keys, in its order."""
    roles = delegated_roles(delegator).items()
    if isinstance(delegator, Root):
        roles = sorted(roles)  # type: ignore[assignment] # TUF gives these no order
    return [(name, role.threshold, rest_of(role)) for name, role in roles]
