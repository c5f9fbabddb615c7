"""A whole sync: ask for every project, judge, follow what is required, publish now and then.

Rule: threads read and this thread decides. The ledger, the memory and the repository are touched
from here alone, and what one project does wrong never stops the others. A project is read, judged,
written and forgotten; each publication makes all that was written since the last one current at
once, so that a sync that is killed or stuck has published what it had.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError, UsageError
from securepip.formats.layout import file_target, parse_project, relative_file_url
from securepip.formats.page import PageFile
from securepip.signing.overlay.ask import Offered, Question
from securepip.signing.overlay.follow.follower import (
    Doubt,
    Follower,
    NeedProject,
    NeedRequirements,
    Step,
)
from securepip.signing.overlay.follow.requirements import Found, find_requirements
from securepip.signing.overlay.judge import Rules
from securepip.signing.overlay.memory import Facts
from securepip.signing.overlay.overlay import Judged, Overlay, Standing
from securepip.signing.overlay.report import Problem, SyncReport
from securepip.signing.overlay.upstream.interface import Source
from securepip.signing.overlay.work import readers
from securepip.signing.overlay.work.readers import Readers
from securepip.signing.overlay.work.threads import Work
from securepip.signing.publish.refresh import refresh
from securepip.signing.repository.repository import Repository
from securepip.transport import PARALLEL, Transport, path_to_url

NOTED = 100
"""Where more projects are named, nobody reads what each requires that is not signed: it would cost
a request for each."""

_AHEAD = 4 * PARALLEL

Progress = Callable[[int, int], None]
"""Called with how many projects are done, and how many there are so far."""


@dataclass(frozen=True)
class SyncOptions:
    """What the operator asks for.

    Attributes:
        requirements: The projects, as requirements or by their names alone, which take a tenth of
            the memory; of none, every project that came from an index.
        constraints: pip's, which say what versions its users may get.
        with_dependencies: Also sign what the requirements can lead to.
        dependency_versions: How many releases of each project are read for their dependencies.
        min_age: Leave out files that are younger.
        restore: Sign again what was removed.
        accept_loss: Projects whose page may lose most of its files, or all.
        publish_projects: After so many changed projects, what there is becomes current.
        publish_seconds: After so long too. Publications are dear: each signs every bin in which
            something changed, and clients fetch these anew.
        upstream_named: Whether an operator named the indexes, now or before; else pip is
            configured for them.
    """

    requirements: Sequence[Requirement | NormalizedName] = ()
    constraints: Sequence[Requirement] = ()
    with_dependencies: bool = False
    dependency_versions: int = 5
    min_age: timedelta | None = None
    restore: bool = False
    accept_loss: frozenset[NormalizedName] = frozenset()
    publish_projects: int = 50_000
    publish_seconds: float = 900.0
    upstream_named: bool = False


@dataclass(frozen=True)
class _Asked:
    """A project's answer has arrived."""

    question: Question
    offered: Offered


@dataclass(frozen=True)
class _Read:
    """The requirements of a file have arrived."""

    project: NormalizedName
    file: PageFile
    found: Found


@dataclass(frozen=True)
class _Wish:
    """Why a project is looked at: somebody named it, or something needs it on every platform."""

    named: bool
    certain: bool

    def __or__(self, other: _Wish) -> _Wish:
        return _Wish(self.named or other.named, self.certain or other.certain)


_NAMED = _Wish(named=True, certain=True)


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
    rules = Rules(datetime.now(timezone.utc), options.min_age, options.accept_loss)
    with repository.lock():
        traffic = transport.traffic
        sent, received = traffic.requests, traffic.bytes
        run = _Sync(repository, Overlay(repository, sources, transport, rules), options)
        report = run.run(progress)
        report.requests, report.received = traffic.requests - sent, traffic.bytes - received
        return report


class _Sync:
    """One run over one repository."""

    def __init__(self, repository: Repository, overlay: Overlay, options: SyncOptions) -> None:
        self._repository = repository
        self._overlay = overlay
        self._options = options
        self._follower = (
            Follower(options.constraints, options.dependency_versions)
            if options.with_dependencies
            else Follower(options.constraints, versions=1, pythons=())
        )
        self._because: dict[NormalizedName, NormalizedName] = {}
        self._required: dict[NormalizedName, set[NormalizedName]] = {}
        self._wishes: dict[NormalizedName, _Wish] = {}
        self._named: Iterator[Requirement | NormalizedName] = iter(())
        self._judged: dict[NormalizedName, Judged] = {}
        self._open: set[NormalizedName] = set()
        self._done = 0
        self._reading: Counter[NormalizedName] = Counter()
        self._batch = repository.batch()
        self._published_at = time.monotonic()
        self._roles: list[str] = []
        self._is_unchanged: Callable[[NormalizedName], bool] = lambda project: False
        self._work: Work[_Asked | _Read] = Work()
        self._readers: Readers | None = None
        self._report = SyncReport()

    def run(self, progress: Progress) -> SyncReport:
        """Ask, judge, follow, and publish."""
        try:
            self._start()
            self._feed()
            for result in self._work.results():
                if isinstance(result, _Asked):
                    self._take_offer(result)
                else:
                    self._take_requirements(result)
                self._feed()
                progress(self._done, max(self._total, self._done + len(self._open)))
                if self._is_time():
                    self._publish()
            self._give_up()
        finally:
            self._work.close()
            if self._readers is not None:
                self._readers.close()
        for project in list(self._judged):
            self._write(project)
        self._publish()
        self._finish()
        return self._report

    def _start(self) -> None:
        if change := self._overlay.change_upstream(named=self._options.upstream_named):
            self._report.notices.append(change)
        named = self._options.requirements
        known = () if named else self._overlay.projects()
        self._named = iter(named or known)
        self._total = len(named) or len(known)
        if len(known) > NOTED and not self._options.restore:
            self._is_unchanged = self._overlay.unchanged_by_serial()
        self._follows = self._options.with_dependencies or self._total <= NOTED
        if self._total >= readers.MANY:
            self._readers = self._overlay.readers()

    def _feed(self) -> None:
        """Ask for some more of what was named, and not for all at once: answers take memory."""
        while self._work.under_way < _AHEAD:
            named = next(self._named, None)
            if named is None:
                return
            project = named if isinstance(named, str) else parse_project(named.name)
            if self._is_unchanged(project):
                self._leave(project)
                continue
            self._ask(project, _NAMED)
            if self._follows:
                requirement = Requirement(named) if isinstance(named, str) else named
                self._do(self._follower.follow(requirement))

    def _ask(self, project: NormalizedName, wish: _Wish) -> None:
        """The first stage, for a project that was not asked for yet."""
        if project in self._wishes:
            self._wishes[project] |= wish
            return
        self._wishes[project] = wish
        self._open.add(project)
        if self._options.restore and wish.named:
            self._repository.ledger.restore(project)
        question = self._overlay.question(project, anew=self._options.restore)
        if isinstance(question, Judged):
            self._settle(question)
        elif self._readers is not None:
            answer = self._work.expect()
            self._readers.submit(question, lambda offered: answer(_Asked(question, offered)))
        else:
            self._work.submit(lambda: _Asked(question, self._overlay.read(question)))

    def _take_offer(self, asked: _Asked) -> None:
        project = asked.question.project
        if asked.offered.unchanged and not self._follows and not self._batch.is_partial(project):
            self._leave(project)
        else:
            self._settle(self._overlay.judge(asked.question, asked.offered))

    def _leave(self, project: NormalizedName) -> None:
        """Nothing has changed: its page is not even read."""
        self._open.discard(project)
        self._done += 1
        self._report.unchanged += 1
        self._report.unread += 1

    def _settle(self, judged: Judged) -> None:
        """The second stage is over for a project: what it means is said, and followed."""
        project, settled = judged.project, judged.settled
        self._judged[project] = judged
        self._open.discard(project)
        self._done += 1
        self._report.problems += settled.problems
        self._report.remarks += [f"{project}: {remark}" for remark in judged.remarks]
        if settled.left_out:
            self._report.left_out[project] = settled.left_out
        self._say_standing(judged, self._wishes[project])
        if self._follows:
            self._do(self._follower.tell_page(project, judged.page, judged.facts.requirements))
        if not self._options.with_dependencies and not self._reading[project]:
            self._write(project)

    def _say_standing(self, judged: Judged, wish: _Wish) -> None:
        project = judged.project
        if judged.standing is Standing.CLAIMED:
            self._report.claimed.append(project)
        elif judged.standing is Standing.OWN and wish.named and self._options.requirements:
            self._problem(project, "is this repository's own: no index was asked for it")
        elif judged.standing is Standing.UNKNOWN and judged.before is None:
            asked = ", ".join(source.location for source in self._overlay.sources)
            what = f"not known to {asked}"
            if wish.named or wish.certain:
                self._problem(project, what)
            else:
                # Needed on some platform or Python only, perhaps one that nobody uses any more.
                self._report.remarks.append(f"{project}: {what}")
        elif judged.standing is Standing.QUARANTINED:
            self._report.notices.append(
                f"{project} is in quarantine at its index: nothing of it is signed"
            )
        elif judged.standing is Standing.OFFERED and judged.page is None and wish.named:
            self._problem(project, "there is nothing to sign")

    def _do(self, steps: Sequence[Step]) -> None:
        """The third stage: what the follower needs next."""
        for step in steps:
            if isinstance(step, Doubt):
                self._doubt(step)
            elif not self._options.with_dependencies:
                self._note(step)
            elif isinstance(step, NeedProject):
                self._because.setdefault(step.project, step.because)
                self._ask(step.project, _Wish(named=False, certain=step.certain))
            else:
                self._read(step)

    def _read(self, step: NeedRequirements) -> None:
        self._reading[step.project] += 1
        self._work.submit(partial(self._read_requirements, step))

    def _note(self, step: NeedProject | NeedRequirements) -> None:
        """What is required is not signed, but said: where finding out costs one small request."""
        if isinstance(step, NeedProject):
            self._required.setdefault(step.because, set()).add(step.project)
        elif (
            step.project in self._judged
            and self._judged[step.project].before is None
            and step.group[0].core_metadata is not None
        ):
            self._read(step)

    def _read_requirements(self, step: NeedRequirements) -> _Read:
        with ExitStack() as fetched:
            located = [self._locate(step.project, file, fetched) for file in step.group]
            briefly = not self._options.with_dependencies
            found = find_requirements(step.project, located, self._overlay.files, briefly=briefly)
            return _Read(step.project, step.group[0], found)

    def _locate(self, project: NormalizedName, file: PageFile, fetched: ExitStack) -> PageFile:
        """``file`` with an absolute URL; the repository's own is read on this machine."""
        if file.url != relative_file_url(project, file.filename):
            return file
        name = file_target(project, file.filename)
        path = self._repository.storage.here(name)
        if path is None:
            folder = fetched.enter_context(TemporaryDirectory(prefix="securepip-"))
            path = Path(folder, file.filename)
            # Who reads it says so, where it is not there.
            with suppress(OSError, RepositoryStateError):
                self._repository.storage.fetch(name, path, file.sha256)
        return file._replace(url=path_to_url(path))

    def _take_requirements(self, read: _Read) -> None:
        project, file, found = read.project, read.file, read.found
        if found.remark:
            self._doubt(Doubt(project, found.remark, found.failed))
        judged = self._judged[project]
        if found.wrong_metadata:
            judged = self._overlay.correct_metadata(judged, file)
        if self._options.with_dependencies and (found.requirements or not found.remark):
            judged = self._overlay.learn(
                judged, Facts(requirements={file.sha256: found.requirements})
            )
        self._judged[project] = judged
        self._do(self._follower.tell_requirements(project, file, found.requirements))
        self._reading[project] -= 1
        if not self._options.with_dependencies and not self._reading[project]:
            self._write(project)

    def _doubt(self, doubt: Doubt) -> None:
        if doubt.failed:
            self._problem(doubt.project, doubt.what)
        else:
            self._report.remarks.append(f"{doubt.project}: {doubt.what}")

    def _problem(self, project: NormalizedName, what: str) -> None:
        self._report.problems.append(Problem(project, what))

    def _give_up(self) -> None:
        """Leave out what does not come to an end: the rest must be signed before it expires."""
        for project in sorted(self._open):
            self._problem(project, "was not read in time: it stays as it was")
        if self._options.with_dependencies:
            for project in self._follower.unread():
                self._problem(project, "its requirements were not read in time")

    def _write(self, project: NormalizedName) -> None:
        """The last stage for a project: it is written, said and forgotten."""
        each = self._judged.pop(project)
        self._overlay.stage(self._batch, each)
        self._report.files += len(each.page.files) if each.page else 0
        if not each.is_changed:
            self._report.unchanged += each.page is not None
        elif each.page is None:
            self._report.removed.append(project)
        else:
            self._report.signed.append(project)
            if each.before is None and not self._wishes[project].named:
                self._report.because[project] = self._because[project]

    def _is_time(self) -> bool:
        waited = time.monotonic() - self._published_at
        many = len(self._batch) >= self._options.publish_projects
        return many or (len(self._batch) > 0 and waited >= self._options.publish_seconds)

    def _publish(self) -> None:
        """One snapshot for all that was written since the last one."""
        self._roles += self._repository.commit(self._batch)
        self._published_at = time.monotonic()

    def _finish(self) -> None:
        renewed = refresh(self._repository)
        self._report.roles = tuple(dict.fromkeys((*self._roles, *renewed.signed)))
        self._report.signed.sort()
        self._report.removed.sort()
        for project, required in sorted(self._required.items()):
            unsigned = sorted(each for each in required if self._repository.page(each) is None)
            if unsigned:
                self._report.unsigned[project] = tuple(unsigned)
