"""Making transactions: what maintainers want to publish, signed as far as their keys are here.

Rule: a transaction starts from what is published and verified. It says all of that again, with the
next version number, and adds only what the maintainer has named.
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
        role: The project's next role; signatures are added to it.
        page_bytes: The page that it signs for.
        files: Distributions that are new.
        statement: About the project's keys, where they change.
        holders: Who has to sign the role.
        present: Who has to sign the statement too: the present holders, where there are any.
        project: Its name.
    """

    role: Metadata[Targets]
    page_bytes: bytes
    files: tuple[NewFile, ...]
    statement: SignedStatement | None
    holders: Keyholders
    present: Keyholders | None
    project: NormalizedName

    def sign(self, keys: KeyRing) -> list[str]:
        """Add the signatures of all keys that are here.

        Returns:
            The ids of the keys that have signed the role or the statement now.

        Raises:
            RepositoryStateError: None of them is here, or one cannot be used.
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
        """How many signatures are still needed; 0 when it is ready to be handed in."""
        missing = self.holders.threshold - len(self.role.signatures)
        if self.statement is not None:
            signed = self.statement.envelope.signatures
            for holders in filter(None, (self.holders, self.present)):
                have = sum(keyid in signed for keyid in holders.keyids)
                missing = max(missing, holders.threshold - have)
        return max(missing, 0)

    def write(self, path: Path) -> None:
        """Write it as one file.

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
    """The transaction that makes ``page`` the project's page.

    Args:
        state: What is published.
        page: The page from now on.
        files: The distributions on it that are new.
        holders: Who signs for the project from now on, where that changes.
        lost: Whether it changes because the keys of before are lost.
        days: How long the signatures are valid.

    Raises:
        RepositoryStateError: The project is not claimed, and ``holders`` does not say by whom.
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
        said = Statement(state.project, version, holders, lost)
        statement = SignedStatement(said, said.to_envelope())
    return Draft(role, data, tuple(files), statement, after, present, state.project)


def again(checked: Checked, holders: Keyholders) -> Draft:
    """The transaction that was checked, for further signatures."""
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
    """``page`` with more files; one that it offers already, with the same bytes, stays as it is.

    Raises:
        RepositoryStateError: One is of another project, or published already with other bytes.
    """
    files = {file.filename: file for file in page.files}
    lower = {name.lower(): name for name in files}
    for each in distributions:
        new = each.page_file
        if each.new.project != page.project:
            raise RepositoryStateError(f"{new.filename} is a distribution of {each.new.project}")
        there = files.get(lower.get(new.filename.lower(), ""))
        if there is not None and (there.filename, there.sha256) == (new.filename, new.sha256):
            continue
        if there is not None:
            raise RepositoryStateError(
                f"{there.filename} is published already, and published files never change",
                remedy="Give the new build a new version or build number.",
            )
        files[new.filename] = new
    return replace(page, files=tuple(files.values()))


def yanked(page: ProjectPage, what: str, reason: str | None) -> ProjectPage:
    """``page`` with a release or file yanked (PEP 592); with no reason, not yanked any more.

    Raises:
        RepositoryStateError: There is no such release or file.
    """
    chosen = select(page, what)
    files = tuple(each._replace(yanked=reason) if each in chosen else each for each in page.files)
    return replace(page, files=files)


def withdrawn(page: ProjectPage, what: str) -> ProjectPage:
    """``page`` without a release or file.

    Raises:
        RepositoryStateError: There is no such release or file.
    """
    chosen = select(page, what)
    return replace(page, files=tuple(each for each in page.files if each not in chosen))


def select(page: ProjectPage, what: str) -> list[PageFile]:
    """The files of ``page`` that ``what`` names: a version, or a file's name.

    Raises:
        UsageError: It is neither.
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
    """The keys of a project, changed.

    Args:
        claim: The project, with its present keys.
        add: Keys that come.
        remove: The beginnings of the ids of those that go.
        threshold: How many have to sign from now on; None for as many as now.

    Raises:
        UsageError: No key, or several, have an id that begins so.
        FormatError: What is left makes no sense.
    """
    keys = list(claim.holders.keys)
    for start in remove:
        found = [key for key in keys if key.keyid.startswith(start)]
        if len(found) != 1:
            raise UsageError(
                f"{counted(len(found), 'key')} of {claim.project} with an id beginning {start!r}"
            )
        keys.remove(found[0])
    return check_holders((*keys, *add), threshold or claim.holders.threshold)


def not_claimed(project: NormalizedName) -> RepositoryStateError:
    """What is said when a project does not sign for itself."""
    return RepositoryStateError(
        f"{project} does not sign for itself: the repository does",
        remedy=f"`securepip sign claim {project}` makes the request for its operator.",
    )


def _signers(keys: KeyRing, holders: Keyholders) -> list[Signer]:
    found: Iterable[Signer | None] = map(keys.find, holders.keys)
    return [signer for signer in found if signer is not None]
