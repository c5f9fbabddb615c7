"""Publishes distributions from this machine.

Rule: a file is published only if its name, its metadata and its page entry agree. Clients resolve
by the page and the metadata, and then install the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.errors import FormatError, RepositoryStateError, SecurepipError
from securepip.formats.core_metadata import parse_core_metadata, read_core_metadata
from securepip.formats.digests import Sha256, sha256_of, sha256_of_stream
from securepip.formats.distribution import Kind, is_distribution, parse_distribution
from securepip.formats.layout import check_filename, relative_file_url
from securepip.formats.page import PageFile, ProjectPage
from securepip.formats.wheel import check_installable
from securepip.signing.repository.pages.contents import DamagedPageError
from securepip.signing.repository.repository import NewFile, Published, Repository


@dataclass(frozen=True)
class Distribution:
    """A distribution that was read from this machine.

    Attributes:
        new: The file to be copied.
        page_file: Its entry for the project's page.
    """

    new: NewFile
    page_file: PageFile


def add(repository: Repository, paths: Iterable[Path], *, restore: bool = False) -> Published:
    """Publish wheels and sdists. A file that is published already stays as it is.

    Args:
        repository: Opened with its online key.
        paths: The files.
        restore: Whether to publish files that were removed before.

    Returns:
        What was published.

    Raises:
        FormatError: A file is no distribution, its name and its metadata disagree, or it is a wheel
            that nothing can install.
        RepositoryStateError: A file of that name was published with other bytes, or was removed,
            or is named twice, or its project signs for itself. Nothing was published.
    """
    uploaded = datetime.now(timezone.utc)
    distributions: dict[str, Distribution] = {}
    for path in paths:
        distribution = read_distribution(path, uploaded)
        if distributions.setdefault(path.name, distribution) is not distribution:
            raise RepositoryStateError(f"{path.name} is given twice")
    with repository.lock():
        for project in {each.new.project for each in distributions.values()}:
            repository.check_unclaimed(project)
        if restore:
            for each in distributions.values():
                repository.ledger.restore(each.new.project, each.new.filename)
        pages = {
            project: _extend(
                repository, project, repository.page(project), [each.page_file for each in group]
            )
            for project, group in _by_project(distributions.values()).items()
        }
        return repository.publish(pages, [each.new for each in distributions.values()])


def add_each(
    repository: Repository, distributions: Sequence[Distribution]
) -> Mapping[Path, SecurepipError]:
    """Publish as ``add`` does, in one publication, but leave out the files that are refused.

    Args:
        repository: Opened with its online key.
        distributions: The distributions. The same file may be among them twice.

    Returns:
        The errors of the refused files, as ``add`` raises them, by path. All others are published.

    Raises:
        RepositoryStateError: The repository cannot be changed now. Nothing was published.
    """
    refused: dict[Path, SecurepipError] = {}
    pages: dict[NormalizedName, ProjectPage] = {}
    files: list[NewFile] = []
    with repository.lock():
        by_project = _by_project(distributions)
        repository.ask_for(by_project)
        for project, group in by_project.items():
            try:
                current = repository.page(project)
            except DamagedPageError as error:
                # An operator has to look at this page. Uploads for other projects need not wait.
                refused |= dict.fromkeys([each.new.path for each in group], error)
                continue
            accepted: list[Distribution] = []
            # First all files of a project are checked together: a long page is then checked once.
            # Only if that fails, they are checked one by one.
            for some in [group] if len(group) == 1 else [group, *([each] for each in group)]:
                try:
                    repository.check_unclaimed(project)
                    page = _checked(repository, project, current, [*accepted, *some])
                except (FormatError, RepositoryStateError) as error:
                    if len(some) == 1:
                        refused[some[0].new.path] = error
                else:
                    accepted += some
                    pages[project] = page
                    if len(some) == len(group):
                        break
            files += [each.new for each in accepted]
        if files:
            repository.publish(pages, files)
    return refused


def _by_project(
    distributions: Iterable[Distribution],
) -> dict[NormalizedName, list[Distribution]]:
    groups: dict[NormalizedName, list[Distribution]] = {}
    for each in distributions:
        groups.setdefault(each.new.project, []).append(each)
    return groups


def _checked(
    repository: Repository,
    project: NormalizedName,
    current: ProjectPage | None,
    coming: Sequence[Distribution],
) -> ProjectPage:
    """The project's page with ``coming`` added, checked as a publication checks it."""
    digests: dict[str, Sha256] = {}
    for each in coming:
        file = each.page_file
        if digests.setdefault(file.filename, file.sha256) != file.sha256:
            raise RepositoryStateError(f"{file.filename} is given twice, with different bytes")
    page = _extend(repository, project, current, [each.page_file for each in coming])
    repository.check(page, current, [each.new for each in coming])
    return page


def _extend(
    repository: Repository,
    project: NormalizedName,
    current: ProjectPage | None,
    coming: Iterable[PageFile],
) -> ProjectPage:
    """The project's page with ``coming`` added."""
    page = current or ProjectPage(project)
    # A removal that was killed may have marked files that are still on the page.
    withdrawn = repository.ledger.withdrawn(project)
    files = {file.filename: file for file in page.files if not withdrawn.covers(file.filename)}
    for file in coming:
        old = files.get(file.filename)
        if old is None and file.filename.lower() in {name.lower() for name in files}:
            # On some file systems the two would be one file.
            raise RepositoryStateError(
                f"{file.filename} is published already, written in another way"
            )
        if old is None or (old.sha256, old.url) != (file.sha256, file.url):
            files[file.filename] = file
    return ProjectPage(project, tuple(files.values()), page.status, page.status_reason)


def read_distribution(
    path: Path, uploaded: datetime | None, *, filename: str | None = None
) -> Distribution:
    """Read a wheel or sdist: its digest, its name and its metadata.

    Args:
        path: The file.
        uploaded: When it was uploaded, for the page.
        filename: Its name, if ``path`` has another one.

    Raises:
        FormatError: It is no distribution, its name and its metadata disagree, or it is a wheel
            that nothing can install.
        RepositoryStateError: It cannot be read.
    """
    filename = check_filename(filename or path.name)
    if not is_distribution(filename):
        raise FormatError(f"{path} is neither a wheel nor a source distribution")
    try:
        with path.open("rb") as stream:
            sha256, size = sha256_of_stream(stream)
    except OSError as error:
        raise RepositoryStateError(f"{path} cannot be read: {error.strerror}") from None
    raw = read_core_metadata(path, filename)
    metadata = parse_core_metadata(raw)
    name = parse_distribution(filename, metadata.project)
    if name is None or name.version != metadata.version:
        raise FormatError(
            f"{path}: its metadata says {metadata.name} {metadata.version}, "
            "which is not what its file name says",
            remedy="Build it again; do not rename distributions.",
        )
    if name.kind is Kind.WHEEL:
        check_installable(path, filename)
    # An sdist's metadata is served as a `.metadata` file only if no build can change it (PEP 643).
    served = raw if name.kind is Kind.WHEEL or metadata.is_static else None
    return Distribution(
        NewFile(metadata.project, filename, path, served),
        PageFile(
            filename=filename,
            url=relative_file_url(metadata.project, filename),
            sha256=sha256,
            size=size,
            requires_python=metadata.requires_python,
            upload_time=uploaded,
            core_metadata=None if served is None else sha256_of(served),
        ),
    )
