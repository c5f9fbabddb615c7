"""Signs targets for the files that a resolver chooses, and learns what their pages do not say.

Servers are asked about chosen files only: for the length and the ``.metadata`` file, if the index
does not give them. So an index that gives neither does not cost a request for each of a project's
thousands of files. If the index gives no sha256, a chosen file is read whole, once. Its bytes are
in the store then, and need not be fetched again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.utils import NormalizedName

from securepip.errors import VerificationError
from securepip.first_use import refusals
from securepip.first_use.memory import Memory
from securepip.first_use.memory_file import Seen, extend_memory
from securepip.first_use.site import Site
from securepip.formats.digests import NOT_KNOWN_YET, Sha256, hashes_of_stream, sha256_of_stream
from securepip.formats.distribution import parse_distribution
from securepip.formats.layout import file_target
from securepip.formats.page import PageFile, ProjectPage
from securepip.index.store import Incoming, Store
from securepip.signing.overlay.details import Learned, learn_details
from securepip.signing.overlay.memory import Facts
from securepip.signing.overlay.memory import Memory as LearnedFacts
from securepip.signing.overlay.upstream.files import UpstreamFiles
from securepip.signing.overlay.upstream.page import UpstreamFile
from securepip.signing.publish.on_demand import OnDemand, publish_on_demand
from securepip.signing.repository.repository import Repository
from securepip.transport import redact

_MAX_BYTES = 16 << 30
"""The longest file that is read for its sha256."""


@dataclass(frozen=True)
class _Choice:
    """Files of one project that get targets."""

    page: ProjectPage
    filenames: tuple[str, ...]
    known: Facts


@dataclass(frozen=True)
class _Found:
    """What servers said about chosen files; and sha256 and length, by name, of those read whole."""

    learned: Learned
    read: Mapping[str, tuple[Sha256, int]]


def sign_files(
    site: Site,
    wanted: Sequence[tuple[NormalizedName, str]],
    likely: Sequence[tuple[NormalizedName, str]] = (),
) -> set[tuple[NormalizedName, str]]:
    """Sign targets for these files (pairs of project and file name), in one snapshot.

    A file that no page lists is skipped: whoever looks it up later finds no target.

    Args:
        site: The index and its repository.
        wanted: Files that are about to be fetched.
        likely: Files that may be needed next. They are skipped if their length is unknown, or if
            they would have to be read whole.

    Returns:
        The files that have targets now.

    Raises:
        VerificationError: A file does not have the digest in the memory file or at another index.
        SecurepipError: The length of a wanted file is unknown.
        RepositoryStateError: What is on disk is not what was signed.
    """
    by_project: dict[NormalizedName, list[str]] = {}
    for project, filename in (*wanted, *likely):
        by_project.setdefault(project, []).append(filename)
    now = time.time()
    with site.open() as repository:
        facts = LearnedFacts(repository.ledger.connection)
        signed = {*wanted, *likely}
        choices: list[_Choice] = []
        for project, asked in by_project.items():
            page = site.page(repository, project)
            if page is None:
                continue
            refused = _refused_by_memory(site, page, asked)
            for other, seen in refused:
                if (project, other.filename) in wanted:
                    with repository.lock(finish=False):
                        raise _refusal(site, repository, project, other, seen)
            signed.difference_update((project, other.filename) for other, _ in refused)
            unsigned = [file for name in asked if (file := _unsigned(repository, page, name))]
            signed.difference_update((project, file.filename) for file in unsigned)
            names = tuple(
                file.filename
                for file in unsigned
                if file.sha256 != NOT_KNOWN_YET or (project, file.filename) in wanted
            )
            if names:
                choices.append(_Choice(page, names, facts.facts(project, now)))
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
    """Ask servers about the chosen files, and sign; the files that have targets now."""
    signed: set[tuple[NormalizedName, str]] = set()
    upstream = UpstreamFiles((site.index_url,), site.transport)
    learned = site.in_parallel(lambda choice: _learn(choice, upstream, site.store), choices)
    with repository.lock(finish=False), site.turn():
        projects: dict[NormalizedName, OnDemand] = {}
        for choice, found in zip(choices, learned, strict=True):
            project = choice.page.project
            _check_read(site, repository, choice.page, found.read, now)
            before = site.page(repository, project) or choice.page
            page = _completed(before, found)
            for name in choice.filenames:
                file = page.file(name)
                if file is not None and file.size is not None:
                    signed.add((project, name))
                elif (project, name) in wanted:
                    raise refusals.no_length(name, site.index)
            facts.keep_facts(project, found.learned.facts, now)
            projects[project] = OnDemand(page, before, choice.filenames)
        publish_on_demand(repository, projects)
        site.keep_pages(repository, (each.page for each in projects.values()))
    return signed


def _refused_by_memory(
    site: Site, page: ProjectPage, filenames: Sequence[str]
) -> list[tuple[PageFile, Seen]]:
    """The files that have another digest in the memory file than on their signed page.

    This machine may have seen them before it had the memory file, or before the file had that line.
    """
    named = ((page.file(name), site.remembered.get(name)) for name in filenames)
    return [
        (file, seen)
        for file, seen in named
        if file and seen and file.sha256 not in (seen.sha256, NOT_KNOWN_YET)
    ]


def _check_read(
    site: Site,
    repository: Repository,
    page: ProjectPage,
    read: Mapping[str, tuple[Sha256, int]],
    now: float,
) -> None:
    """Compare files that were just read for their sha256 with what was seen before.

    When their page was judged, their digests were unknown.

    Raises:
        VerificationError: One of them has another digest than before.
    """
    project = page.project
    known = repository.ledger.known(project) if read else {}
    for name, (sha256, _) in read.items():
        file = page.file(name)
        if file is None or known.get(name) == sha256:
            continue
        file = file._replace(sha256=sha256)
        if name in known:
            memory = Memory(repository.ledger.connection, now)
            seen: Seen | None = Seen(name, known[name], memory.first_seen(project, name))
        else:
            seen = site.bound({project: [file]}).get((project, name))
        if seen is not None and seen.sha256 != sha256:
            raise _refusal(site, repository, project, file, seen)


def _refusal(
    site: Site, repository: Repository, project: NormalizedName, file: PageFile, seen: Seen
) -> VerificationError:
    """Make the error for a file with another digest than before. The lock must be held.

    The digest that was seen is recorded, and the project's page will be judged again.
    """
    repository.ledger.record([(project, file.filename, seen.sha256)])
    repository.ledger.refuse(project, file.filename, file.sha256)
    LearnedFacts(repository.ledger.connection).forget_state(project)
    Memory(repository.ledger.connection, time.time()).forget([project])
    return refusals.changed_file(
        file.filename, seen.first_seen, seen.sha256, file.sha256, site.index
    )


def _remember(
    site: Site, repository: Repository, signed: set[tuple[NormalizedName, str]], now: float
) -> None:
    """Add files to the memory file, also those that were signed before it existed."""
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


def _unsigned(repository: Repository, page: ProjectPage, filename: str) -> PageFile | None:
    """The file on the page, if it has no target with the page's digest; else None."""
    file = page.file(filename)
    if file is None:
        return None
    target = repository.roles().target(file_target(page.project, filename))
    if target is not None and target.hashes.get("sha256") == file.sha256:
        return None
    return file


def _learn(choice: _Choice, at: UpstreamFiles, store: Store) -> _Found:
    """Ask servers about the chosen files of one project. It may run in any thread."""
    page = choice.page
    chosen = [file for name in choice.filenames if (file := page.file(name)) is not None]
    wanted = [file for file in chosen if file.sha256 != NOT_KNOWN_YET]
    read = {file.filename: read_whole(file, at, store) for file in chosen if file not in wanted}
    # An index that gives the metadata digest of one file gives those of all that have one, so one
    # such file is passed on as an example.
    described = next((file for file in page.files if file.core_metadata is not None), None)
    files = [opened for file in wanted if (opened := _open(file, page.project)) is not None]
    example = _open(described, page.project) if described and described not in wanted else None
    learned = learn_details([*files, *([example] if example else [])], files, choice.known, at)
    return _Found(learned, read)


def read_whole(file: PageFile, at: UpstreamFiles, store: Store) -> tuple[Sha256, int]:
    """Read a file whose sha256 is unknown into the store; its digest and its length in bytes.

    Raises:
        VerificationError: It does not have another hash that the index gives.
        TransportError: It could not be fetched.
    """
    measured: list[tuple[Sha256, int]] = []

    def fill(incoming: Incoming) -> None:
        at.download(file.url, incoming.stream, max_bytes=_MAX_BYTES)
        if file.other_hash is not None:
            incoming.stream.seek(0)
            kind = file.other_hash.partition(":")[0]
            (actual,), _ = hashes_of_stream(incoming.stream, [kind])
            if actual != file.other_hash:
                raise refusals.other_hash(file.filename, file.other_hash, actual, redact(file.url))
        incoming.stream.seek(0)
        measured.append(sha256_of_stream(incoming.stream))
        # This is the first use of the file: these bytes are signed.
        incoming.keep(measured[-1][0])

    store.receive(fill)
    return measured[-1]


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


def _completed(page: ProjectPage, found: _Found) -> ProjectPage:
    """The page with what was learned about its files, as far as their digests are the same."""
    learned = found.learned
    completed = {
        file.filename: file
        for file in learned.files
        if file.sha256 in learned.facts.sizes or file.sha256 in learned.facts.metadata
    }

    def complete(file: PageFile) -> PageFile:
        if file.sha256 == NOT_KNOWN_YET and file.filename in found.read:
            sha256, size = found.read[file.filename]
            return file._replace(sha256=sha256, size=size, other_hash=None)
        new = completed.get(file.filename)
        if new is None or new.sha256 != file.sha256:
            return file
        return file._replace(size=new.size, core_metadata=new.core_metadata)

    if not (completed or found.read):
        return page
    return replace(page, files=tuple(map(complete, page.files)))
