"""A whole sync: ask for every project, follow dependencies, settle, publish once.

Rule: threads read and this thread decides. The ledger, the memory and the repository are touched
from here alone; one publication at the end makes everything current at once, and what one project
does wrong never stops the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TypeVar, cast

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from securepip.errors import FormatError, UsageError
from securepip.formats.layout import (
    file_target,
    page_target,
    parse_project,
    relative_file_url,
)
from securepip.formats.page import PageFile, ProjectPage
from securepip.signing.overlay.dependencies import (
    Release,
    choose_files,
    choose_versions,
    counts,
    releases_of,
)
from securepip.signing.overlay.distribution_requirements import Found, find_requirements
from securepip.signing.overlay.memory import Facts, Memory, PageState
from securepip.signing.overlay.offered import Offered, Question, Reader, is_metadata_unknown
from securepip.signing.overlay.report import Problem, SyncReport
from securepip.signing.overlay.settle import Rules, Settled, own_files, settle
from securepip.signing.overlay.upstream.credentials import Credentials
from securepip.signing.overlay.upstream.http_index import HttpIndex
from securepip.signing.overlay.upstream.interface import Source
from securepip.signing.overlay.upstream.page import Reason
from securepip.signing.overlay.upstream.project_json import ProjectJson
from securepip.signing.publish.refresh import refresh
from securepip.signing.repository.repository import Repository
from securepip.transport import Transport, path_to_url
from securepip.transport.pool import Pool
from securepip.transport.session import PARALLEL

T = TypeVar("T")

PATIENCE_SECONDS = 1800.0
"""When nothing at all has come to an end for so long, what is still under way is given up."""

RUN_SECONDS = 6 * 3600.0
"""After so long, what has been read is signed, and the rest left to the next sync.

Servers that let their answers drip, one after the other, could else hold back everybody's
signatures until they expire.
"""

_WORTH_ANOTHER_TRY = {Reason.NO_LENGTH}
"""What the next sync may find out although no page has changed."""

Progress = Callable[[int, int], None]
"""Called with how many projects are done, and how many there are so far."""


@dataclass(frozen=True)
class SyncOptions:
    """What the operator asks for.

    Attributes:
        requirements: The projects; of none, every project that came from an index.
        constraints: pip's, which say what versions its users may get.
        with_dependencies: Also sign what the requirements can lead to.
        dependency_versions: How many releases of each project are read for their dependencies.
        min_age: Leave out files that are younger.
        restore: Sign again what was removed.
        accept_loss: Projects whose page may lose most of its files, or all.
    """

    requirements: Sequence[Requirement] = ()
    constraints: Sequence[Requirement] = ()
    with_dependencies: bool = False
    dependency_versions: int = 5
    min_age: timedelta | None = None
    restore: bool = False
    accept_loss: frozenset[NormalizedName] = frozenset()


@dataclass(frozen=True)
class _Want:
    """A requirement somewhere on the way from what was named."""

    project: NormalizedName
    specifier: SpecifierSet
    extras: frozenset[NormalizedName]


@dataclass
class _Project:
    """What is known of a project in this run."""

    current: ProjectPage | None
    facts: Facts
    settled: Settled | None = None
    offered: Offered | None = None
    releases: dict[Version, Release] | None = None
    named: bool = False
    certain: bool = False
    """Whether something needs it on every platform."""


def sync(
    repository: Repository,
    sources: Sequence[Source],
    transport: Transport,
    options: SyncOptions,
    *,
    progress: Progress = lambda done, total: None,
) -> SyncReport:
    """Sign what ``sources`` offer, and renew what is about to expire.

    Args:
        repository: Opened with its online key.
        sources: In pip's order.
        transport: The one that ``sources`` use.
        options: What to sign.
        progress: Told how far it is.

    Returns:
        What happened. Its ``problems`` are for an operator; everything else is signed.

    Raises:
        RepositoryStateError: A key is not here, or the repository is in an odd state.
        UsageError: There is no index to ask.
    """
    if not sources:
        raise UsageError("pip is configured for no index", remedy="Name one: --upstream URL")
    with repository.lock():
        run = _Run(repository, sources, transport, options, progress)
        try:
            return run.run()
        finally:
            run.close()


class _Run:
    def __init__(
        self,
        repository: Repository,
        sources: Sequence[Source],
        transport: Transport,
        options: SyncOptions,
        progress: Progress,
    ) -> None:
        http = [source for source in sources if isinstance(source, HttpIndex)]
        self._repository = repository
        self._transport = transport
        self._options = options
        self._progress = progress
        self._memory = Memory(repository.ledger.connection)
        self._reader = Reader(
            sources,
            {source.location: ProjectJson(source.url, transport) for source in http},
            Credentials(source.url for source in http),
            transport,
        )
        self._rules = Rules(datetime.now(timezone.utc), options.min_age, options.accept_loss)
        self._now = self._rules.now.timestamp()
        self._constraints = _specifiers(options.constraints)
        self._projects: dict[NormalizedName, _Project] = {}
        self._wants: dict[NormalizedName, list[_Want]] = {}
        self._seen_wants: set[_Want] = set()
        self._waiting: dict[tuple[NormalizedName, str], list[_Want]] = {}
        self._report = SyncReport()
        self._pool = Pool(PARALLEL)
        self._pending: dict[Future[object], Callable[[], None]] = {}

    def run(self) -> SyncReport:
        sent, received = self._transport.traffic.requests, self._transport.traffic.bytes
        deadline = time.monotonic() + RUN_SECONDS
        self._start()
        while self._pending:
            patience = min(PATIENCE_SECONDS, max(deadline - time.monotonic(), 0))
            done, _ = wait(self._pending, patience, FIRST_COMPLETED)
            if not done or time.monotonic() > deadline:
                self._give_up()
                break
            for future in done:
                self._pending.pop(future)()
            finished = sum(p.settled is not None for p in self._projects.values())
            self._progress(finished, len(self._projects))
        self._publish()
        self._report.requests = self._transport.traffic.requests - sent
        self._report.received = self._transport.traffic.bytes - received
        return self._report

    def _give_up(self) -> None:
        """Leave out what does not come to an end: the rest must be signed before it expires."""
        for project, entry in self._projects.items():
            if entry.settled is None:
                entry.settled = Settled(entry.current)
                self._problem(project, "was not read in time: it stays as it was")
        for project in sorted({project for project, _ in self._waiting}):
            self._problem(project, "its requirements were not read in time")

    def close(self) -> None:
        self._pool.close()

    def _start(self) -> None:
        requirements = self._options.requirements or [
            Requirement(project) for project in self._synced_projects()
        ]
        for requirement in requirements:
            want = _want(requirement)
            self._add(want.project, named=True, certain=True)
            if self._options.with_dependencies:
                self._follow(want)

    def _synced_projects(self) -> list[NormalizedName]:
        """The projects that came from an index: they have files that are not here.

        One that is wholly this repository's own is not asked for elsewhere: a stranger could have
        taken its name there.
        """
        return [
            project
            for project in self._repository.projects()
            if (page := self._repository.page(project)) and len(own_files(page)) < len(page.files)
        ]

    def _add(self, project: NormalizedName, *, named: bool, certain: bool) -> None:
        known = self._projects.get(project)
        if known is not None:
            known.named |= named
            known.certain |= certain
            return
        ledger = self._repository.ledger
        if self._options.restore and named:
            ledger.restore(project)
        current = self._repository.page(project)
        facts = self._memory.facts(project, self._now)
        entry = _Project(current, facts, named=named, certain=certain)
        self._projects[project] = entry
        if self._repository.roles().claim(project) is not None:
            # Its maintainers sign for it: what an index says of it is nothing to us.
            entry.settled = Settled(current)
            self._report.claimed.append(project)
            return
        if current and len(own_files(current)) == len(current.files):
            # As in `_synced_projects`: what is ours alone is never mixed with a stranger's.
            entry.settled = Settled(current)
            if named:
                self._problem(project, "is this repository's own: no index was asked for it")
            return
        question = Question(
            project,
            current,
            self._memory.state(project),
            facts,
            self._settings(),
            self._may_be_unchanged(project),
            self._options.min_age is not None,
        )
        self._ask(
            partial(self._reader.read, question), lambda offered: self._take(project, offered)
        )

    def _ask(self, work: Callable[[], T], take: Callable[[T], None]) -> None:
        """Do ``work`` in a thread of the pool, and ``take`` its result in this one."""
        future: Future[T] = self._pool.submit(lambda _: work(), None)
        self._pending[cast("Future[object]", future)] = lambda: take(future.result())

    def _settings(self) -> str:
        return f"1 min_age={self._options.min_age}"

    def _may_be_unchanged(self, project: NormalizedName) -> bool:
        state = self._memory.state(project)
        if state is None or self._options.restore or project in self._options.accept_loss:
            return False
        due = state.review_at is not None and state.review_at <= self._now
        return (
            not due and state.settings == self._settings() and state.page == self._digest(project)
        )

    def _take(self, project: NormalizedName, offered: Offered) -> None:
        """What was found out about a project has arrived."""
        entry = self._projects[project]
        entry.offered = offered
        if offered.error is not None:
            self._problem(project, offered.error.what)
            entry.settled = Settled(entry.current)
        elif offered.unchanged:
            entry.settled = Settled(entry.current)
        else:
            self._settle(project, entry, offered)
        for want in self._wants.pop(project, []):
            self._expand(want)

    def _settle(self, project: NormalizedName, entry: _Project, offered: Offered) -> None:
        if offered.learned is not None:
            self._learn(project, entry, offered.learned)
        settled = settle(offered, entry.current, self._repository.ledger, self._rules)
        for file in settled.refused:
            self._repository.ledger.refuse(project, file.filename, file.sha256)
        entry.settled = settled
        self._report.problems += settled.problems
        if settled.left_out:
            self._report.left_out[project] = settled.left_out
        if offered.page is None:
            if entry.current is None:
                self._unknown(project, entry)
            return
        self._report.remarks += [f"{project}: {remark}" for remark in offered.page.remarks]
        if offered.page.status == "quarantined":
            self._report.remarks.append(f"{project} is in quarantine: nothing of it is signed")
        elif settled.page is None and entry.named:
            self._problem(project, "there is nothing to sign")

    def _unknown(self, project: NormalizedName, entry: _Project) -> None:
        asked = ", ".join(source.location for source in self._reader.sources)
        what = f"not known to {asked}"
        if entry.named or entry.certain:
            self._problem(project, what)
        else:
            # Needed on some platform or Python only, perhaps one that nobody uses any more.
            self._report.remarks.append(f"{project}: {what}")

    def _learn(self, project: NormalizedName, entry: _Project, learned: Facts) -> None:
        self._memory.keep_facts(project, learned, self._now)
        entry.facts.add(learned)

    def _problem(self, project: NormalizedName, what: str) -> None:
        self._report.problems.append(Problem(project, what))

    def _follow(self, want: _Want) -> None:
        """Expand ``want`` as soon as its project's page is known."""
        if want in self._seen_wants:
            return
        self._seen_wants.add(want)
        if self._projects[want.project].settled is None:
            self._wants.setdefault(want.project, []).append(want)
        else:
            self._expand(want)

    def _expand(self, want: _Want) -> None:
        """Follow what the releases that ``want`` admits require."""
        entry = self._projects[want.project]
        if entry.settled is None or entry.settled.page is None:
            return
        if entry.releases is None:
            entry.releases = releases_of(entry.settled.page)
        constraint = self._constraints.get(want.project, SpecifierSet())
        count = self._options.dependency_versions
        versions = choose_versions(entry.releases, want.specifier, constraint, count)
        if not versions:
            self._report.remarks.append(
                f"{want.project}: no release satisfies {want.specifier & constraint}"
            )
        for version in versions:
            for group in choose_files(entry.releases[version]):
                known = (entry.facts.requirements.get(file.sha256) for file in group)
                requirements = next((lines for lines in known if lines is not None), None)
                if requirements is not None:
                    self._follow_all(want, requirements)
                else:
                    self._read_requirements(want, group)

    def _read_requirements(self, want: _Want, group: Sequence[PageFile]) -> None:
        key = (want.project, group[0].sha256)
        waiting = self._waiting.setdefault(key, [])
        waiting.append(want)
        if len(waiting) == 1:
            located = [self._locate(want.project, file) for file in group]
            self._ask(
                partial(find_requirements, located, self._reader, self._transport),
                lambda found: self._take_requirements(group[0], key, found),
            )

    def _locate(self, project: NormalizedName, file: PageFile) -> PageFile:
        """``file`` with an absolute URL: the repository's own files are in its folder."""
        if file.url != relative_file_url(project, file.filename):
            return file
        path = self._repository.folder / file_target(project, file.filename)
        return replace(file, url=path_to_url(path))

    def _take_requirements(
        self, file: PageFile, key: tuple[NormalizedName, str], found: Found
    ) -> None:
        project = key[0]
        entry = self._projects[project]
        if found.failed:
            self._problem(project, found.remark)
        elif found.remark:
            self._report.remarks.append(f"{project}: {found.remark}")
        learned = Facts()
        if found.requirements or not found.remark:
            learned.requirements[file.sha256] = found.requirements
        if found.wrong_metadata and entry.settled and entry.settled.page:
            # Signed, it would stop every install: what the wheel holds is something else.
            learned.metadata[file.sha256] = None
            page = _without_metadata(entry.settled.page, file)
            entry.settled = replace(entry.settled, page=page)
        self._learn(project, entry, learned)
        for want in self._waiting.pop(key):
            self._follow_all(want, found.requirements)

    def _follow_all(self, want: _Want, lines: Sequence[str]) -> None:
        for line in lines:
            try:
                requirement = Requirement(line)
                target = _want(requirement)
            except (InvalidRequirement, FormatError):
                continue
            if requirement.url is None and counts(requirement, want.extras):
                self._add(target.project, named=False, certain=requirement.marker is None)
                self._follow(target)

    def _publish(self) -> None:
        pages = {
            project: entry.settled.page
            for project, entry in self._projects.items()
            if entry.settled is not None and entry.settled.page != entry.current
        }
        published = self._repository.publish(pages)
        renewed = refresh(self._repository)
        self._report.roles = (*published.signed, *renewed.signed)
        for project, entry in sorted(self._projects.items()):
            page = entry.settled.page if entry.settled else None
            self._report.files += len(page.files) if page else 0
            if project not in pages:
                self._report.unchanged += page is not None
            elif page is None:
                self._report.removed.append(project)
            else:
                self._report.signed.append(project)
            self._remember(project, entry)

    def _remember(self, project: NormalizedName, entry: _Project) -> None:
        """Keep what the page was made from, if nothing about it is left to do."""
        offered, settled = entry.offered, entry.settled
        if offered is None or settled is None or offered.error is not None or offered.unchanged:
            return
        # Without a page there is something to say the next time too.
        if settled.page is None or settled.problems:
            return
        if any(each.reason in _WORTH_ANOTHER_TRY for each in settled.left_out):
            return
        open_files = offered.page.files if offered.page else ()
        dates = (
            settled.review_at.timestamp() if settled.review_at else None,
            self._memory.recheck_at(
                project,
                sizes={file.sha256 for file in open_files if file.size is None},
                metadata={file.sha256 for file in open_files if is_metadata_unknown(file)},
            ),
        )
        review_at = min((date for date in dates if date is not None), default=None)
        state = PageState(self._settings(), offered.readings, self._digest(project), review_at)
        self._memory.keep_state(project, state)

    def _digest(self, project: NormalizedName) -> str:
        """Of the page that is signed now; "" for none."""
        target = self._repository.roles().target(page_target(project))
        return target.hashes["sha256"] if target is not None else ""


def _want(requirement: Requirement) -> _Want:
    extras = frozenset(canonicalize_name(extra) for extra in requirement.extras)
    return _Want(parse_project(requirement.name), requirement.specifier, extras)


def _specifiers(constraints: Sequence[Requirement]) -> Mapping[NormalizedName, SpecifierSet]:
    merged: dict[NormalizedName, SpecifierSet] = {}
    for constraint in constraints:
        project = parse_project(constraint.name)
        merged[project] = merged.get(project, SpecifierSet()) & constraint.specifier
    return merged


def _without_metadata(page: ProjectPage, broken: PageFile) -> ProjectPage:
    return replace(
        page,
        files=tuple(
            replace(file, core_metadata=None) if file.sha256 == broken.sha256 else file
            for file in page.files
        ),
    )
