"""A whole sync: reads and judges every project, follows requirements, and publishes in batches.

Rule: other threads read, and this thread decides. Only this thread uses the ledger, the memory and
the repository, and an error in one project never stops the others. A project is read, judged,
written and then dropped from memory. Each publication makes current everything that was written
since the last one, so a sync that is killed or stuck loses little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from hashlib import sha256

from packaging.requirements import Requirement
from packaging.utils import NormalizedName

from securepip.errors import UsageError
from securepip.formats.layout import parse_project
from securepip.formats.words import counted
from securepip.signing.overlay.ask import Offered, Question
from securepip.signing.overlay.follow.follower import Follower, want_of
from securepip.signing.overlay.follow.trail import Read, Trail
from securepip.signing.overlay.follow.walk import Walk
from securepip.signing.overlay.judge import Rules, wrong_clock
from securepip.signing.overlay.memory import Memory
from securepip.signing.overlay.overlay import Judged, Overlay, Standing
from securepip.signing.overlay.report import Problem, SyncReport
from securepip.signing.overlay.upstream.interface import Source
from securepip.signing.overlay.work import readers
from securepip.signing.overlay.work.readers import Readers
from securepip.signing.overlay.work.threads import Work
from securepip.signing.publish.refresh import refresh
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.schema import WALK
from securepip.signing.repository.state.sqlite import private_sqlite
from securepip.transport import PARALLEL, Transport

NOTED = 100
"""With more projects than this, requirements that are not signed are not reported: finding them
costs a request for each project."""

_AHEAD = 4 * PARALLEL

Progress = Callable[[int, int], None]
"""Called with how many projects are done, and how many there are so far."""


@dataclass(frozen=True)
class SyncOptions:
    """The operator's options for a sync.

    Attributes:
        requirements: The projects, as requirements or names (names take a tenth of the memory). If
            empty, every project that came from an index.
        constraints: pip's constraints, which limit the versions that users may get.
        with_dependencies: Whether to sign the projects too that the requirements lead to.
        dependency_versions: How many releases of each project are read for their dependencies.
        min_age: Younger files are left out; None if files of any age are signed.
        restore: Whether to sign again what was removed.
        accept_loss: Projects whose page may lose most of its files, or all.
        publish_projects: Publish after this many changed projects.
        publish_seconds: Publish after this many seconds, if something has changed. A publication is
            expensive: it signs every bin that has changed, and clients fetch these bins again.
        upstream_named: Whether an operator named the indexes, now or before; if not, they are those
            of pip's configuration.
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
    """The answer of the sources for a project, which has arrived."""

    question: Question
    offered: Offered


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
        progress: Told how many projects are done.

    Returns:
        The report. Projects with ``problems`` were left as they were; all others are signed.

    Raises:
        RepositoryStateError: A key is not here, or what is on disk is not what was signed.
        UsageError: ``sources`` is empty.
    """
    if not sources:
        raise UsageError("pip is configured for no index", remedy="Name one: --upstream URL")
    rules = Rules(datetime.now(timezone.utc), options.min_age, options.accept_loss)
    # A walk over dependencies is recorded in the ledger, so that a killed one can be continued. A
    # list of names needs no record: the next sync reads all of them again.
    known = repository.ledger.connection
    follows = options.with_dependencies
    tables = nullcontext(known) if follows else closing(private_sqlite(WALK))
    with repository.lock(), tables as connection:
        traffic = transport.traffic
        sent, received = traffic.requests, traffic.bytes
        overlay = Overlay(repository, sources, transport, rules)
        run = _Sync(repository, overlay, options, Walk(connection), rules.now)
        report = run.run(progress)
        report.requests, report.received = traffic.requests - sent, traffic.bytes - received
        return report


class _Sync:
    """One run over one repository."""

    def __init__(
        self,
        repository: Repository,
        overlay: Overlay,
        options: SyncOptions,
        walk: Walk,
        now: datetime,
    ) -> None:
        self._now = now
        self._clock: str | None = None
        self._repository = repository
        self._overlay = overlay
        self._options = options
        self._follows = options.with_dependencies
        self._walk = walk
        self._named: Iterator[Requirement | NormalizedName] = iter(())
        self._total = 0
        self._open: set[NormalizedName] = set()
        self._done = self._waiting = 0
        self._counted_at = 0.0
        self._batch = repository.batch()
        self._published_at = time.monotonic()
        self._roles: list[str] = []
        self._is_unchanged: Callable[[NormalizedName], bool] = lambda project: False
        self._work: Work[_Asked | Read] = Work()
        self._readers: Readers | None = None
        self._report = SyncReport()
        self._trail = Trail(
            overlay,
            repository.storage,
            self._walk,
            Follower(options.constraints, options.dependency_versions)
            if options.with_dependencies
            else Follower(options.constraints, versions=1, pythons=()),
            self._report,
            self._work.submit,
            self._batch.later,
            signs=options.with_dependencies,
        )

    def run(self, progress: Progress) -> SyncReport:
        """Ask, judge, follow, and publish."""
        try:
            self._start()
            self._take_all(progress)
            while self._trail.has_wrong and not self._work.under_way:
                self._trail.has_wrong = False
                self._publish()
                self._take_all(progress)
            self._give_up()
        finally:
            self._work.close()
            if self._readers is not None:
                self._readers.close()
        self._publish()
        if self._options.with_dependencies:
            # The walk ends even if projects were given up: the next sync reads all of them again.
            self._walk.end()
        self._finish()
        return self._report

    def _take_all(self, progress: Progress) -> None:
        self._feed()
        for result in self._work.results():
            if isinstance(result, _Asked):
                self._take_offer(result)
            else:
                self._write(self._trail.take(result))
            self._feed()
            progress(self._done, max(self._total, self._expected()))
            if self._is_time():
                self._publish()

    def _start(self) -> None:
        if change := self._overlay.change_upstream(named=self._options.upstream_named):
            self._report.notices.append(change)
        named = self._options.requirements
        self._named = iter(named or self._overlay.projects())
        self._total = len(named) or Memory(self._repository.ledger.connection).count()
        if not named and self._total > NOTED and not self._options.restore:
            self._is_unchanged = self._overlay.unchanged_by_serial()
        self._follows = self._options.with_dependencies or self._total <= NOTED
        if self._total >= readers.MANY:
            self._readers = self._overlay.readers()
        if not self._options.with_dependencies:
            return
        # A recovery may undo what this walk has published. It makes a new root, so the version of
        # root is part of the request.
        root = self._repository.roles().root.signed.version
        asked = _digest(self._options, self._overlay.sources, root)
        if done := self._walk.begin(asked, time.time()):
            self._report.notices.append(
                "the sync before this one was not ended: "
                f"{counted(done, 'project is', 'projects are')} signed, and this one does the rest"
            )

    def _feed(self) -> None:
        """Ask about some more projects. Not about all at once, because answers take memory."""
        while self._work.under_way < _AHEAD and self._feed_one():
            pass

    def _feed_one(self) -> bool:
        # Named projects come first. The walk then knows all of them when others are found.
        named = next(self._named, None)
        if named is not None:
            self._name(named)
            return True
        next_project = self._walk.next() if self._follows else None
        if next_project is not None:
            self._ask(next_project.project)
            return True
        # A settled project is looked at again only when nothing else is under way: a thousand
        # projects may want more of one, and one look answers all of them.
        again = self._walk.again() if self._follows and not self._work.under_way else None
        if again is not None:
            written = self._overlay.written(again, self._batch.page_to_come(again))
            self._write(self._trail.look(written, is_written=True))
        return again is not None

    def _name(self, named: Requirement | NormalizedName) -> None:
        project = named if isinstance(named, str) else parse_project(named.name)
        if self._is_unchanged(project):
            self._leave(project)
            return
        requirement = Requirement(named) if self._follows and isinstance(named, str) else named
        want = None if isinstance(requirement, str) else want_of(requirement)[1]
        if self._walk.name(project, want if self._follows else None):
            self._ask(project)

    def _ask(self, project: NormalizedName) -> None:
        """Begin the first stage for a project: ask the sources about it."""
        self._open.add(project)
        if self._options.restore and self._walk.wish(project).named:
            self._repository.ledger.restore(project)
        question = self._overlay.question(project, anew=self._options.restore)
        if isinstance(question, Judged):
            self._settle(question)
        elif self._readers is not None:
            answer = self._work.expect()
            self._readers.submit(question, lambda offered: answer(_Asked(question, offered)))
        else:
            self._work.submit(lambda: _Asked(question, self._overlay.read(question)))

    def _expected(self) -> int:
        """How many projects there are, as far as is known. They are counted once a second."""
        if self._options.with_dependencies and time.monotonic() >= self._counted_at + 1.0:
            self._waiting, self._counted_at = self._walk.waiting(), time.monotonic()
        return self._done + len(self._open) + self._waiting

    def _take_offer(self, asked: _Asked) -> None:
        project = asked.question.project
        if asked.offered.unchanged and not self._follows and not self._batch.is_partial(project):
            self._leave(project)
        else:
            self._settle(self._overlay.judge(asked.question, asked.offered))

    def _leave(self, project: NormalizedName) -> None:
        """Leave a project as it is, without loading its page, because nothing has changed."""
        self._open.discard(project)
        self._done += 1
        self._report.unchanged += 1
        self._report.unread += 1

    def _settle(self, judged: Judged) -> None:
        """Report the decision about a project, and begin the third stage."""
        project, settled = judged.project, judged.settled
        if judged.offered is not None and self._clock is None:
            self._clock = wrong_clock([judged.offered], self._now)
            self._report.notices += [self._clock] if self._clock else []
        self._open.discard(project)
        self._done += 1
        if settled.problems:
            self._report.problems += settled.problems
            self._walk.trouble(project)
        self._report.remarks += [f"{project}: {remark}" for remark in judged.remarks]
        if settled.left_out:
            self._report.left_out[project] = settled.left_out
        self._say_standing(judged)
        self._write(self._trail.look(judged) if self._follows else judged)

    def _say_standing(self, judged: Judged) -> None:
        project = judged.project
        if judged.standing is Standing.OFFERED and judged.page is not None:
            return
        wish = self._walk.wish(project)
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
                # Only some platform or Python version needs it, perhaps one that nobody uses.
                self._report.remarks.append(f"{project}: {what}")
        elif judged.standing is Standing.QUARANTINED:
            what = f"{project} is in quarantine at its index: nothing of it is signed"
            self._report.notices.append(what)
            self._walk.trouble(project)
        elif judged.standing is Standing.OFFERED and wish.named:  # without a page, as above
            self._problem(project, "there is nothing to sign")

    def _problem(self, project: NormalizedName, what: str) -> None:
        self._report.problems.append(Problem(project, what))
        self._walk.trouble(project)

    def _give_up(self) -> None:
        """Leave projects that take too long as they were: the others must be signed in time."""
        for project in sorted(self._open):
            self._problem(project, "was not read in time: it stays as it was")
        for judged in self._trail.give_up():
            self._write(judged)

    def _write(self, each: Judged | None) -> None:
        """Write the page of a project and count it in the report; None is ignored."""
        if each is None:
            return
        project = each.project
        self._overlay.stage(self._batch, each)
        self._report.files += len(each.page.files) if each.page else 0
        if not each.is_changed:
            self._report.unchanged += each.page is not None
        elif each.page is None:
            self._report.removed.append(project)
        else:
            self._report.signed.append(project)
            wish = self._walk.wish(project) if each.before is None and self._follows else None
            if wish is not None and not wish.named:
                self._report.because[project] = NormalizedName(wish.because)

    def _is_time(self) -> bool:
        waited = time.monotonic() - self._published_at
        many = len(self._batch) >= self._options.publish_projects
        return many or (len(self._batch) > 0 and waited >= self._options.publish_seconds)

    def _publish(self) -> None:
        """Make everything current, in one snapshot, that was written since the last one."""
        self._roles += self._repository.commit(self._batch)
        if self._options.with_dependencies:
            self._walk.published()
        self._published_at = time.monotonic()

    def _finish(self) -> None:
        renewed = refresh(self._repository)
        self._report.roles = tuple(dict.fromkeys((*self._roles, *renewed.signed)))
        self._report.signed.sort()
        self._report.removed.sort()
        for project, required in sorted(self._trail.required.items()):
            unsigned = sorted(each for each in required if self._repository.page(each) is None)
            if unsigned:
                self._report.unsigned[project] = tuple(unsigned)


def _digest(options: SyncOptions, sources: Sequence[Source], root: int) -> str:
    """A digest of the request: what is asked for, the sources, and the version of root."""
    decides = (
        [source.location for source in sources],
        sorted(map(str, options.constraints)),
        sorted(options.accept_loss),
        (options.dependency_versions, options.min_age, options.restore, root),
    )
    digest = sha256(repr(decides).encode())
    for requirement in options.requirements:  # perhaps a million
        digest.update(f"\n{requirement}".encode())
    return digest.hexdigest()
