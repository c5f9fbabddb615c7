"""Giving chosen files targets of their own, with what their pages leave open learned just now.

Only for these files are servers asked: for the length, where the index does not say it, and for a
``.metadata`` file, of which indexes are often silent. An index that says neither does not cost a
request for each of a project's thousands of files.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from packaging.utils import NormalizedName

from securepip.first_use import refusals
from securepip.first_use.memory import Memory
from securepip.first_use.memory_file import Seen, extend_memory
from securepip.first_use.site import Site
from securepip.formats.distribution import parse_distribution
from securepip.formats.layout import file_target
from securepip.formats.page import PageFile, ProjectPage
from securepip.signing.overlay.details import Learned, learn_details
from securepip.signing.overlay.memory import Facts
from securepip.signing.overlay.memory import Memory as LearnedFacts
from securepip.signing.overlay.upstream.files import UpstreamFiles
from securepip.signing.overlay.upstream.page import UpstreamFile
from securepip.signing.publish.on_demand import OnDemand, publish_on_demand
from securepip.signing.repository.repository import Repository


@dataclass(frozen=True)
class _Choice:
    """Files of one project that get targets."""

    page: ProjectPage
    filenames: tuple[str, ...]
    known: Facts


def sign_files(
    site: Site,
    wanted: Sequence[tuple[NormalizedName, str]],
    likely: Sequence[tuple[NormalizedName, str]] = (),
) -> set[tuple[NormalizedName, str]]:
    """See to it that these files (project, file name) have targets, in one snapshot.

    A file that no page names is passed over: who asked finds no target.

    Args:
        site: The index and its repository.
        wanted: Files that are about to be fetched.
        likely: Files that may be asked for next; one without a length is passed over.

    Returns:
        Those that have targets now.

    Raises:
        SecurepipError: Nobody says how long a file is.
        RepositoryStateError: The repository is in an odd state.
    """
    by_project: dict[NormalizedName, list[str]] = {}
    for project, filename in (*wanted, *likely):
        by_project.setdefault(project, []).append(filename)
    now = time.time()
    with site.open() as repository:
        facts = LearnedFacts(repository.ledger.connection)
        choices = [
            _Choice(page, names, facts.facts(project, now))
            for project, asked in by_project.items()
            if (page := site.page(repository, project)) is not None
            and (names := tuple(name for name in asked if _is_unsigned(repository, page, name)))
        ]
        unsigned = {(each.page.project, name) for each in choices for name in each.filenames}
        signed = {*wanted, *likely} - unsigned
        if choices:
            signed |= _sign(site, repository, choices, facts, frozenset(wanted), now)
        _remember(site, repository, signed, now)
    return signed


def _sign(
    site: Site,
    repository: Repository,
    choices: Sequence[_Choice],
    facts: LearnedFacts,
    wanted: frozenset[tuple[NormalizedName, str]],
    now: float,
) -> set[tuple[NormalizedName, str]]:
    """Learn what the pages of the choices leave open, and sign; the files that have targets now."""
    signed: set[tuple[NormalizedName, str]] = set()
    at = UpstreamFiles((site.index_url,), site.transport)
    learned = site.in_parallel(lambda choice: _learn(choice, at), choices)
    with repository.lock(finish=False):
        projects: dict[NormalizedName, OnDemand] = {}
        for choice, found in zip(choices, learned, strict=True):
            project = choice.page.project
            before = site.page(repository, project) or choice.page
            page = _completed(before, found)
            for name in choice.filenames:
                file = page.file(name)
                if file is not None and file.size is not None:
                    signed.add((project, name))
                elif (project, name) in wanted:
                    raise refusals.no_length(name, site.index)
            facts.keep_facts(project, found.facts, now)
            site.keep_page(page)
            projects[project] = OnDemand(page, before, choice.filenames)
        publish_on_demand(repository, projects)
    return signed


def _remember(
    site: Site, repository: Repository, signed: set[tuple[NormalizedName, str]], now: float
) -> None:
    """Add files to the memory file, also those that were signed before there was one."""
    if site.rules.memory is None:
        return
    memory = Memory(repository.ledger.connection, now)
    extend_memory(
        site.rules.memory,
        (
            Seen(name, file.sha256, memory.first_seen(project, name))
            for project, name in signed
            if (page := site.page(repository, project)) is not None
            and (file := page.file(name)) is not None
        ),
    )


def _is_unsigned(repository: Repository, page: ProjectPage, filename: str) -> bool:
    """Whether the page names the file and its target is missing or another."""
    file = page.file(filename)
    if file is None:
        return False
    target = repository.roles().target(file_target(page.project, filename))
    return target is None or target.hashes.get("sha256") != file.sha256


def _learn(choice: _Choice, at: UpstreamFiles) -> Learned:
    """What servers say of the chosen files where the page is silent. In any thread."""
    page = choice.page
    wanted = [page.file(name) for name in choice.filenames]
    # One file that the index tells the metadata of says that it tells that of all.
    told = next((file for file in page.files if file.core_metadata is not None), None)
    files = [
        opened for file in wanted if file and (opened := _open(file, page.project)) is not None
    ]
    example = _open(told, page.project) if told and told not in wanted else None
    return learn_details([*files, *([example] if example else [])], files, choice.known, at)


def _open(file: PageFile, project: NormalizedName) -> UpstreamFile | None:
    name = parse_distribution(file.filename, project)
    if name is None:
        return None
    return UpstreamFile(
        file.filename,
        name,
        file.url,
        file.sha256,
        file.size,
        core_metadata=file.core_metadata,
    )


def _completed(page: ProjectPage, learned: Learned) -> ProjectPage:
    """The page with what was learned of its files, where it is of the same bytes."""
    found = {
        file.filename: file
        for file in learned.files
        if file.sha256 in learned.facts.sizes or file.sha256 in learned.facts.metadata
    }
    if not found:
        return page
    return replace(
        page,
        files=tuple(
            replace(file, size=new.size, core_metadata=new.core_metadata)
            if (new := found.get(file.filename)) is not None and new.sha256 == file.sha256
            else file
            for file in page.files
        ),
    )
