"""Reads pages of an index, judges them by the rules of ``repo sync``, and signs them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone

from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.errors import SecurepipError
from securepip.first_use import refusals
from securepip.first_use.memory import Memory
from securepip.first_use.memory_file import Seen
from securepip.first_use.site import Site
from securepip.first_use.witness import Testimony, hear
from securepip.formats.digests import NOT_KNOWN_YET
from securepip.formats.distribution import parse_distribution
from securepip.formats.page import PageFile, ProjectPage
from securepip.signing.overlay.ask import Offered, Question
from securepip.signing.overlay.judge import Rules, wrong_clock
from securepip.signing.overlay.overlay import Judged, Overlay, Standing
from securepip.signing.overlay.upstream.page import LeftOut, Reason
from securepip.signing.publish.on_demand import OnDemand, publish_on_demand
from securepip.signing.repository.repository import Repository

_log = logging.getLogger(__name__)


def sign_pages(site: Site, projects: Sequence[NormalizedName]) -> None:
    """Read the pages of projects, unless they were read a moment ago, and sign them.

    An error that concerns one project or one file is kept in ``site``, and not raised.

    Raises:
        RepositoryStateError: What is on disk is not what was signed.
        SecurepipError: The memory file cannot be read.
    """
    now = datetime.now(timezone.utc)
    with site.open() as repository:
        memory = Memory(repository.ledger.connection, now.timestamp())
        stale = [
            project for project in projects if site.refresh(project) or not memory.is_fresh(project)
        ]
        if not stale:
            return
        rules = Rules(now, site.rules.min_age, memory.accepted_losses())
        overlay = Overlay(repository, site.sources, site.transport, rules, pages_alone=True)
        known = {project: frozenset(repository.ledger.known(project)) for project in stale}
        questions = [overlay.question(project) for project in stale]
        asked = [question for question in questions if isinstance(question, Question)]
        heard = site.in_parallel(
            lambda question: _hear(site, overlay, question, known[question.project]), asked
        )
        warning = wrong_clock((one.offered for one in heard), now)
        if warning is not None and not site.clock_is_said:
            site.clock_is_said = True
            _log.warning("%s", warning)
        with repository.lock(finish=False), site.turn():
            _Round(site, repository, memory, overlay).sign(heard)


@dataclass(frozen=True)
class _Heard:
    """The answers of the index and the witnesses for one project."""

    question: Question
    offered: Offered
    testimony: Testimony = field(default_factory=Testimony)


def _hear(site: Site, overlay: Overlay, question: Question, known: frozenset[str]) -> _Heard:
    """Ask the index and the witnesses. It may run in any thread, and raises nothing."""
    offered = overlay.read(question)
    if offered.error is not None or offered.page is None or not site.witnesses:
        return _Heard(question, offered)
    names = {file.filename for file in offered.files}
    files = [file for file in offered.page.files if file.filename in names]
    try:
        testimony = hear(question.project, files, known, site.witnesses)
    except SecurepipError as error:
        return _Heard(question, Offered(question.project, error=error))
    missing = tuple(LeftOut(name, Reason.NO_WITNESS) for name in testimony.missing)
    # A file without a sha256 cannot be compared with what a witness shows.
    bare = tuple(
        LeftOut(file.filename, Reason.NO_SHA256)
        for file in offered.files
        if file.sha256 == NOT_KNOWN_YET
    )
    gone = {each.filename for each in (*missing, *bare)}
    witnessed = replace(
        offered,
        files=tuple(file for file in offered.files if file.filename not in gone),
        left_out=(*offered.left_out, *missing, *bare),
    )
    return _Heard(question, witnessed, testimony)


class _Round:
    """Judges the answers and publishes the pages. The repository's lock must be held."""

    def __init__(
        self, site: Site, repository: Repository, memory: Memory, overlay: Overlay
    ) -> None:
        self._site = site
        self._repository = repository
        self._ledger = repository.ledger
        self._memory = memory
        self._overlay = overlay
        self._seen: dict[tuple[NormalizedName, str], Seen] = {}

    def sign(self, heard: Sequence[_Heard]) -> None:
        self._recall([one for one in heard if not one.testimony.contradictions])
        settled: list[Judged] = []
        pages: list[ProjectPage] = []
        changed: dict[NormalizedName, OnDemand] = {}
        for one in heard:
            judged = self._judge(one)
            if isinstance(judged, SecurepipError):
                self._site.errors[one.question.project] = judged
                continue
            settled.append(judged)
            page = self._page(judged)
            if page is not None:
                pages.append(page)
            if page is not None and page != judged.before:
                written = judged.written if page is judged.page else None
                changed[judged.project] = OnDemand(page, judged.before, written=written)
        publish_on_demand(self._repository, changed)
        self._site.keep_pages(self._repository, pages)
        self._memory.mark_seen()
        for judged in settled:
            self._overlay.remember(judged)
        projects = [judged.project for judged in settled]
        self._memory.asked(projects)
        self._memory.use_up_losses(projects)

    def _judge(self, one: _Heard) -> Judged | SecurepipError:
        """The decision about a project, or the error if nothing of it may be installed."""
        project, contradictions = one.question.project, one.testimony.contradictions
        if contradictions:
            for each in contradictions:
                self._ledger.refuse(project, each.filename, each.offered)
            return refusals.contradiction(project, contradictions)
        judged = self._overlay.judge(one.question, one.offered)
        settled, offered = judged.settled, judged.offered
        index = self._site.index
        if judged.standing is Standing.UNREADABLE and offered and offered.error:
            return offered.error
        if judged.standing is Standing.QUARANTINED:
            reason = offered.page.status_reason if offered and offered.page else None
            return refusals.quarantined(project, reason, index)
        if settled.held_back:
            self._memory.refuse_loss(project)
            what = settled.problems[-1].what.partition(";")[0]
            return refusals.lost_files(project, what, index)
        if judged.standing is Standing.OFFERED and settled.page is None and not settled.refused:
            reasons = sorted({each.reason.value for each in settled.left_out})
            return refusals.nothing_to_sign(project, reasons or ["there is none"], index)
        return judged

    def _recall(self, heard: Sequence[_Heard]) -> None:
        """Record digests from the memory file and from other indexes for files that are new."""
        if not (self._site.remembered or self._site.others):
            return
        new: dict[NormalizedName, list[PageFile]] = {}
        for one in heard:
            project = one.question.project
            known = self._ledger.known(project)
            new[project] = [file for file in one.offered.files if file.filename not in known]
        self._seen = self._site.bound(new)
        self._ledger.record((*one, seen.sha256) for one, seen in self._seen.items())

    def _page(self, judged: Judged) -> ProjectPage | None:
        """The page to be signed. A file that has changed keeps the entry that was seen first.

        If it were left out, resolvers would silently choose an older release.
        """
        project, settled = judged.project, judged.settled
        self._say_young(judged)
        if not settled.refused:
            return settled.page
        known = self._ledger.known(project)
        files = {file.filename: file for file in (settled.page.files if settled.page else ())}
        for file in settled.refused:
            sha256 = known[file.filename]
            before = judged.before.file(file.filename) if judged.before else None
            if before is None or before.sha256 != sha256:
                before = file._replace(sha256=sha256, size=None, core_metadata=None)
            files[file.filename] = before
            self._site.refused[project, file.filename] = refusals.changed_file(
                file.filename,
                self._first_seen(project, file.filename),
                sha256,
                file.sha256,
                self._site.index,
            )
        return replace(settled.page or ProjectPage(project), files=tuple(files.values()))

    def _first_seen(self, project: NormalizedName, filename: str) -> date:
        seen = self._seen.get((project, filename)) or self._site.remembered.get(filename)
        return seen.first_seen if seen else self._memory.first_seen(project, filename)

    def _say_young(self, judged: Judged) -> None:
        min_age = self._site.rules.min_age
        young = [each for each in judged.settled.left_out if each.reason is Reason.TOO_YOUNG]
        if young and min_age is not None:
            newest = max(young, key=lambda each: _version(each.filename, judged.project))
            self._site.say(refusals.too_young(judged.project, len(young), newest.filename, min_age))


def _version(filename: str, project: NormalizedName) -> Version:
    name = parse_distribution(filename, project)
    return name.version if name else Version("0")
