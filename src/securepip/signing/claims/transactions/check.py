"""The checks that a transaction has to pass: PEP 480's six properties, and increasing versions.

Rule: the order is part of the protection. Signatures are checked first, so that no file is read for
somebody without the project's keys. Then come the contents of the role, and then the page and the
files, each up to its signed length. Maintainers run the same checks before they add a signature.

Source: PEP 480, "Snapshot Process".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from securesystemslib.exceptions import UnverifiedSignatureError
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Targets

from securepip.errors import FormatError, RefusedError
from securepip.formats.core_metadata import MAX_METADATA_BYTES
from securepip.formats.digests import Sha256, parse_sha256, sha256_of
from securepip.formats.distribution import parse_distribution
from securepip.formats.layout import (
    REASON_FIELD,
    REPOSITORY_FIELD,
    ROLE_FIELD,
    check_filename,
    file_target,
    page_target,
    project_role,
)
from securepip.formats.page import MAX_PAGE_BYTES, PageFile, ProjectPage, parse_page
from securepip.formats.roles import Naming, check_name, reason_of
from securepip.signing.claims.transactions.archive import Archive
from securepip.signing.claims.transactions.state import ProjectState
from securepip.signing.claims.transactions.statement import SignedStatement, parse_statement
from securepip.signing.publish.add import read_distribution
from securepip.signing.repository.claim_tree import Keyholders
from securepip.signing.repository.repository import NewFile


class Property(Enum):
    """The properties that PEP 480 asks of a transaction, in its order; the last one is our own."""

    THRESHOLD = "a threshold of the project's registered keys has signed its role"
    SIGNATURES = "all signatures are valid"
    EXPIRY = "nothing has expired"
    CONSISTENT = "metadata and targets are consistent"
    DELEGATIONS = "nobody delegates targets that were not delegated to them"
    TARGETS = "nobody signs for targets that were not delegated to them"
    VERSION = "versions only go up"


@dataclass(frozen=True)
class Checked:
    """A checked transaction. It has every property, but perhaps not every signature yet.

    Attributes:
        role: The project's role.
        page: The page that the role signs.
        page_bytes: The signed bytes of the page.
        files: The new distributions, extracted.
        statement: The statement about the project's keys; None unless they change.
        signed_by: The ids of the keys whose signatures on the role are valid.
        before: The published state that the transaction was checked against.
    """

    role: Metadata[Targets]
    page: ProjectPage
    page_bytes: bytes
    files: tuple[NewFile, ...]
    statement: SignedStatement | None
    signed_by: tuple[str, ...]
    before: ProjectState

    @property
    def added(self) -> list[str]:
        """The names of the files that the transaction adds."""
        return [file.filename for file in self.page.files if not self._old(file)]

    @property
    def withdrawn(self) -> list[str]:
        """The names of the files that the transaction takes off the page."""
        return [file.filename for file in self.before.page.files if not self._new(file)]

    @property
    def yanked(self) -> list[str]:
        """The files that become yanked, or are no longer yanked, in words."""
        changed = []
        for file in self.page.files:
            old = self._old(file)
            before = old.yanked if old else None
            if file.yanked != before:
                verb = "yanked" if file.yanked is not None else "no longer yanked"
                changed.append(f"{file.filename} ({verb})")
        return changed

    def _old(self, file: PageFile) -> PageFile | None:
        return self.before.page.file(file.filename)

    def _new(self, file: PageFile) -> PageFile | None:
        return self.page.file(file.filename)


def read_statement(archive: Archive) -> SignedStatement | None:
    """The statement about keys in a transaction; None if there is none.

    Raises:
        RefusedError: It is of another project, or cannot be read.
        FormatError: Its member is damaged or too long.
    """
    data = archive.statement()
    if data is None:
        return None
    try:
        signed = parse_statement(data)
    except FormatError as error:
        raise refused(archive, Property.CONSISTENT, error.what) from None
    if signed.statement.project != archive.project:
        what = f"it holds a statement about the keys of {signed.statement.project}"
        raise refused(archive, Property.TARGETS, what)
    return signed


def check(
    archive: Archive,
    state: ProjectState,
    holders: Keyholders,
    folder: Path,
    *,
    complete: bool = True,
) -> Checked:
    """Check a transaction against what is published.

    Args:
        archive: The transaction.
        state: The published state of the project.
        holders: The keys that have to sign the role.
        folder: An empty folder, into which the new distributions are extracted.
        complete: Whether all signatures must be there. If not, the signature of one present or
            future maintainer is enough.

    Raises:
        RefusedError: It lacks a property.
        FormatError: It is no transaction.
    """
    role = _parse_role(archive, state.naming)
    statement = read_statement(archive)
    needed = holders.threshold
    if not complete:
        # When a project is handed over, its present maintainers sign the statement, and its future
        # maintainers sign the role.
        present = state.claim.holders if state.claim else None
        begun = statement is not None and present is not None and statement.is_begun_by(present)
        needed = 0 if begun else 1
    signed_by = _check_signatures(archive, role, holders, needed)
    signed = role.signed
    if signed.version != state.version + 1:
        raise refused(
            archive,
            Property.VERSION,
            f"its role has version {signed.version}, where {state.version} is published: "
            f"{state.version + 1} has to follow",
            remedy="Somebody has released in the meantime. Make the transaction again.",
        )
    if signed.is_expired():
        raise refused(archive, Property.EXPIRY, f"its role expired on {signed.expires:%Y-%m-%d}")
    if signed.delegations is not None:
        raise refused(
            archive, Property.DELEGATIONS, "its role delegates, which a project's may not"
        )
    targets = _check_paths(archive, signed)
    page_bytes, page = _check_page(archive, targets, state)
    files = tuple(
        _check_new(archive, file, folder / str(number))
        for number, file in enumerate(page.files)
        if state.page.file(file.filename) is None
    )
    spare = set(archive.filenames) - {file.filename for file in files}
    if spare:
        what = f"it holds {sorted(spare)[0]}, which is no new file of its page"
        raise refused(archive, Property.CONSISTENT, what)
    if statement is not None and statement.statement.version != signed.version:
        what = f"its statement about keys is of version {statement.statement.version} of the role"
        raise refused(archive, Property.VERSION, what)
    return Checked(role, page, page_bytes, files, statement, signed_by, state)


def named_repository(archive: Archive) -> object:
    """The repository that the role says it is for; nobody has verified it yet.

    Returns:
        The sha256 of the repository's first root; None if the role names none.

    Raises:
        RefusedError: The role cannot be read.
    """
    return _read_role(archive).signed.unrecognized_fields.get(REPOSITORY_FIELD)


def is_signed_by(role: Metadata[Targets], holders: Keyholders) -> bool:
    """Whether enough of these keys have signed ``role``."""
    valid = 0
    for key in holders.keys:
        signature = role.signatures.get(key.keyid)
        with suppress(UnverifiedSignatureError):
            if signature is not None:
                key.verify_signature(signature, role.signed_bytes)
                valid += 1
    return valid >= holders.threshold


def _read_role(archive: Archive) -> Metadata[Targets]:
    try:
        role = Metadata[Targets].from_bytes(archive.role())
        if type(role.signed.version) is not int:
            # `true` is a number to Python, and breaks the snapshot for clients elsewhere.
            raise ValueError(f"not a version: {role.signed.version!r:.80}")
        _ = role.signed_bytes  # a role that cannot be serialized again cannot be published
    except (RepositoryError, ValueError, RecursionError) as error:
        raise refused(archive, Property.SIGNATURES, f"its role cannot be read: {error}") from None
    if not isinstance(role.signed, Targets):
        raise refused(archive, Property.SIGNATURES, "its role is metadata of another kind")
    return role


def _parse_role(archive: Archive, naming: Naming) -> Metadata[Targets]:
    role = _read_role(archive)
    try:
        check_name(project_role(archive.project), role.signed, naming)
        reason_of(role.signed)
    except FormatError as error:
        raise refused(archive, Property.CONSISTENT, error.what) from None
    names = {ROLE_FIELD, REPOSITORY_FIELD, REASON_FIELD}
    fields: list[Collection[str]] = [
        role.unrecognized_fields,
        role.signed.unrecognized_fields.keys() - names,
    ]
    fields += [target.unrecognized_fields for target in role.signed.targets.values()]
    fields += [signature.unrecognized_fields for signature in role.signatures.values()]
    if any(fields):
        # Every client would download and parse these fields, however many there are.
        raise refused(archive, Property.CONSISTENT, "its role holds fields that mean nothing here")
    return role


def _check_signatures(
    archive: Archive, role: Metadata[Targets], holders: Keyholders, needed: int
) -> tuple[str, ...]:
    """Check that every signature is valid, and that there are ``needed``; the ids of their keys."""
    known = {key.keyid: key for key in holders.keys}
    for keyid, signature in role.signatures.items():
        key = known.get(keyid)
        if key is None:
            what = f"its role is signed by a key that is not the project's: {keyid:.80}"
            raise refused(archive, Property.SIGNATURES, what)
        try:
            key.verify_signature(signature, role.signed_bytes)
        except UnverifiedSignatureError:
            what = f"the signature of {keyid} on its role is not valid"
            raise refused(archive, Property.SIGNATURES, what) from None
    valid = tuple(keyid for keyid in holders.keyids if keyid in role.signatures)
    if len(valid) < needed:
        raise refused(
            archive,
            Property.THRESHOLD,
            f"{len(valid)} of the project's keys have signed its role, {holders.threshold} of "
            f"{len(holders.keys)} have to",
            remedy=f"The next maintainer signs: securepip sign add-signature {archive.path}",
        )
    return valid


def _check_paths(archive: Archive, role: Targets) -> Mapping[str, tuple[int, Sha256]]:
    """The length and digest of each target of the role. Each must be a target of the project."""
    targets: dict[str, tuple[int, Sha256]] = {}
    page = page_target(archive.project)
    for path, target in role.targets.items():
        try:
            own = path in (page, file_target(archive.project, path.rpartition("/")[2]))
        except FormatError:
            own = False
        if not own:
            raise refused(archive, Property.TARGETS, f"it signs for {path!r:.200}")
        targets[path] = _length_and_hash(archive, target)
    return targets


def _length_and_hash(archive: Archive, target: TargetFile) -> tuple[int, Sha256]:
    try:
        sha256 = parse_sha256(target.hashes.get("sha256"))
    except FormatError as error:
        raise refused(archive, Property.CONSISTENT, error.what) from None
    # Exactly one, in lower case: clients build the name of the file from its first digest.
    if target.hashes != {"sha256": sha256}:
        what = f"{target.path} must be signed with one hash, a sha256 in lower case"
        raise refused(archive, Property.CONSISTENT, what)
    return target.length, sha256


def _check_page(
    archive: Archive, targets: Mapping[str, tuple[int, Sha256]], state: ProjectState
) -> tuple[bytes, ProjectPage]:
    """The signed page. It must list the files of the role, with the same lengths and digests."""
    length, sha256 = targets.get(page_target(archive.project), (0, None))
    if sha256 is None or length > MAX_PAGE_BYTES:
        raise refused(archive, Property.CONSISTENT, "its role signs for no page")
    try:
        data = archive.page(length)
        if sha256_of(data) != sha256:
            raise FormatError("its page is not the one that its role signs for")
        page = parse_page(data, archive.project)
        if json.loads(data) != json.loads(page.to_json()):
            # A field that we do not read could break clients that read it.
            raise FormatError("its page holds fields that mean nothing here")
    except FormatError as error:
        raise refused(archive, Property.CONSISTENT, error.what) from None
    on_page = {
        file_target(page.project, file.filename): (file.size, file.sha256) for file in page.files
    }
    signed = {path: each for path, each in targets.items() if path != page_target(page.project)}
    if on_page != signed:
        odd = sorted(dict(on_page.items() ^ signed.items()))[0]
        raise refused(archive, Property.CONSISTENT, f"page and role do not agree about {odd}")
    names = {file.filename.lower() for file in page.files}
    if len(names) != len(page.files):
        # On some file systems the two would be one file.
        raise refused(archive, Property.CONSISTENT, "its page names one file in two ways")
    for file in page.files:
        _check_entry(archive, file, state.page.file(file.filename))
    return data, page


def _check_entry(archive: Archive, file: PageFile, old: PageFile | None) -> None:
    """Check that a file belongs to the project, and that a published file is unchanged."""
    if parse_distribution(check_filename(file.filename), archive.project) is None:
        what = f"{file.filename} is not a distribution of {archive.project}"
        raise refused(archive, Property.TARGETS, what)
    if old is not None and file._replace(yanked=old.yanked) != old:
        what = f"it changes {file.filename}, which is published: files never change"
        raise refused(archive, Property.CONSISTENT, what)


def _check_new(archive: Archive, file: PageFile, path: Path) -> NewFile:
    """Extract a new distribution. It must have the signed bytes, and agree with its page entry."""
    try:
        if file.size is None:
            raise FormatError(f"the page gives no length of {file.filename}")
        archive.extract(file.filename, file.size, path)
        distribution = read_distribution(path, file.upload_time, filename=file.filename)
        if (distribution.page_file.size, distribution.page_file.sha256) != (file.size, file.sha256):
            raise FormatError(f"{file.filename} is not the file that its role signs for")
        if distribution.new.project != archive.project:
            raise FormatError(f"{file.filename} is a distribution of {distribution.new.project}")
        if file._replace(yanked=None) != distribution.page_file:
            # The address is compared too: another host could serve anything to clients that do not
            # verify.
            raise FormatError(
                f"{file.filename} does not hold the metadata that its page says, or its page has "
                f"it elsewhere than in the repository: {file.url!r:.200}"
            )
        metadata = archive.core_metadata(file.filename, MAX_METADATA_BYTES)
        if metadata is not None and metadata != distribution.new.core_metadata:
            raise FormatError(f"the .metadata of {file.filename} is not what it holds")
    except FormatError as error:
        raise refused(archive, Property.CONSISTENT, error.what) from None
    return distribution.new


def refused(archive: Archive, failed: Property, what: str, remedy: str = "") -> RefusedError:
    """Make the error that says which property ``archive`` lacks, and why."""
    return RefusedError(
        f"{archive.path.name} for {project_role(archive.project)} is refused: {what}",
        meaning=f"It lacks a property that PEP 480 asks for: {failed.value}.",
        remedy=remedy or "Nothing was published. Ask those who made it.",
    )
