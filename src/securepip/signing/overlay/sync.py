"""A whole sync: ask for every project, judge, follow what is required, publish now and then.

Rule: threads read and this thread decides. The ledger, the memory and the repository are touched
from here alone, and what one project does wrong never stops the others. A project is read, judged,
written and forgotten; each publication makes all that was written since the last one current at
once, so that a sync that is killed or stuck has published what it had.
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
from securepip.signing.overlay.judge import Rules
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
    # What others wait for is remembered; what somebody names is asked for once, and forgotten.
    known = repository.ledger.connection
    follows = options.with_dependencies
    tables = nullcontext(known) if follows else closing(private_sqlite(WALK))
    with repository.lock(), tables as connection:
        traffic = transport.traffic
        sent, received = traffic.requests, traffic.bytes
        overlay = Overlay(repository, sources, transport, rules)
        run = _Sync(repository, overlay, options, Walk(connection))
        report = run.run(progress)
        report.requests, report.received = traffic.requests - sent, traffic.bytes - received
        return report


class _Sync:
    """One run over one repository."""

    def __init__(
        self, repository: Repository, overlay: Overlay, options: SyncOptions, walk: Walk
    ) -> None:
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
            # Also where something was given up: what was done is asked for again, as always.
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
        # A recovery, which makes a new root, may have taken back what was published since.
        root = self._repository.roles().root.signed.version
        asked = _digest(self._options, self._overlay.sources, root)
        if done := self._walk.begin(asked, time.time()):
            self._report.notices.append(
                "the sync before this one was not ended: "
                f"{counted(done, 'project is', 'projects are')} signed, and this one does the rest"
            )

    def _feed(self) -> None:
        """Ask for some more of what was named or found, not for all: answers take memory."""
        while self._work.under_way < _AHEAD and self._feed_one():
            pass

    def _feed_one(self) -> bool:
        # All that were named come first: what is found on the way becomes known as they are.
        named = next(self._named, None)
        if named is not None:
            self._name(named)
            return True
        found = self._walk.next() if self._follows else None
        if found is not None:
            self._ask(found.project)
            return True
        # What is wanted of a project that is settled is followed together, and not one by one:
        # of some, a thousand others want something.
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
        """The first stage, for a project that was not asked for yet."""
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
        """How many projects there are, as far as is known. Counting them takes its time, too."""
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
        """Nothing has changed: its page is not even read."""
        self._open.discard(project)
        self._done += 1
        self._report.unchanged += 1
        self._report.unread += 1

    def _settle(self, judged: Judged) -> None:
        """The second stage is over for a project: what it means is said, and followed."""
        project, settled = judged.project, judged.settled
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
                # Needed on some platform or Python only, perhaps one that nobody uses any more.
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
        """Leave out what does not come to an end: the rest must be signed before it expires."""
        for project in sorted(self._open):
            self._problem(project, "was not read in time: it stays as it was")
        for judged in self._trail.give_up():
            self._write(judged)

    def _write(self, each: Judged | None) -> None:
        """The last stage for a project, if it has come: it is written, said and forgotten."""
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
        """One snapshot for all that was written since the last one."""
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
    """Tells one request from another: what is asked for, of whom, and after which root."""
    decides = (
        [source.location for source in sources],
        sorted(map(str, options.constraints)),
        sorted(options.accept_loss),
        (options.dependency_versions, options.min_age, options.restore, root),
    )
    said = sha256(repr(decides).encode())
    for requirement in options.requirements:  # perhaps a million
        said.update(f"\n{requirement}".encode())
    return said.hexdigest()
