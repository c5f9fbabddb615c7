"""Publishing what was asked for and nothing else: pages, and targets for the files that are chosen.

``Repository.publish`` makes every file of a page a target. Here a page may name thousands of files
of which one is installed: the page is signed as a whole, digests included, and a file gets a target
of its own when somebody is about to fetch it. `repo sync` completes such a repository.

Rule: the caller has judged the pages, with the repository's lock held and against its ledger.
What plain clients see (``index.html`` and its like) is left to the next ``repo`` command.
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
    """What becomes of one project.

    Attributes:
        page: Its page from now on.
        before: The page that is signed now; None for none.
        chosen: Names of files of the page that get a target; their lengths are on the page.
        written: The bytes of ``page``, where it was read from them already.
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
        The names of the roles that were signed; none when nothing had changed.

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
    """The targets of files that are on the page no longer, or with other bytes."""
    gone: dict[str, TargetFile | None] = {}
    for file in wanted.before.files if wanted.before else ():
        now = wanted.page.file(file.filename)
        path = file_target(wanted.page.project, file.filename)
        if (now is None or now.sha256 != file.sha256) and roles.target(path) is not None:
            gone[path] = None
    return gone


def _chosen(wanted: OnDemand, roles: Roles) -> dict[str, TargetFile | None]:
    """The targets of chosen files that are not signed yet as the page names them."""
    found: dict[str, TargetFile | None] = {}
    for filename in wanted.chosen:
        file = wanted.page.file(filename)
        if file is None or file.size is None or file.sha256 == NOT_KNOWN_YET:
            continue
        path = file_target(wanted.page.project, filename)
        current = roles.target(path)
        if current is None or not _is(current, file):
            found[path] = TargetFile(file.size, {"sha256": file.sha256}, path)
    return found


def _is(target: TargetFile, file: PageFile) -> bool:
    return (target.length, target.hashes.get("sha256")) == (file.size, file.sha256)
