"""Finds the state that a repository is brought back to after keys were stolen.

Rule: the stolen online keys may have signed anything since the copy was made, so the roles that
they sign are taken from the copy. They cannot have signed the roles of offline keys or projects, so
the newest version of each of these is taken, from here or from the copy. A file is left out if its
bytes are neither here nor in the copy. What was revoked stays revoked.

Source: PEP 458 and PEP 480, "In the event of a key compromise" and "Auditing Snapshots".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.utils import NormalizedName
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from securepip.errors import FormatError
from securepip.formats.digests import Sha256, parse_sha256
from securepip.formats.layout import (
    BINS_ROLE,
    CLAIMED_ROLE,
    METADATA_DIR,
    METADATA_SUFFIX,
    PAGE_NAME,
    RECENTLY_CLAIMED_ROLE,
    SIMPLE_DIR,
    consistent_path,
    file_target,
    page_target,
    project_of_target,
    relative_file_url,
)
from securepip.formats.page import PageFile, ProjectPage, parse_page
from securepip.formats.roles import Naming, check_role
from securepip.signing.repository.claim_tree import Claim, shards_in
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import Roles
from securepip.signing.repository.storage.interface import Reader
from securepip.signing.repository.storage.local import Folder


@dataclass
class Restored:
    """The state to restore.

    Attributes:
        base: The roles that the new state follows: those of the copy, and newer ones that can be
            believed.
        roles: Roles of projects that stay as they are, and are to be written again.
        targets: The targets that the bins are to sign.
        pages: The page of each project, its own if it signs for itself.
        unclaimed: Projects that only the stolen key had claimed. The bins sign for them again.
        lost: The targets that could not be restored, and why, by target path.
    """

    base: Roles
    roles: dict[str, Metadata[Targets]] = field(default_factory=dict)
    targets: dict[str, TargetFile] = field(default_factory=dict)
    pages: dict[NormalizedName, ProjectPage] = field(default_factory=dict)
    unclaimed: list[NormalizedName] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)


def restore(
    repository: Repository, good: Path, root: Metadata[Root], stolen: Collection[str]
) -> Restored:
    """Find the state to restore, and copy its missing files here.

    The current state does not change: files are written under names that carry their digest.

    Args:
        repository: Its lock must be held.
        good: A copy of the repository from before the keys were stolen.
        root: The newest root.
        stolen: Offline roles whose keys were stolen too. They too are taken from the copy.

    Raises:
        RepositoryStateError: The copy is not signed as it has to be.
    """
    base = Roles(good / METADATA_DIR, repository.config.root_sha256)
    restored = Restored(base)
    # These roles of the copy are read first, while the copy's own frame still verifies them.
    for name in base.bin_names():
        restored.targets |= base.role(name).signed.targets
    recent = {
        claim.project: base.role(claim.role).signed.targets
        for claim in base.claims_below(RECENTLY_CLAIMED_ROLE).claims()
    }
    _adopt_frame(repository, good, base, root.signed, stolen)
    claims = {claim.project: claim for claim in base.claims_below(CLAIMED_ROLE).claims()}
    restored.unclaimed = [project for project in recent if project not in claims]
    for project in restored.unclaimed:
        restored.targets |= recent[project]
    restored.targets = {
        path: target
        for path, target in restored.targets.items()
        if project_of_target(path) not in claims
    }
    base.root = root
    for claim in claims.values():
        _restore_claimed(repository, restored, good, claim)
    for path in [path for path in restored.targets if path.endswith(f"/{PAGE_NAME}")]:
        if path.startswith(f"{SIMPLE_DIR}/"):
            _restore_project(repository, restored, good, path)
    return restored


def _adopt_frame(
    repository: Repository, good: Path, base: Roles, root: Root, stolen: Collection[str]
) -> None:
    """Put the offline roles that were signed since the copy was made into ``base``.

    They are looked for among the files, and not in the current snapshot. The thief may have signed
    that snapshot, and made it list older versions or none, to undo claims since the copy.
    """
    frame: tuple[tuple[str, str], ...] = (
        ("targets", "root"), (BINS_ROLE, "targets"), (CLAIMED_ROLE, "targets")
    )  # fmt: skip
    for name, delegator in frame:
        if name in stolen:
            continue
        by = root if delegator == "root" else base.role(delegator).signed
        for role, metadata in _newest(repository, good, name, by).items():
            listed = base.snapshot.signed.meta.get(f"{role}.json")
            if listed is None or metadata.signed.version > listed.version:
                base.adopt(role, metadata)


def _newest(
    repository: Repository, good: Path, name: str, delegator: Root | Targets
) -> dict[str, Metadata[Targets]]:
    """The newest validly signed version of a role, with all shards below it; empty for none."""
    for metadata in _versions(repository, good, name):
        try:
            delegator.verify_delegate(name, metadata.signed_bytes, metadata.signatures)
            check_role(name, metadata.signed, delegator, Naming(repository.config.root_sha256))
        except (RepositoryError, ValueError, FormatError):
            continue
        shards = shards_in(metadata) if name.partition(".")[0] == CLAIMED_ROLE else []
        below = [_newest(repository, good, shard, metadata.signed) for shard in shards]
        if all(below):
            return {name: metadata, **{key: each for found in below for key, each in found.items()}}
    return {}


def _restore_claimed(repository: Repository, restored: Restored, good: Path, claim: Claim) -> None:
    """Restore the newest role that the project's own keys have signed and whose files exist."""
    delegator = restored.base.role(claim.delegator).signed
    for metadata in _versions(repository, good, claim.role):
        try:
            delegator.verify_delegate(claim.role, metadata.signed_bytes, metadata.signatures)
        except (RepositoryError, ValueError):
            continue
        missing = _missing(repository, good, claim, metadata)
        if not missing:
            restored.base.adopt(claim.role, metadata)
            restored.roles[claim.role] = metadata
            target = metadata.signed.targets[page_target(claim.project)]
            restored.pages[claim.project] = _read_page(repository, claim.project, target)
            return
        restored.lost |= missing
    restored.lost[page_target(claim.project)] = "no release of it has all its files"


def _versions(repository: Repository, good: Path, role: str) -> Iterator[Metadata[Targets]]:
    """All versions of a role that are here or in the copy, the newest first."""
    readers: dict[int, Reader] = {}
    pattern = re.compile(rf"([1-9][0-9]{{0,9}})\.{re.escape(role)}\.json")
    for reader in (Folder(good / METADATA_DIR), repository.storage.below(METADATA_DIR)):
        for stored in reader.list():
            if match := pattern.fullmatch(stored.name):
                readers[int(match[1])] = reader
    for version in sorted(readers, reverse=True):
        try:
            metadata = Metadata[Targets].from_bytes(readers[version].read(f"{version}.{role}.json"))
        except (FileNotFoundError, RepositoryError):
            continue  # a damaged file; errors of the storage are not caught
        if isinstance(metadata.signed, Targets) and metadata.signed.version == version:
            yield metadata


def _missing(
    repository: Repository, good: Path, claim: Claim, metadata: Metadata[Targets]
) -> dict[str, str]:
    """The targets of a project's role whose bytes are neither here nor in the copy, and why."""
    target = metadata.signed.targets.get(page_target(claim.project))
    if target is None or not _here(repository, good, target.path, target):
        return {page_target(claim.project): "its page is lost"}
    page = _read_page(repository, claim.project, target)
    return {
        file_target(claim.project, file.filename): "the file is lost"
        for file in page.files
        if not _file_here(repository, good, claim.project, file)
    }


def _restore_project(repository: Repository, restored: Restored, good: Path, path: str) -> None:
    """Restore a project that the bins sign for, without files that are lost or were revoked."""
    project, target = project_of_target(path), restored.targets[path]
    if project is None or not _here(repository, good, path, target):
        restored.lost[path] = "the page is lost"
        _forget(restored, path, project)
        return
    page = _read_page(repository, project, target)
    withdrawn = repository.ledger.withdrawn(project)
    if withdrawn.whole:
        restored.lost[path] = "the project was removed"
        _forget(restored, path, project)
        return
    staying = []
    for file in page.files:
        file_path = file_target(project, file.filename)
        if withdrawn.covers(file.filename):
            restored.lost[file_path] = "it was removed"
        elif not _file_here(repository, good, project, file):
            restored.lost[file_path] = "the file is lost"
        else:
            staying.append(file)
            continue
        restored.targets.pop(file_path, None)
    if len(staying) != len(page.files):
        page = replace(page, files=tuple(staying))
        restored.targets[path] = repository.write_page(page)
    restored.pages[project] = page


def _forget(restored: Restored, path: str, project: NormalizedName | None) -> None:
    for other in [each for each in restored.targets if project_of_target(each) == project]:
        if other != path:
            restored.lost.setdefault(other, "its page is lost")
        restored.targets.pop(other)


def _read_page(repository: Repository, project: NormalizedName, target: TargetFile) -> ProjectPage:
    path = consistent_path(target.path, _sha256(target))
    return parse_page(repository.storage.read(path), project)


def _file_here(repository: Repository, good: Path, project: NormalizedName, file: PageFile) -> bool:
    """Whether a file is here, in the copy, or on another host, where clients fetch it."""
    if file.url != relative_file_url(project, file.filename):
        return True
    path = file_target(project, file.filename)
    if not repository.restore_file(path, file.sha256, good):
        return False
    metadata = path + METADATA_SUFFIX
    return file.core_metadata is None or repository.restore_file(metadata, file.core_metadata, good)


def _here(repository: Repository, good: Path, path: str, target: TargetFile) -> bool:
    try:
        return repository.restore_file(path, _sha256(target), good)
    except FormatError:
        return False


def _sha256(target: TargetFile) -> Sha256:
    return parse_sha256(target.hashes.get("sha256"))
