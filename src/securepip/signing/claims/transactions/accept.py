"""Publishes the transactions that maintainers hand in: all of a transaction, or nothing.

Rule: a transaction is checked before the repository is locked, since that takes long. If the
project changes in the meantime, the transaction is checked again with the lock held. Transactions
of different projects can be accepted at the same time. Of two transactions of one project, the
version of its role says which comes first (PEP 480's rules of concurrency).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tuf.api.metadata import Metadata, Targets

from securepip.errors import RefusedError, RepositoryStateError, SecurepipError
from securepip.formats.layout import CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE
from securepip.formats.roles import reason_of
from securepip.signing.claims.transactions.archive import Archive, open_archive
from securepip.signing.claims.transactions.check import (
    Checked,
    Property,
    check,
    is_signed_by,
    read_statement,
    refused,
)
from securepip.signing.claims.transactions.compose import not_claimed
from securepip.signing.claims.transactions.state import ProjectState, state_in
from securepip.signing.publish.accounted import accounted
from securepip.signing.repository.claim_tree import Claim, Keyholders
from securepip.signing.repository.register import Register
from securepip.signing.repository.repository import Published, Repository, SignedProject


@dataclass(frozen=True)
class Accepted:
    """The result of accepting a transaction.

    Attributes:
        checked: Its contents; None if it was accepted before.
        published: What the repository signed for it; None if nothing.
        waiting: Whether its change of keys now waits for the offline keys.
        outdated: Whether it outdates an earlier change of keys, which maintainers must make again.
    """

    checked: Checked | None = None
    published: Published | None = None
    waiting: bool = False
    outdated: bool = False


def accept(repository: Repository, path: Path, *, restore: bool = False) -> Accepted:
    """Publish a transaction of a project that signs for itself.

    Args:
        repository: Opened with its online key.
        path: The transaction.
        restore: Also publish files that the operator removed before the project was claimed.

    Raises:
        RefusedError: It lacks a property; the error says which.
        FormatError: ``path`` is no transaction.
        RepositoryStateError: The project does not sign for itself, or is frozen, or its files
            cannot be published here.
    """
    with _opened(repository, path, _holders_of_release) as (archive, checked):
        if checked is None:
            return Accepted()
        register = Register(repository)
        register.check_not_frozen(archive.project)
        present, statement = checked.before.claim, checked.statement
        if present is None:
            raise not_claimed(archive.project)
        signed = as_signed_project(checked)
        if restore:
            for file in checked.files:
                repository.ledger.restore(archive.project, file.filename)
        if statement is None:
            outdated = _outdates(checked.role, register.pending(archive.project))
            return Accepted(checked, repository.publish_signed([signed]), outdated=outdated)
        check_statement(archive, checked, present)
        if present.top != RECENTLY_CLAIMED_ROLE:
            register.keep_pending(archive.project, path)
            return Accepted(checked, waiting=True)
        tree = repository.roles().claims_below(RECENTLY_CLAIMED_ROLE)
        change = statement.statement
        tree.put(archive.project, change.holders, change.version)
        return Accepted(checked, repository.publish_signed([signed], tree.changed))


def claim(repository: Repository, path: Path, *, replace_keys: bool = False) -> Accepted:
    """Accept the request of a project to sign for itself from now on.

    The delegation, the project's role and its removal from the bins become current in one
    snapshot. A delegation without the role would stop every client, and a role without the earlier
    releases would make them vanish.

    Args:
        repository: Opened with its online key; to replace keys of a project in ``claimed``, with
            the keys of ``claimed`` too.
        path: The request.
        replace_keys: Replace the keys of a project that has lost them, as its request asks. This is
            the operator's decision: no present key has signed the request.

    Raises:
        RefusedError, FormatError: As ``accept``.
        RepositoryStateError: The project signs for itself already, or a key is not here.
    """
    holders_of = _holders_of_lost_claim if replace_keys else _holders_of_claim
    with _opened(repository, path, holders_of) as (archive, checked):
        if checked is None:
            return Accepted()
        statement = checked.statement
        if statement is None:
            raise _no_claim(archive)
        if checked.page != checked.before.page:
            what = f"it is not of the page of {archive.project} that is published now"
            remedy = "Its maintainers make the request again: `securepip sign claim`."
            raise refused(archive, Property.CONSISTENT, what, remedy)
        present = checked.before.claim
        top = present.top if present else RECENTLY_CLAIMED_ROLE
        tree = repository.roles().claims_below(top)
        tree.put(archive.project, statement.statement.holders, statement.statement.version)
        signed = as_signed_project(checked)
        # Only the keys of `claimed` are offline keys, which must not sign on top of a forged state.
        with accounted(repository) if top == CLAIMED_ROLE else nullcontext():
            done = Accepted(checked, repository.publish_signed([signed], tree.changed))
        # A thief of the old keys may have asked for a change of keys: it must never take effect.
        Register(repository).forget_pending(archive.project)
        return done


def check_statement(archive: Archive, checked: Checked, claim: Claim) -> None:
    """Check that the project's present keys have signed a change of its keys.

    Raises:
        RefusedError: They have not; or the change is an old one, or changes the page too.
        RepositoryStateError: It says that the present keys are lost: the operator has to decide.
    """
    statement = checked.statement
    if statement is not None and statement.statement.lost:
        raise RepositoryStateError(
            f"{archive.path.name} asks for other keys because those of before are lost",
            remedy="If you know that those who ask are the maintainers: "
            "`securepip repo claim --replace-keys`",
        )
    if statement is None or not statement.is_signed_by(claim.holders):
        what = "too few of the project's present keys have signed the change of keys"
        remedy = f"The next maintainer signs: securepip sign add-signature {archive.path}"
        raise refused(archive, Property.THRESHOLD, what, remedy)
    if statement.statement.version <= claim.since:
        # A change of keys that was signed long ago could bring back a key that was removed since.
        raise refused(archive, Property.VERSION, "the change of keys is an old one")
    if checked.page != checked.before.page:
        what = "it changes the project's keys and its page: these are two transactions"
        raise refused(archive, Property.CONSISTENT, what)


def as_signed_project(checked: Checked) -> SignedProject:
    """The role and files of a checked transaction, in the form that the repository publishes."""
    return SignedProject(checked.role, checked.page, checked.page_bytes, checked.files)


def _outdates(role: Metadata[Targets], pending: Path | None) -> bool:
    """Whether ``role`` keeps the waiting change of keys from taking effect."""
    if pending is None:
        return False
    try:
        with open_archive(pending) as archive:
            statement = read_statement(archive)
    except SecurepipError:
        return True
    return statement is None or not is_signed_by(role, statement.statement.holders)


Holders = Callable[[Archive, ProjectState], Keyholders]


@contextmanager
def _opened(
    repository: Repository, path: Path, holders_of: Holders
) -> Iterator[tuple[Archive, Checked | None]]:
    """Open and check a transaction, and lock the repository.

    The files are checked before the lock is taken. If the project has changed by then, they are
    checked once more.

    Yields:
        The transaction and its checked contents; None for the contents if it is current already.
    """
    with (
        open_archive(path) as archive,
        TemporaryDirectory(prefix="securepip-") as first,
        TemporaryDirectory(prefix="securepip-") as second,
    ):
        state = state_in(repository, archive.project)
        checked = None
        if not _is_current(archive, state):
            checked = check(archive, state, holders_of(archive, state), Path(first))
        with repository.lock():
            state = state_in(repository, archive.project)
            if _is_current(archive, state):
                checked = None
            elif checked is None or state != checked.before:
                checked = check(archive, state, holders_of(archive, state), Path(second))
            if checked is not None:
                repository.log.give_words(reason_of(checked.role.signed))
            yield archive, checked


def _is_current(archive: Archive, state: ProjectState) -> bool:
    """Whether the transaction's role is published already, for example by a run that was killed."""
    if state.role is None:
        return False
    try:
        return bool(Metadata[Targets].from_bytes(archive.role()) == state.role)
    except Exception:  # the checks that follow say what is wrong with it
        return False


def _holders_of_release(archive: Archive, state: ProjectState) -> Keyholders:
    if state.claim is None:
        if archive.statement() is not None:
            raise RepositoryStateError(
                f"{archive.path.name} asks that {archive.project} signs for itself",
                remedy="If you know that those who ask are its maintainers: `securepip repo claim`",
            )
        raise not_claimed(archive.project)
    statement = read_statement(archive)
    return statement.statement.holders if statement else state.claim.holders


def _no_claim(archive: Archive) -> RefusedError:
    return refused(archive, Property.THRESHOLD, "it says nothing about keys: it is no claim")


def _holders_of_claim(archive: Archive, state: ProjectState) -> Keyholders:
    holders = _asking(archive)
    if state.claim is not None:
        raise RepositoryStateError(
            f"{archive.project} signs for itself already",
            remedy="If its keys are lost, and you know that those who ask are its maintainers: "
            "--replace-keys",
        )
    return holders


def _holders_of_lost_claim(archive: Archive, state: ProjectState) -> Keyholders:
    holders = _asking(archive)
    statement = read_statement(archive)
    if state.claim is None or statement is None or not statement.statement.lost:
        raise RepositoryStateError(
            f"{archive.path.name} does not ask for other keys of a project whose keys are lost",
            remedy="Its maintainers make such a request with `securepip sign claim --lost-keys`.",
        )
    return holders


def _asking(archive: Archive) -> Keyholders:
    """The keys that a request names. They must have signed the request themselves."""
    statement = read_statement(archive)
    if statement is None:
        raise _no_claim(archive)
    holders = statement.statement.holders
    if not statement.is_signed_by(holders):
        # A project claimed with keys that nobody has could never release again.
        what = "too few of the keys that it names have signed the request"
        remedy = f"The next maintainer signs: securepip sign add-signature {archive.path}"
        raise refused(archive, Property.THRESHOLD, what, remedy)
    return holders
