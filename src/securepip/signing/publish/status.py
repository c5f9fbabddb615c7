"""The state of a repository at a glance: size, versions, expiry, and where the keys are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from securepip.formats.layout import (
    BINS_ROLE,
    CLAIMED_ROLE,
    RECENTLY_CLAIMED_ROLE,
)
from securepip.signing.publish.refresh import Expiring, expiring, offline_keys_stay
from securepip.signing.repository.claim_tree import TOPS, Claim
from securepip.signing.repository.config import PENDING_DIR, RECOVERY_DIR
from securepip.signing.repository.register import Register
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import FRAME, Roles
from securepip.signing.repository.state.known import Counts

OFFLINE_ROLES = ("root", *FRAME)
"""The roles whose keys belong away from the server."""


@dataclass(frozen=True)
class RoleStatus:
    """One role, or all bins as one.

    Attributes:
        name: The name of the role; ``bin-n`` for all bins.
        version: Its version; for bins, the highest.
        expires: When it expires (UTC); for bins, when the first one does.
        keys: The URIs of its private keys, as far as they are known and the files exist.
        threshold: How many keys have to sign.
        key_count: How many keys may sign.
    """

    name: str
    version: int
    expires: datetime
    keys: tuple[str, ...]
    threshold: int
    key_count: int


@dataclass(frozen=True)
class ClaimStatus:
    """A project that signs for itself.

    Attributes:
        claim: Its claim, with its keys.
        version: The version of its role.
        expires: When that role expires (UTC), so that its maintainers have to sign again.
        frozen: Why nothing of it is accepted; None if it is not frozen.
        pending: Whether a change of its keys waits for the offline keys.
    """

    claim: Claim
    version: int
    expires: datetime
    frozen: str | None
    pending: bool


@dataclass(frozen=True)
class Status:
    """The state of a repository.

    Attributes:
        projects: The number of projects with a page.
        files: The number of signed distributions.
        bins: The number of hash bins.
        roles: Every role, the bins as one.
        claims: Every project that signs for itself.
        waiting: Roles that expire soon and that only offline keys can sign.
        named: Whether clients are promised that every role carries its name (``formats.roles``).
        offline_keys_stay: Whether the offline keys are meant to stay here, and are here.
    """

    projects: int
    files: int
    bins: int
    roles: tuple[RoleStatus, ...]
    claims: tuple[ClaimStatus, ...]
    waiting: tuple[Expiring, ...]
    named: bool
    offline_keys_stay: bool


def status(repository: Repository) -> Status:
    """The state of the repository. What it says of bins is looked up; they are not read.

    Raises:
        RepositoryStateError: What is on disk is not what was signed.
    """
    roles = repository.roles()
    counts = repository.known().counts()
    return Status(
        projects=counts.projects,
        files=counts.files,
        bins=roles.succinct.number_of_bins,
        roles=role_statuses(repository, counts),
        claims=tuple(_claims(repository, roles)),
        waiting=expiring(repository),
        named=roles.naming.named is not None,
        offline_keys_stay=offline_keys_stay(repository),
    )


def role_statuses(repository: Repository, counts: Counts) -> tuple[RoleStatus, ...]:
    """The state of every role; that of the bins, as one, comes from ``counts``.

    Raises:
        RepositoryStateError: What is on disk is not what was signed.
    """
    roles = repository.roles()
    first_bin = next(roles.bin_names())
    root = roles.root.signed
    shown = [
        ("root", root.version, root.expires),
        ("timestamp", roles.timestamp.signed.version, roles.timestamp.signed.expires),
        ("snapshot", roles.snapshot.signed.version, roles.snapshot.signed.expires),
        *(
            (name, roles.role(name).signed.version, roles.role(name).signed.expires)
            for name in ("targets", CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE, BINS_ROLE)
        ),
        ("bin-n", counts.highest, counts.first_expiry),
    ]

    def describe(name: str, version: int, expires: datetime) -> RoleStatus:
        in_root = name in root.roles
        signed_name = first_bin if name == "bin-n" else name
        role = (root if in_root else roles.delegator(signed_name)).get_delegated_role(signed_name)
        uris = (repository.keys.uri(keyid) for keyid in role.keyids)
        known = tuple(uri for uri in uris if uri)
        return RoleStatus(name, version, expires, known, role.threshold, len(role.keyids))

    return tuple(describe(*each) for each in shown)


def _claims(repository: Repository, roles: Roles) -> Iterator[ClaimStatus]:
    register = Register(repository)
    frozen, pending = register.frozen(), register.all_pending()
    for top in TOPS:
        for claim in sorted(roles.claims_below(top).claims(), key=lambda claim: claim.project):
            role = roles.role(claim.role).signed
            why, waits = frozen.get(claim.project), claim.project in pending
            yield ClaimStatus(claim, role.version, role.expires, why, waits)


def unfinished_of(repository: Repository) -> list[str]:
    """Those of the commands `rotate` and `recover` that were interrupted."""
    rotating = bool(repository.state.under_way.names(PENDING_DIR))
    recovering = (repository.home / RECOVERY_DIR).exists()
    return ["rotate"] * rotating + ["recover"] * recovering
