"""Makes transactions, and signs them with the maintainers' keys that are on this machine.

Rule: a transaction starts from the published and verified state of the project. It repeats that
state with the next version number, and changes only what the maintainer asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from packaging.utils import NormalizedName
from packaging.version import InvalidVersion, Version
from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, TargetFile, Targets

from securepip.errors import RepositoryStateError, UsageError
from securepip.formats.digests import sha256_of
from securepip.formats.distribution import is_distribution, parse_distribution
from securepip.formats.layout import METADATA_SUFFIX, file_target, page_target, project_role
from securepip.formats.page import PageFile, ProjectPage
from securepip.formats.roles import name_role
from securepip.formats.words import counted
from securepip.signing.claims.transactions.archive import (
    KEYS_MEMBER,
    role_member,
    target_member,
    write_archive,
)
from securepip.signing.claims.transactions.check import Checked
from securepip.signing.claims.transactions.state import ProjectState
from securepip.signing.claims.transactions.statement import (
    SignedStatement,
    Statement,
    check_holders,
)
from securepip.signing.keys.canonical import COMPACT
from securepip.signing.keys.ring import KeyRing
from securepip.signing.publish.add import Distribution
from securepip.signing.repository.claim_tree import Claim, Keyholders
from securepip.signing.repository.commit import now
from securepip.signing.repository.repository import NewFile

DEFAULT_DAYS = 365
"""How long a project's signatures are valid unless its maintainers say otherwise."""


@dataclass(frozen=True)
class Draft:
    """A transaction that is being made.

    Attributes:
        role: The next version of the project's role; signatures are added to it.
        page_bytes: The page that the role signs.
        files: The new distributions.
        statement: The statement about the project's keys; None unless they change.
        holders: The keys that have to sign the role, and the statement.
        present: The present keys, which have to sign the statement too; None where there are none,
            or where they are lost.
        project: The name of the project.
    """

    role: Metadata[Targets]
    page_bytes: bytes
    files: tuple[NewFile, ...]
    statement: SignedStatement | None
    holders: Keyholders
    present: Keyholders | None
    project: NormalizedName

    def sign(self, keys: KeyRing) -> list[str]:
        """Sign with all keys that are on this machine.

        Returns:
            The ids of the keys that have signed the role or the statement now.

        Raises:
            RepositoryStateError: None of the keys is here, or one cannot be used.
        """
        role_signers = _signers(keys, self.holders)
        for signer in role_signers:
            self.role.sign(signer, append=True)
        statement_signers = role_signers
        if self.statement is not None:
            present = _signers(keys, self.present) if self.present else []
            statement_signers = [*role_signers, *present]
            self.statement.sign(statement_signers)
        if not statement_signers:
            raise RepositoryStateError(
                f"none of the keys of {self.project} is here",
                meaning=f"It is signed with: {', '.join(self.holders.keyids)}",
                remedy="--keys DIR names the folder of your key.",
            )
        return list(dict.fromkeys(signer.public_key.keyid for signer in statement_signers))

    def missing(self) -> int:
        """How many signatures are missing; 0 when the transaction can be handed in."""
        missing = self.holders.threshold - len(self.role.signatures)
        if self.statement is not None:
            signed = self.statement.envelope.signatures
            for holders in filter(None, (self.holders, self.present)):
                present = sum(keyid in signed for keyid in holders.keyids)
                missing = max(missing, holders.threshold - present)
        return max(missing, 0)

    def write(self, path: Path) -> None:
        """Write the transaction as one file.

        Raises:
            FormatError: It cannot be written.
        """
        members: list[tuple[str, bytes | Path]] = [
            (role_member(self.project), self.role.to_bytes(COMPACT))
        ]
        if self.statement is not None:
            members.append((KEYS_MEMBER, self.statement.to_json()))
        members.append((target_member(page_target(self.project)), self.page_bytes))
        for file in self.files:
            target = target_member(file_target(self.project, file.filename))
            members.append((target, file.path))
            if file.core_metadata is not None:
                members.append((target + METADATA_SUFFIX, file.core_metadata))
        write_archive(path, members)


def draft(
    state: ProjectState,
    page: ProjectPage,
    files: Sequence[NewFile] = (),
    *,
    holders: Keyholders | None = None,
    lost: bool = False,
    days: int = DEFAULT_DAYS,
) -> Draft:
    """Make the transaction that makes ``page`` the project's page.

    Args:
        state: The published state of the project.
        page: The new page.
        files: The new distributions on the page.
        holders: The new keys of the project; None if they stay.
        lost: Whether the keys change because the present ones are lost.
        days: How long the signatures are valid.

    Raises:
        RepositoryStateError: The project is not claimed and ``holders`` is None; or the page gives
            no length of a file.
    """
    present = state.claim.holders if state.claim and not lost else None
    after = holders or present
    if after is None:
        raise not_claimed(state.project)
    data = page.to_json()
    path = page_target(state.project)
    targets = {path: TargetFile(len(data), {"sha256": sha256_of(data)}, path)}
    for file in page.files:
        if file.size is None:
            raise RepositoryStateError(f"the page gives no length of {file.filename}")
        path = file_target(state.project, file.filename)
        targets[path] = TargetFile(file.size, {"sha256": file.sha256}, path)
    version = state.version + 1
    role = Metadata(Targets(version, expires=now() + timedelta(days=days), targets=targets))
    name_role(role.signed, project_role(state.project), state.naming.repository)
    statement = None
    if holders is not None:
        body = Statement(state.project, version, holders, lost)
        statement = SignedStatement(body, body.to_envelope())
    return Draft(role, data, tuple(files), statement, after, present, state.project)


def again(checked: Checked, holders: Keyholders) -> Draft:
    """Make a draft of a checked transaction, so that further keys can sign it."""
    claim = checked.before.claim
    lost = checked.statement is not None and checked.statement.statement.lost
    present = claim.holders if claim and not lost else None
    return Draft(
        checked.role,
        checked.page_bytes,
        checked.files,
        checked.statement,
        holders,
        present,
        checked.page.project,
    )


def with_files(page: ProjectPage, distributions: Iterable[Distribution]) -> ProjectPage:
    """``page`` with more files. A file that it lists already with the same bytes stays as it is.

    Raises:
        RepositoryStateError: One is of another project, or published already with other bytes.
    """
    files = {file.filename: file for file in page.files}
    lower = {name.lower(): name for name in files}
    for each in distributions:
        new = each.page_file
        if each.new.project != page.project:
            raise RepositoryStateError(f"{new.filename} is a distribution of {each.new.project}")
        old = files.get(lower.get(new.filename.lower(), ""))
        if old is not None and (old.filename, old.sha256) == (new.filename, new.sha256):
            continue
        if old is not None:
            raise RepositoryStateError(
                f"{old.filename} is published already, and published files never change",
                remedy="Give the new build a new version or build number.",
            )
        files[new.filename] = new
    return replace(page, files=tuple(files.values()))


def yanked(page: ProjectPage, what: str, reason: str | None) -> ProjectPage:
    """``page`` with a release or file yanked (PEP 592), or no longer yanked.

    Args:
        page: The page.
        what: A version, or the name of a file.
        reason: Why it is yanked, perhaps ""; None if it is no longer yanked.

    Raises:
        UsageError, RepositoryStateError: As ``select``.
    """
    chosen = select(page, what)
    files = tuple(each._replace(yanked=reason) if each in chosen else each for each in page.files)
    return replace(page, files=files)


def withdrawn(page: ProjectPage, what: str) -> ProjectPage:
    """``page`` without a release or file.

    Raises:
        UsageError, RepositoryStateError: As ``select``.
    """
    chosen = select(page, what)
    return replace(page, files=tuple(each for each in page.files if each not in chosen))


def select(page: ProjectPage, what: str) -> list[PageFile]:
    """The files of ``page`` that ``what`` names: a version, or the name of a file.

    Raises:
        UsageError: ``what`` is neither.
        RepositoryStateError: There is no such release or file.
    """
    if is_distribution(what):
        file = page.file(what)
        chosen = [file] if file else []
    else:
        try:
            wanted = Version(what)
        except InvalidVersion:
            raise UsageError(f"neither a version nor a file name: {what!r:.80}") from None
        names = {file: parse_distribution(file.filename, page.project) for file in page.files}
        chosen = [file for file, name in names.items() if name and name.version == wanted]
    if not chosen:
        raise RepositoryStateError(f"{page.project} has published no {what}")
    return chosen


def changed_holders(
    claim: Claim, add: Iterable[Key], remove: Iterable[str], threshold: int | None
) -> Keyholders:
    """The keys of a project after a change.

    Args:
        claim: The project's claim, with its present keys.
        add: Keys to add.
        remove: The ids of the keys to remove, or the beginnings of their ids.
        threshold: How many keys have to sign from now on; None for as many as now.

    Raises:
        UsageError: One of ``remove`` fits no key, or several.
        FormatError: As ``check_holders``.
    """
    keys = list(claim.holders.keys)
    for start in remove:
        matching = [key for key in keys if key.keyid.startswith(start)]
        if len(matching) != 1:
            raise UsageError(
                f"{counted(len(matching), 'key')} of {claim.project} with an id beginning {start!r}"
            )
        keys.remove(matching[0])
    return check_holders((*keys, *add), threshold or claim.holders.threshold)


def not_claimed(project: NormalizedName) -> RepositoryStateError:
    """Make the error for a project that does not sign for itself."""
    return RepositoryStateError(
        f"{project} does not sign for itself: the repository does",
        remedy=f"`securepip sign claim {project}` makes the request for its operator.",
    )


def _signers(keys: KeyRing, holders: Keyholders) -> list[Signer]:
    found: Iterable[Signer | None] = map(keys.find, holders.keys)
    return [signer for signer in found if signer is not None]
