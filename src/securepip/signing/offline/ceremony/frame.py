"""What no command of securepip asks the offline keys for, and who takes over a server may.

Rule: keys come and go, and claims do; who reads the words sees which. All else that the frame says
stays as it is: which roles there are, in which order clients ask them, for what each may sign, how
many signatures each needs, and that none but the bins and the projects sign for targets.
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
    """What ``proposal`` changes of the frame, in words.

    Args:
        proposal: What is to be signed.
        roles: What is current, verified.
    """
    before: Metadata[Root] | Metadata[Targets] = roles.root
    for root in proposal.roots:
        if _shape(root.signed) != _shape(before.signed):
            yield "root would name other roles, or need another number of signatures"
        before = root
    for name in ("targets", BINS_ROLE):
        if name not in proposal.roles:
            continue
        now, then = proposal.roles[name].signed, roles.role(name).signed
        if _shape(now) != _shape(then):
            yield f"{name} would delegate to other roles, in another order or for other targets"
        if now.targets:
            yield f"{name} would sign for targets itself"
        promised = then.unrecognized_fields.get(NAMED_FIELD)
        if promised and now.unrecognized_fields.get(NAMED_FIELD) != promised:
            yield f"{name} would take back what it promises of the names of roles"


def _shape(delegator: Delegator) -> list[object]:
    """What it says of each role beside the keys, in its order."""
    found = delegated_roles(delegator).items()
    if isinstance(delegator, Root):
        found = sorted(found)  # type: ignore[assignment] # TUF gives these no order
    return [(name, role.threshold, rest_of(role)) for name, role in found]
