"""Moves claims under the offline keys, and applies the changes of keys that wait for them.

Rule: once a client has seen a project in ``claimed``, nobody who has only the online key can change
the project, hide it or give it other keys. To get there, the offline keys sign once: ``plan`` says
what they sign, and ``promote`` or a ceremony has it signed. A waiting claim was signed with the
online key alone, which may be stolen, so it never replaces an existing claim
(``_check_not_claimed``).

Source: PEP 480, "Producing Consistent Snapshots".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.utils import NormalizedName
from tuf.api.metadata import Metadata, Targets

from securepip.errors import RepositoryStateError, SecurepipError
from securepip.formats.layout import CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE
from securepip.signing.claims.transactions.accept import as_signed_project, check_statement
from securepip.signing.claims.transactions.archive import open_archive
from securepip.signing.claims.transactions.check import check, is_signed_by, read_statement
from securepip.signing.claims.transactions.state import state_in
from securepip.signing.publish.accounted import accounted
from securepip.signing.repository.claim_tree import Claim, ClaimTree
from securepip.signing.repository.register import Register
from securepip.signing.repository.repository import Published, Repository, SignedProject


@dataclass
class Promotion:
    """The changes of a promotion, before anybody has signed them.

    Attributes:
        moved: Projects that move from ``recently-claimed`` to ``claimed``.
        rekeyed: Claimed projects that get other keys.
        outdated: Projects whose change of keys can no longer take effect, and why.
        frozen: Projects whose change of keys stays waiting, because the project is frozen: a thief
            may have asked for the change.
        done: Projects whose change of keys already took effect, in a run that was killed before it
            could forget the request.
        offline: The new versions of ``claimed`` and its shards, for the offline keys to sign.
        online: The new versions of ``recently-claimed`` and its shards, without the moved projects.
        projects: Roles of projects that become current together with their new keys.
    """

    moved: list[NormalizedName] = field(default_factory=list)
    rekeyed: list[NormalizedName] = field(default_factory=list)
    outdated: dict[NormalizedName, str] = field(default_factory=dict)
    frozen: list[NormalizedName] = field(default_factory=list)
    done: list[NormalizedName] = field(default_factory=list)
    offline: Mapping[str, Metadata[Targets]] = field(default_factory=dict)
    online: Mapping[str, Metadata[Targets]] = field(default_factory=dict)
    projects: list[SignedProject] = field(default_factory=list)


@dataclass(frozen=True)
class Promoted:
    """The result of a promotion."""

    promotion: Promotion
    published: Published


def plan(repository: Repository, names: Collection[NormalizedName] = ()) -> Promotion:
    """Find out what is to be signed. The repository's lock must be held.

    Args:
        repository: The repository.
        names: The projects to promote. If empty, all that wait, except for changes of keys of
            frozen projects.

    Raises:
        RepositoryStateError: One of ``names`` waits for nothing; or a project is in both
            ``claimed`` and ``recently-claimed``.
    """
    promotion = Promotion()
    register = Register(repository)
    recent = repository.roles().claims_below(RECENTLY_CLAIMED_ROLE)
    claimed = repository.roles().claims_below(CLAIMED_ROLE)
    for claim in sorted(recent.claims(), key=lambda claim: claim.project):
        if not names or claim.project in names:
            _check_not_claimed(claimed, claim)
            claimed.put(claim.project, claim.holders, claim.since)
            recent.drop(claim.project)
            promotion.moved.append(claim.project)
    frozen = register.frozen()
    pending = [each for each in register.all_pending() if not names or each in names]
    for project in pending:
        if project in frozen and not names:
            promotion.frozen.append(project)
        else:
            _rekey(repository, register, project, claimed, promotion)
    for name in names:
        if name not in promotion.moved and name not in pending:
            raise RepositoryStateError(
                f"{name} waits for nothing: it is claimed already, or it does not sign for itself"
            )
    promotion.offline, promotion.online = claimed.changed, recent.changed
    return promotion


def _check_not_claimed(claimed: ClaimTree, claim: Claim) -> None:
    """Check that ``claim``, which only the online key has signed, replaces no other claim.

    The keys of a claimed project change only with its maintainers' signatures (``_rekey``).
    Otherwise a thief of the online key could claim a claimed project again with keys of his own,
    and have the offline keys sign them.
    """
    if claimed.find(claim.project) is not None:
        raise RepositoryStateError(
            f"{claim.project} is claimed already, and claimed once more with other keys "
            f"({', '.join(claim.holders.keyids)})",
            meaning="This repository does not do that: somebody else has its online key.",
            remedy="Nothing was signed. `securepip repo audit` says what is not yours; "
            "`securepip repo recover` replaces the keys.",
        )


def promote(repository: Repository, names: Collection[NormalizedName] = ()) -> Promoted:
    """Sign what ``plan`` says and make it current, all in one snapshot.

    Args:
        repository: Opened with its online key and that of ``claimed``.
        names: The projects to promote. If empty, all that wait.

    Raises:
        RepositoryStateError: A key is not here, or ``plan`` or ``accounted`` refuses.
    """
    with accounted(repository):
        promotion = plan(repository, names)
        published = Published()
        if promotion.offline or promotion.online:
            changed = {**promotion.offline, **promotion.online}
            published = repository.publish_signed(promotion.projects, changed)
        finish(repository, promotion)
        return Promoted(promotion, published)


def finish(repository: Repository, promotion: Promotion) -> None:
    """Forget the changes of keys that took effect with ``promotion``, or that never can."""
    register = Register(repository)
    for project in (*promotion.rekeyed, *promotion.outdated, *promotion.done):
        register.forget_pending(project)


def _rekey(
    repository: Repository,
    register: Register,
    project: NormalizedName,
    claimed: ClaimTree,
    promotion: Promotion,
) -> None:
    """Apply the project's waiting change of keys, if it can still take effect."""
    path = register.pending(project)
    state = state_in(repository, project)
    if path is None or state.claim is None:
        return
    try:
        with open_archive(path) as archive, TemporaryDirectory(prefix="securepip-") as folder:
            statement = read_statement(archive)
            if statement is None:
                raise RepositoryStateError("it says nothing about keys")
            change = statement.statement
            if change.holders == state.claim.holders:
                promotion.done.append(project)
                return
            checked = None
            with suppress(SecurepipError):
                checked = check(archive, state, change.holders, Path(folder))
            if checked is not None:
                check_statement(archive, checked, state.claim)
                promotion.projects.append(as_signed_project(checked))
            elif not (
                statement.is_signed_by(state.claim.holders)
                and change.version > state.claim.since
                and state.role is not None
                and is_signed_by(state.role, change.holders)
            ):
                raise RepositoryStateError("a release has come in between, without the new keys")
    except SecurepipError as error:
        promotion.outdated[project] = error.what
        return
    claimed.put(project, change.holders, change.version)
    promotion.rekeyed.append(project)
