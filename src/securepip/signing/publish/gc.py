"""Deletes what no client can ask for any more: old snapshots, and the files that only they lead to.

Rule: a file stays if a snapshot leads to it that is current or was current within the grace period.
A root is never deleted, however old, because clients follow the chain of roots from the one that
they have. No file younger than the grace period is deleted. The run can be killed at any moment,
since no client is led to what it deletes.

Source: PEP 458 ("mark-and-sweep"), as PEP 480 describes it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from operator import attrgetter

from packaging.utils import NormalizedName
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Targets

from securepip.errors import FormatError, RepositoryStateError
from securepip.formats.layout import (
    METADATA_DIR,
    METADATA_SUFFIX,
    PACKAGES_DIR,
    SIMPLE_DIR,
    file_target,
)
from securepip.formats.page import ProjectPage, parse_page
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import S
from securepip.signing.repository.storage.interface import Reader, Stored

DEFAULT_GRACE = timedelta(weeks=4)

_METADATA = re.compile(r"([1-9][0-9]*)\.(.+)\.json")
_TWIN = re.compile(r"[0-9a-f]{64}\..+")


@dataclass(frozen=True)
class Swept:
    """The files that were deleted, or would be.

    Attributes:
        files: The number of files.
        size: Their bytes. A file with several names counts if its last name is deleted.
        snapshots: The number of snapshots among them.
        kept_snapshots: The number of snapshots that stay.
    """

    files: int
    size: int
    snapshots: int
    kept_snapshots: int


def sweep(repository: Repository, grace: timedelta = DEFAULT_GRACE, *, dry: bool = False) -> Swept:
    """Delete the files that no current or recent snapshot leads to.

    Args:
        repository: The repository. No key is needed.
        grace: How long a snapshot stays after it was current.
        dry: Whether to count only, and delete nothing.

    Raises:
        RepositoryStateError: A current role cannot be read.
    """
    with repository.lock():
        young = time.time() - grace.total_seconds()
        metadata = repository.storage.below(METADATA_DIR)
        stored = {each.name: each for each in metadata.list()}
        snapshots = _kept_snapshots(repository, stored, young)
        roles = _roles_of(metadata, snapshots)
        marked = roles | {f"{version}.snapshot.json" for version in snapshots}
        # Snapshots go first, so that nothing ever leads to a deleted file. A role above its current
        # version was left by a killed run. It stays, so that its number is not used again: mirrors
        # may have a copy of it.
        ahead = repository.roles().snapshot.signed.meta
        doomed = [
            replace(each, name=f"{METADATA_DIR}/{name}")
            for name, each in sorted(stored.items(), key=lambda item: ".snapshot." not in item[0])
            if (match := _METADATA.fullmatch(name))
            and match[2] != "root"
            and name not in marked
            and not _is_ahead(match, ahead)
        ]
        current = _roles_of(metadata, {repository.roles().snapshot.signed.version})
        targets = _targets_of(metadata, roles, current)
        doomed += _doomed_pages(repository, targets)
        doomed += _doomed_files(repository, targets)
        doomed = [each for each in doomed if each.modified < young]
        gone = sum(".snapshot." in each.name for each in doomed)
        done = Swept(len(doomed), sum(each.size for each in doomed), gone, len(snapshots))
        if not dry:
            repository.storage.delete(*(each.name for each in doomed))
            repository.storage.flush()
        return done


def _is_ahead(match: re.Match[str], listed: Mapping[str, MetaFile]) -> bool:
    """Whether a role's file is of a later version than the current one."""
    meta = listed.get(f"{match[2]}.json")
    return meta is not None and int(match[1]) > meta.version


def _kept_snapshots(
    repository: Repository, metadata: Mapping[str, Stored], young: float
) -> set[int]:
    """The versions of the snapshots that are current or were current within the grace period.

    A snapshot stops being current when the next one is written.
    """
    current = repository.roles().snapshot.signed.version
    written = {
        int(match[1]): each.modified
        for each in metadata.values()
        if (match := _METADATA.fullmatch(each.name)) and match[2] == "snapshot"
    }
    before = sorted((version for version in written if version < current), reverse=True)
    kept, next_one = {current}, current
    for version in before:
        if written[next_one] < young:
            break
        kept.add(version)
        next_one = version
    return kept


def _roles_of(metadata: Reader, snapshots: set[int]) -> set[str]:
    """The file names of the roles that these snapshots list."""
    listed: set[str] = set()
    for version in snapshots:
        snapshot = _load(metadata, f"{version}.snapshot.json", Snapshot)
        if snapshot is not None:
            listed |= {f"{meta.version}.{name}" for name, meta in snapshot.meta.items()}
    return listed


def _targets_of(metadata: Reader, roles: set[str], current: set[str]) -> dict[str, set[str]]:
    """The targets that these roles list: for each path, the digests that it may have.

    Raises:
        RepositoryStateError: One of the ``current`` roles cannot be read: its files would be
            deleted.
    """
    digests: dict[str, set[str]] = {}
    for name in roles:
        role = _load(metadata, name, Targets)
        if role is None and name in current:
            raise RepositoryStateError(
                f"{metadata.address}/{name} cannot be read",
                meaning="It is current, and nothing else says which files it leads to. Nothing was "
                "deleted.",
                remedy="Restore it from a backup or a mirror, and run this again.",
            )
        for path, target in role.targets.items() if role is not None else ():
            digests.setdefault(path, set()).update(target.hashes.values())
    return digests


def _doomed_pages(repository: Repository, targets: dict[str, set[str]]) -> Iterator[Stored]:
    for each in repository.storage.list(SIMPLE_DIR):
        _, *folders, filename = each.name.split("/")
        digest, _, name = filename.partition(".")
        target = "/".join((SIMPLE_DIR, *folders, name))
        is_twin = len(folders) == 1 and _TWIN.fullmatch(filename)
        if is_twin and digest not in targets.get(target, ()):
            yield each


def _doomed_files(repository: Repository, targets: dict[str, set[str]]) -> Iterator[Stored]:
    stored = (each for each in repository.storage.list(PACKAGES_DIR) if each.name.count("/") == 2)
    for folder, files in groupby(sorted(stored, key=attrgetter("name")), key=_folder):
        project = NormalizedName(folder)
        current = repository.page(project)
        pages = [*_pages(repository, project, targets), *([current] if current else [])]
        offered = {f"{file.sha256}.{file.filename}" for page in pages for file in page.files}
        offered |= {
            f"{file.core_metadata}.{file.filename}{METADATA_SUFFIX}"
            for page in pages
            for file in page.files
        }
        plain = {file.filename for file in current.files} if current else set()
        plain |= {f"{name}{METADATA_SUFFIX}" for name in plain}
        for each in files:
            filename = each.name.rpartition("/")[2]
            if not (filename in plain or filename in offered or _is_target(each, targets)):
                yield each


def _folder(stored: Stored) -> str:
    return stored.name.split("/")[1]


def _is_target(stored: Stored, targets: dict[str, set[str]]) -> bool:
    digest, _, name = stored.name.rpartition("/")[2].partition(".")
    try:
        target = file_target(NormalizedName(_folder(stored)), name)
    except FormatError:
        return False
    return digest in targets.get(target, ())


def _pages(
    repository: Repository, project: NormalizedName, targets: dict[str, set[str]]
) -> Iterator[ProjectPage]:
    """The pages of a project that a kept snapshot leads to."""
    for sha256 in targets.get(f"{SIMPLE_DIR}/{project}/index.json", ()):
        try:
            yield parse_page(
                repository.storage.read(f"{SIMPLE_DIR}/{project}/{sha256}.index.json"), project
            )
        except (FileNotFoundError, FormatError):
            continue  # no client can use an old page that is lost


def _load(metadata: Reader, name: str, kind: type[S]) -> S | None:
    """The contents of a metadata file; None if it is lost or damaged: no client can read it.

    Its signatures are not verified: by changing it, an attacker could only prevent deletions.
    """
    try:
        signed = Metadata[S].from_bytes(metadata.read(name)).signed
    except (FileNotFoundError, RepositoryError):
        return None
    return signed if isinstance(signed, kind) else None
