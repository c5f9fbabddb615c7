"""The end of a recovery: its report, and the files that belong to no trusted state.

Rule: nothing is deleted. Files that the thief has put here are evidence: they are moved out of the
served folders. The report says what became of every target and key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from securepip.formats.digests import Sha256, parse_sha256, sha256_of_stream
from securepip.formats.layout import (
    CLAIMED_ROLE,
    METADATA_DIR,
    METADATA_SUFFIX,
    PACKAGES_DIR,
    PAGE_NAME,
    SIMPLE_DIR,
    consistent_path,
    file_target,
    page_target,
    project_of_target,
)
from securepip.formats.page import ProjectPage
from securepip.signing.offline.audit import TargetChange
from securepip.signing.offline.restore import Restored
from securepip.signing.offline.rotate import all_keyids
from securepip.signing.repository.repository import HTML_NAME, Repository
from securepip.signing.repository.roles import Roles
from securepip.signing.repository.storage.interface import Storage

_ASIDE_DIR = "set-aside"
_REPORTS_DIR = "reports"


@dataclass(frozen=True)
class Recovered:
    """The report of a recovery.

    Attributes:
        time: When it was made (UTC).
        keys_gone: The ids of the keys that no longer count.
        keys_came: The ids of the new keys.
        restored: Targets that are again as they were in the copy.
        dropped: Targets that were removed, because the copy does not have them.
        kept: Projects that sign for themselves and whose releases from after the copy were kept.
        unclaimed: Projects that have to claim again.
        lost: The targets that could not be restored, and why, by target path.
        set_aside: The folder with the files that belong to no trusted state.
        root_version: The version of the new root.
        snapshot_version: The version of the new snapshot.
    """

    time: datetime
    keys_gone: tuple[str, ...]
    keys_came: tuple[str, ...]
    restored: tuple[str, ...]
    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    unclaimed: tuple[str, ...]
    lost: dict[str, str]
    set_aside: str
    root_version: int
    snapshot_version: int


def report_of(
    repository: Repository, restored: Restored, found: Sequence[TargetChange], copy: Roles
) -> Recovered:
    """Make the report of a recovery.

    Args:
        repository: The repository after the recovery.
        restored: The state that it was brought back to.
        found: How the state before the recovery differed from the copy.
        copy: The state of the copy.
    """
    now = datetime.now(timezone.utc).replace(microsecond=0)
    roles = repository.roles()
    before, after = all_keyids(copy), all_keyids(roles)
    claims = list(roles.claims_below(CLAIMED_ROLE).claims())
    claimed = {claim.project for claim in claims}
    versions = copy.snapshot.signed.meta
    kept = (
        claim.project
        for claim in claims
        if f"{claim.role}.json" not in versions
        or versions[f"{claim.role}.json"].version < roles.meta(claim.role).version
    )
    changes = [each for each in found if project_of_target(each.path) not in claimed]
    aside = repository.home / _ASIDE_DIR / f"{now:%Y%m%dT%H%M%SZ}"
    return Recovered(
        time=now,
        keys_gone=tuple(sorted(before - after)),
        keys_came=tuple(sorted(after - before)),
        restored=tuple(
            each.path for each in changes if each.before and each.path not in restored.lost
        ),
        dropped=tuple(each.path for each in changes if each.before is None),
        kept=tuple(sorted(kept)),
        unclaimed=tuple(sorted(restored.unclaimed)),
        lost=restored.lost,
        set_aside=str(aside),
        root_version=roles.root.signed.version,
        snapshot_version=roles.snapshot.signed.version,
    )


def set_aside(repository: Repository, restored: Restored, good: Path, aside: Path) -> None:
    """Move files that belong neither to the new state nor to the copy ``good`` to ``aside``."""
    roles = repository.roles()
    listed = roles.snapshot.signed.meta
    current = {f"{meta.version}.{name}" for name, meta in listed.items()}
    current |= {"timestamp.json", f"{roles.snapshot.signed.version}.snapshot.json"}
    current |= {f"{version}.root.json" for version in range(1, roles.root.signed.version + 1)}
    allowed = {f"{METADATA_DIR}/{name}" for name in current}
    for page in restored.pages.values():
        target = roles.target(page_target(page.project))
        if target is not None:
            allowed |= set(_paths_of(page, parse_sha256(target.hashes["sha256"])))
    storage = repository.storage
    for name in list(_files(storage)):
        if name not in allowed and not _same(storage, name, good / name):
            to = aside / name
            to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            to.unlink(missing_ok=True)  # left by a run that was killed
            storage.fetch(name, to)
            storage.delete(name)


def _files(storage: Storage) -> Iterator[str]:
    """The names of the served files, at the depth that a repository uses."""
    for folder, parts in ((METADATA_DIR, 2), (SIMPLE_DIR, 3), (PACKAGES_DIR, 3)):
        for stored in storage.list(folder):
            if len(stored.name.split("/")) == parts:
                yield stored.name


def _paths_of(page: ProjectPage, sha256: Sha256) -> Iterator[str]:
    """The names of all files of a project, with and without digests."""
    target = page_target(page.project)
    yield from (target, target.removesuffix(PAGE_NAME) + HTML_NAME)
    yield consistent_path(target, sha256)
    for file in page.files:
        path = file_target(page.project, file.filename)
        yield from (path, consistent_path(path, file.sha256))
        if file.core_metadata is not None:
            path += METADATA_SUFFIX
            yield from (path, consistent_path(path, file.core_metadata))


def _same(storage: Storage, name: str, other: Path) -> bool:
    try:
        with other.open("rb") as stream:
            sha256 = sha256_of_stream(stream)[0]
    except OSError:
        return False
    return storage.holds(name, sha256)


def keep(repository: Repository, report: Recovered) -> None:
    """Write the report into the folder ``state``."""
    folder = repository.home / _REPORTS_DIR
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"recovery-{report.time:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(asdict(report), indent=1, default=str) + "\n")
