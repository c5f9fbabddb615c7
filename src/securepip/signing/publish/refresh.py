"""Renews roles before they expire, and says when the offline keys are needed.

Rule: it is meant for cron, with the online key alone. A role is renewed when half of its life is
over. Bins are renewed a few at a time, because clients have to fetch each new version. Roles that
do not carry their names yet (``formats.roles``) are due at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from securepip.formats.layout import CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE
from securepip.signing.publish.accounted import accounted
from securepip.signing.repository.commit import now
from securepip.signing.repository.config import Expiry
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import FRAME, Roles

RENEW_AT = 1 / 2
WARN_AT = 1 / 3
URGENT_AT = 1 / 8
BIN_ROLE = "bin-n"
LAST_DAYS = timedelta(days=7)
LAST_AT = 1 / 4
"""When this part of an offline role's life is left, but at most ``LAST_DAYS``, commands fail that
until then only warn."""


@dataclass(frozen=True)
class Expiring:
    """A role that only offline keys can sign, and that has less than a third of its life left.

    Attributes:
        role: Its name; ``claimed`` includes its shards.
        expires: When it expires or has expired (UTC).
        urgent: Whether it expires within days or has expired: then no client can install anything.
    """

    role: str
    expires: datetime
    urgent: bool


@dataclass(frozen=True)
class Refreshed:
    """The result of a refresh.

    Attributes:
        signed: The roles that were signed and are current now.
        waiting: The roles that only offline keys can sign, and that expire soon or have expired.
    """

    signed: tuple[str, ...]
    waiting: tuple[Expiring, ...]


def refresh(repository: Repository, *, offline: bool = False) -> Refreshed:
    """Renew the roles that have passed half of their life.

    Args:
        repository: Opened with its online key; with ``offline``, with the offline keys too.
        offline: Whether to renew the offline roles too. If the offline keys stay here, they are
            renewed in any case.

    Raises:
        RepositoryStateError: A key is not here, or ``accounted`` refuses.
    """
    offline = offline or offline_keys_stay(repository)
    expiry = repository.config.expiry
    with accounted(repository) if offline else repository.lock():
        signed: list[str] = []
        if offline and _left(repository.roles().root, "root", expiry) < RENEW_AT:
            repository.sign_root()
            signed.append("root")
        roles = repository.roles()
        names = [*roles.claims_below(RECENTLY_CLAIMED_ROLE).roles()]
        if offline:
            names = [*FRAME, *_shards(roles), *names]
        unnamed = set(roles.unnamed())
        due = [
            name
            for name in names
            if name in unnamed or _left(roles.role(name), name, expiry) < RENEW_AT
        ]
        bins = _due_bins(repository)
        repository.show_all()
        if unnamed:
            bins = [*bins, *(name for name in roles.bin_names() if name in unnamed - set(bins))]
        if offline and unnamed <= {"targets", *due, *bins} and not roles.naming.named:
            due = [*(name for name in due if name != "targets"), "targets"]
        if "targets" in due:
            roles.promise_names(roles.targets.signed, [*due, *bins])
        snapshot_due = _left(roles.snapshot, "snapshot", expiry) < RENEW_AT
        if due or bins or snapshot_due:
            changed = {name: roles.role(name) for name in due}
            signed += repository.sign(changed, bins=[(name, b"") for name in bins])
        elif _left(roles.timestamp, "timestamp", expiry) < RENEW_AT:
            signed += repository.renew_timestamp()
        return Refreshed(tuple(signed), expiring(repository))


def expiring(repository: Repository) -> tuple[Expiring, ...]:
    """The offline roles that have less than a third of their life left.

    Every command that signs with the online key calls this at its end, because no client can use
    what it has published once one of these roles has expired. ``claimed`` and its shards are
    renewed together, and count as one role with the earliest expiry. The roles of projects that
    sign for themselves are not among them: only their maintainers can renew them. If the offline
    keys stay here, the result is empty: the next ``refresh`` renews their roles.

    Raises:
        RepositoryStateError: What is on disk is not what was signed.
    """
    if offline_keys_stay(repository):
        return ()
    roles, expiry = repository.roles(), repository.config.expiry
    offline: dict[str, Metadata[Root] | Metadata[Targets]] = {"root": roles.root}
    offline |= {name: roles.role(name) for name in FRAME}
    shards = [roles.role(name) for name in (CLAIMED_ROLE, *_shards(roles))]
    offline[CLAIMED_ROLE] = min(shards, key=lambda shard: shard.signed.expires)
    return tuple(
        Expiring(name, metadata.signed.expires, _is_urgent(metadata, name, expiry))
        for name, metadata in offline.items()
        if _left(metadata, name, expiry) < WARN_AT
    )


def offline_keys_stay(repository: Repository) -> bool:
    """Whether the offline keys are meant to stay on this machine, and all of them are here.

    If somebody moves one of them away, the repository is treated like any other.

    Raises:
        RepositoryStateError: What is on disk is not what was signed.
    """
    if not repository.config.offline_keys_stay:
        return False
    roles = repository.roles()
    signed_by = [roles.delegator(name).get_delegated_role(name) for name in ("root", *FRAME)]
    return all(repository.keys.uri(keyid) for role in signed_by for keyid in role.keyids)


def _is_urgent(metadata: Metadata[Root] | Metadata[Targets], name: str, expiry: Expiry) -> bool:
    return metadata.signed.expires - now() < min(LAST_DAYS, expiry.of(name) * LAST_AT)


def offline_due(roles: Roles, expiry: Expiry) -> list[str]:
    """The offline roles to sign now; ``claimed`` includes its shards.

    These are the roles that have passed half of their life, or do not carry their names yet; and
    ``targets``, as soon as it can promise that all roles carry their names.
    """
    unnamed = set(roles.unnamed())
    due = {
        name if name in FRAME else CLAIMED_ROLE
        for name in (*FRAME, *_shards(roles))
        if name in unnamed or _left(roles.role(name), name, expiry) < RENEW_AT
    }
    if not roles.naming.named and unnamed <= {*FRAME, *_shards(roles)}:
        due.add("targets")
    root = ["root"] if _left(roles.root, "root", expiry) < RENEW_AT else []
    return [*root, *(name for name in FRAME if name in due)]


def _shards(roles: Roles) -> list[str]:
    return [name for name in roles.claims_below(CLAIMED_ROLE).roles() if name != CLAIMED_ROLE]


def _due_bins(repository: Repository) -> list[str]:
    """The bins to renew now; those that expire first come first.

    All bins of a new repository pass half of their life on the same day. A daily run renews only so
    many of them that all are renewed within half of the remaining time. Urgent bins are always
    renewed.
    """
    life = repository.config.expiry.of(BIN_ROLE)
    moment = now()
    due = list(repository.known().bins_until((moment + life * RENEW_AT).timestamp()))
    share = math.ceil(
        repository.roles().succinct.number_of_bins / (life / timedelta(days=1) * RENEW_AT / 2)
    )
    urgent = sum(expires < (moment + life * URGENT_AT).timestamp() for _, expires in due)
    return [name for name, _ in due[: max(share, urgent)]]


def is_half_over(repository: Repository) -> bool:
    """Whether the timestamp has passed half of its life. No other role has a shorter life."""
    roles = repository.roles()
    return _left(roles.timestamp, "timestamp", repository.config.expiry) < RENEW_AT


def _left(
    metadata: Metadata[Root] | Metadata[Timestamp] | Metadata[Snapshot] | Metadata[Targets],
    name: str,
    expiry: Expiry,
) -> float:
    """The part of its life that a role has left: 1 for a new one, below 0 for an expired one."""
    return (metadata.signed.expires - now()) / expiry.of(name)
