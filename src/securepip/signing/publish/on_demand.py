"""Publishes pages, and makes targets only for the files that were chosen.

``Repository.publish`` makes every file on a page a target. On demand, a page may list thousands of
files, and only one of them is installed. So the page is signed as a whole, with the digests of all
files, and a file gets its own target when it is about to be fetched. `repo sync` adds the others.

Rule: the caller has judged the pages against the ledger, and holds the repository's lock. The plain
view (``index.html`` and the like) is left to the next ``repo`` command.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from packaging.utils import NormalizedName
from tuf.api.metadata import TargetFile

from securepip.formats.digests import NOT_KNOWN_YET
from securepip.formats.layout import file_target, page_target
from securepip.formats.page import PageFile, ProjectPage
from securepip.signing.repository.pages.edits import apply_edits, digests_of
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import Roles


@dataclass(frozen=True)
class OnDemand:
    """What to publish for one project.

    Attributes:
        page: Its new page.
        before: Its signed page; None if it has none.
        chosen: The names of the files that get a target. The page has to give their lengths.
        written: The serialized ``page``, if the caller has it.
    """

    page: ProjectPage
    before: ProjectPage | None
    chosen: Collection[str] = ()
    written: bytes | None = None


def publish_on_demand(
    repository: Repository, projects: Mapping[NormalizedName, OnDemand]
) -> tuple[str, ...]:
    """Make pages current, and the chosen files targets, in one snapshot. The lock must be held.

    Returns:
        The names of the roles that were signed; empty if nothing had changed.

    Raises:
        RepositoryStateError: A key is not here, or a project signs for itself.
    """
    roles = repository.roles()
    edits: dict[str, TargetFile | None] = {}
    for project, wanted in projects.items():
        repository.check_unclaimed(project)
        if wanted.page != wanted.before:
            edits[page_target(project)] = repository.write_page(wanted.page, wanted.written)
            edits |= _withdrawn(wanted, roles)
        edits |= _chosen(wanted, roles)
    if not edits:
        return ()
    repository.ledger.record(
        one
        for wanted in projects.values()
        if wanted.page != wanted.before
        for one in digests_of(wanted.page)
    )
    repository.ledger.begin(projects)
    repository.ledger.begin_partial(
        project for project, wanted in projects.items() if wanted.page != wanted.before
    )
    return repository.sign(apply_edits(roles, edits))


def _withdrawn(wanted: OnDemand, roles: Roles) -> dict[str, TargetFile | None]:
    """The targets to remove: their files are no longer on the page, or have other bytes there."""
    gone: dict[str, TargetFile | None] = {}
    for file in wanted.before.files if wanted.before else ():
        new = wanted.page.file(file.filename)
        path = file_target(wanted.page.project, file.filename)
        if (new is None or new.sha256 != file.sha256) and roles.target(path) is not None:
            gone[path] = None
    return gone


def _chosen(wanted: OnDemand, roles: Roles) -> dict[str, TargetFile | None]:
    """The targets to add: chosen files whose target does not have the page's length and digest."""
    targets: dict[str, TargetFile | None] = {}
    for filename in wanted.chosen:
        file = wanted.page.file(filename)
        if file is None or file.size is None or file.sha256 == NOT_KNOWN_YET:
            continue
        path = file_target(wanted.page.project, filename)
        current = roles.target(path)
        if current is None or not _is(current, file):
            targets[path] = TargetFile(file.size, {"sha256": file.sha256}, path)
    return targets


def _is(target: TargetFile, file: PageFile) -> bool:
    return (target.length, target.hashes.get("sha256")) == (file.size, file.sha256)
