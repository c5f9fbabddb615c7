"""Revokes a project, a version or a file of a repository, for good.

Rule: a removal is recorded before it takes effect, so that no later run signs the files again
unless the operator says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from securepip.errors import RepositoryStateError, UsageError
from securepip.formats.distribution import is_distribution, parse_distribution
from securepip.formats.layout import check_filename, parse_project
from securepip.formats.page import PageFile, ProjectPage
from securepip.signing.repository.repository import Repository


@dataclass(frozen=True)
class Removed:
    """What was removed: the files, and whether their whole project was."""

    project: NormalizedName
    filenames: tuple[str, ...]
    whole_project: bool


def remove(repository: Repository, what: str) -> Removed:
    """Revoke ``what``: ``PROJECT``, ``PROJECT==VERSION`` or a file name.

    The new snapshot removes the targets and page entries; the files are deleted right after it. If
    the last file of a project is removed, the project keeps an empty page, so that clients know it
    and do not look for it elsewhere.

    Raises:
        FormatError: ``what`` is no name of a project or file.
        UsageError: Its version is not valid.
        RepositoryStateError: There is no such project, version or file, or the project signs for
            itself.
    """
    with repository.lock():
        if is_distribution(what):
            return _remove_file(repository, what)
        name, equals, text = what.partition("==")
        project = parse_project(name.strip())
        page = repository.page(project)
        if page is None:
            raise RepositoryStateError(f"there is no project {project} in {repository.address}")
        repository.check_unclaimed(project)
        if not equals:
            repository.ledger.withdraw(project)
            repository.publish({project: None})
            return Removed(project, tuple(file.filename for file in page.files), True)
        try:
            version = Version(text)
        except InvalidVersion:
            raise UsageError(f"not a version: {text!r:.80}") from None
        going = [file for file in page.files if _is_of(file, project, version)]
        if not going:
            raise RepositoryStateError(f"there is no {project}=={version} here")
        repository.ledger.withdraw(project, version=version)
        return _publish_without(repository, page, going)


def _remove_file(repository: Repository, filename: str) -> Removed:
    check_filename(filename)
    for project in _possible_projects(filename):
        page = repository.page(project)
        file = page.file(filename) if page else None
        if page and file:
            repository.check_unclaimed(project)
            repository.ledger.withdraw(project, filename=filename)
            return _publish_without(repository, page, [file])
    raise RepositoryStateError(f"there is no file {filename} in {repository.address}")


def _publish_without(repository: Repository, page: ProjectPage, going: list[PageFile]) -> Removed:
    # This includes the files that an earlier, killed removal has marked.
    withdrawn = repository.ledger.withdrawn(page.project)
    staying = tuple(file for file in page.files if not withdrawn.covers(file.filename))
    left = ProjectPage(page.project, staying, page.status, page.status_reason)
    repository.publish({page.project: left})
    return Removed(page.project, tuple(file.filename for file in going), False)


def _is_of(file: PageFile, project: NormalizedName, version: Version) -> bool:
    name = parse_distribution(file.filename, project)
    return name is not None and name.version == version


def _possible_projects(filename: str) -> Iterator[NormalizedName]:
    """The projects that ``filename`` may belong to: any part before a dash may be the name."""
    dash = 0
    while (dash := filename.find("-", dash + 1)) > 0:
        project = canonicalize_name(filename[:dash])
        if parse_distribution(filename, project):
            yield project
