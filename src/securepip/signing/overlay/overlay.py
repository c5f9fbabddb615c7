"""The seam between an index that does not sign and the repository that signs for it.

What does the index offer for a project, how is that judged against memory and ledger, and what is
to be published? Whoever signs for an index, for many projects at a time or for the few that a
resolver asks for, goes through the same four calls, with frozen values between them:

    asked = overlay.question(project)         # what is known already: here and now
    offered = overlay.read(asked)             # the network: in any thread, without the lock
    with repository.lock():
        judged = overlay.judge(asked, offered)
        overlay.publish([judged])             # many at once: one snapshot

Rule: nothing that one project's index answers reaches another project. ``read`` returns its errors,
``judge`` makes a problem of whatever the answer makes Python raise, and ``publish`` gets nothing
that could not be written, signed and read again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError, SecurepipError
from securepip.formats.page import PageFile, ProjectPage, parse_page
from securepip.signing.overlay.ask import Offered, Question, Reader, Wanted
from securepip.signing.overlay.details import is_metadata_unknown, newest_first
from securepip.signing.overlay.judge import Rules, Settled, own_files, settle
from securepip.signing.overlay.memory import Facts, Memory, PageState, Upstream
from securepip.signing.overlay.report import Problem
from securepip.signing.overlay.upstream.files import UpstreamFiles
from securepip.signing.overlay.upstream.interface import Source
from securepip.signing.overlay.upstream.page import Reason, UpstreamFile
from securepip.signing.overlay.upstream.places.find_links import FindLinks
from securepip.signing.overlay.upstream.places.http_index import HttpIndex
from securepip.signing.overlay.upstream.project_json import ProjectJson
from securepip.signing.overlay.work.readers import Readers
from securepip.signing.repository.pages.batch import Batch
from securepip.signing.repository.pages.contents import SignedPage
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.later import Later
from securepip.transport import Transport

_WORTH_ANOTHER_TRY = {Reason.NO_LENGTH, Reason.BLOCKED, Reason.MISSING, Reason.NO_WITNESS}
"""What the next question may find out although no page has changed."""


class Standing(Enum):
    """Who spoke for a project, and what the index said."""

    CLAIMED = auto()
    """Its maintainers sign for it: what an index says of it is nothing to us."""
    OWN = auto()
    """All its files are the repository's own: they are never mixed with a stranger's."""
    UNREADABLE = auto()
    """There is no answer, or none that can be read."""
    UNCHANGED = auto()
    """The sources have not changed since the page was signed."""
    UNKNOWN = auto()
    """No source knows it."""
    QUARANTINED = auto()
    """A source holds it in quarantine (PEP 792)."""
    OFFERED = auto()
    """There is an answer, and it was judged file by file."""


@dataclass(frozen=True)
class Judged:
    """What becomes of a project.

    Attributes:
        project: The project.
        standing: Who spoke for it.
        before: Its page until now.
        settled: Its page from now on, what is not on it, and what an operator has to look at.
        facts: What is known of its files.
        offered: The index's answer, where it was asked.
        remarks: What is good to know, a sentence each.
        written: The bytes of a page that is changed, from which it was read again.
    """

    project: NormalizedName
    standing: Standing
    before: ProjectPage | None
    settled: Settled
    facts: Facts
    offered: Offered | None = None
    remarks: tuple[str, ...] = ()
    written: bytes | None = None

    @property
    def page(self) -> ProjectPage | None:
        """Its page from now on."""
        return self.settled.page

    @property
    def is_changed(self) -> bool:
        """Whether there is something to publish."""
        return self.page != self.before


class Overlay:
    """One repository over its sources. Use from one thread, except for ``read``.

    Args:
        repository: Opened with its online key.
        sources: In pip's order.
        transport: The one that ``sources`` use.
        rules: What may be signed.
        pages_alone: Ask for nothing but pages: neither an index's JSON API nor the servers of the
            files. What these would say is learned for the files that somebody chooses.
    """

    def __init__(
        self,
        repository: Repository,
        sources: Sequence[Source],
        transport: Transport,
        rules: Rules,
        *,
        pages_alone: bool = False,
    ) -> None:
        http = [source for source in sources if isinstance(source, HttpIndex)]
        apis = {} if pages_alone else {s.location: ProjectJson(s.url, transport) for s in http}
        self.sources = sources
        self.files = UpstreamFiles((source.url for source in http), transport)
        self._repository = repository
        self._rules = rules
        self._now = rules.now.timestamp()
        # The number changes when what may be signed does: then every page is judged again.
        self._settings = f"3 min_age={rules.min_age}" + (" pages alone" if pages_alone else "")
        self._pages_alone = pages_alone
        self._memory = Memory(repository.ledger.connection)
        self._reader = Reader(sources, apis, self.files)

    def projects(self) -> Iterator[NormalizedName]:
        """The projects that came from an index, sorted: those that a sync keeps up to date.

        Not those that are wholly this repository's own: a stranger could have taken their names at
        an index. Nor those that were removed here. But also those of which nothing is signed now,
        because they are in quarantine say: they may come back.
        """
        for project, offered in self._memory.each_known():
            if offered and not self._repository.ledger.is_withdrawn(project):
                yield project  # whoever asks for it finds out whether it is wholly our own by now
                continue
            page = self._repository.page(project)
            if page is not None and page.files and not _is_wholly_own(page):
                yield project

    def unchanged_by_serial(self) -> Callable[[NormalizedName], bool]:
        """Tells of a project whether its index, which counts changes, has seen none since then.

        One request for all projects, where there is one index and nothing else. The page that was
        signed then still has to be the current one.
        """
        (first, *others) = self.sources
        serials = first.serials() if isinstance(first, HttpIndex) and not others else {}

        def is_unchanged(project: NormalizedName) -> bool:
            now = serials.get(project, 0)
            state = self._memory.state(project) if now else None
            return (
                state is not None
                and [reading.source for reading in state.readings] == [first.location]
                # Another number may be a lie of one moment, which would hide what comes for ever.
                and state.readings[0].serial == now
                and self._may_be_unchanged(project, state, self._digest(project))
            )

        return is_unchanged

    def change_upstream(self, *, named: bool) -> str:
        """Remember which indexes the sources are.

        Args:
            named: Whether an operator named them; else pip is configured for them.

        Returns:
            What changed since the last time, in a sentence; "" for nothing.
        """
        now = Upstream(
            tuple(each.location for each in self.sources if not isinstance(each, FindLinks)), named
        )
        before = self._memory.upstream()
        self._memory.keep_upstream(now)
        if before is None or before.locations == now.locations:
            return ""
        then, from_now_on = " ".join(before.locations), " ".join(now.locations)
        return f"what is signed came from {then}; from now on it comes from {from_now_on}"

    def question(
        self, project: NormalizedName, *, wanted: Wanted = newest_first, anew: bool = False
    ) -> Question | Judged:
        """What is to be asked about ``project``; or what stays as it is, where nobody is asked.

        Args:
            project: The project.
            wanted: Chooses the files about which servers are asked, where the index says too
                little. A file whose length nobody knows is left out, and may be wanted later.
            anew: Judge it again even if no source has changed.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        current = self._repository.signed_page(project)
        facts = self._memory.facts(project, self._now)
        if self._repository.roles().claim(project) is not None:
            return _left_alone(project, Standing.CLAIMED, current, facts)
        state, digest = self._memory.state(project), current.sha256 if current else ""
        may_be_unchanged = not anew and self._may_be_unchanged(project, state, digest)
        # What nobody has changed since it was judged is not read: it was not wholly own then.
        page = current.load() if current and not may_be_unchanged else None
        # Of a page of which every file was removed, it is remembered if an index's were the last.
        if page is not None and _is_wholly_own(page) and (page.files or state is None):
            return _left_alone(project, Standing.OWN, current, facts)
        return Question(
            project,
            current,
            digest,
            state,
            facts,
            may_be_unchanged=may_be_unchanged,
            need_upload_times=self._rules.min_age is not None,
            wanted=_nobody if self._pages_alone else wanted,
            details_later=self._pages_alone,
        )

    def read(self, question: Question) -> Offered:
        """What the sources offer. Called from any thread; raises nothing."""
        return self._reader.read(question)

    def readers(self) -> Readers | None:
        """Processes that do the same, to be closed; None where a source has to be read here."""
        if not all(isinstance(source, HttpIndex) for source in self.sources):
            return None
        return Readers(self._reader, self.files.transport)

    def judge(self, question: Question, offered: Offered) -> Judged:
        """What becomes of the project. Keeps what was learned, and what was refused.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        project = question.project
        signed = question.current
        if self._digest(project) != question.digest:
            # Another process has signed meanwhile, and nothing that it signed may be lost.
            signed = self._repository.signed_page(project)
        current = signed.load() if signed else None
        try:
            return self._judge(question, offered, current)
        except (RepositoryStateError, OSError, sqlite3.Error):
            raise
        except Exception as error:
            # Whatever an index makes of one project's page must not stop the others.
            defect = SecurepipError(f"what is offered cannot be signed: {error!r:.200}")
            return self._kept(question, current, defect)

    def correct_metadata(self, judged: Judged, file: PageFile) -> Judged:
        """``judged``, when the ``.metadata`` of ``file`` turned out not to be what the wheel holds.

        Signed, it would stop every install.
        """
        if judged.page is None:
            return judged
        files = tuple(
            each._replace(core_metadata=None) if each.sha256 == file.sha256 else each
            for each in judged.page.files
        )
        page = replace(judged.page, files=files)
        corrected = replace(judged, settled=replace(judged.settled, page=page), written=None)
        return self.learn(corrected, Facts(metadata={file.sha256: None}))

    def learn(self, judged: Judged, learned: Facts) -> Judged:
        """Keep what was learned of the project's files."""
        self._memory.keep_facts(judged.project, learned, self._now)
        return replace(judged, facts=judged.facts.plus(learned))

    def written(self, project: NormalizedName, page: ProjectPage | None) -> Judged:
        """What became of a project whose page was written before."""
        facts = self._memory.facts(project, self._now)
        return Judged(project, Standing.UNCHANGED, page, Settled(page), facts)

    def judge_anew(self, project: NormalizedName, later: Later) -> None:
        """Let the next question about a project be answered, although no source has changed."""
        later.flush()
        self._memory.forget_state(project)

    def publish(self, judged: Iterable[Judged]) -> tuple[str, ...]:
        """Make the pages current, in one snapshot, and remember what they were made from.

        Returns:
            The roles that were signed.

        Raises:
            RepositoryStateError: A key is not here, or the state is odd. Nothing changed.
        """
        with self._repository.lock():
            batch = self._repository.batch()
            for each in judged:
                self.stage(batch, each)
            return self._repository.commit(batch)

    def stage(self, batch: Batch, judged: Judged) -> None:
        """Write what is to become current of one project, and what it was made from.

        A run that is killed before the batch is committed leaves what belongs to no signed page:
        the project is then asked for again.

        Raises:
            RepositoryStateError: The state is odd.
        """
        # On demand, only chosen files got targets: the page is right, and not all is signed.
        if judged.is_changed or batch.is_partial(judged.project):
            batch.stage({judged.project: judged.page}, written={judged.project: judged.written})
        self.remember(judged, batch.digest(judged.project) or "", batch.later)

    def _keep_name(self, judged: Judged, later: Later | None) -> None:
        if judged.page is None and judged.project in self._rules.accept_loss:
            self._memory.forget_project(judged.project)
        elif judged.standing in (Standing.OFFERED, Standing.QUARANTINED, Standing.UNREADABLE):
            self._memory.keep_projects([judged.project], later)

    def _judge(self, question: Question, offered: Offered, current: ProjectPage | None) -> Judged:
        project, facts = question.project, question.facts
        if offered.error is not None:
            return self._kept(question, current, offered.error)
        if offered.unchanged:
            settled = Settled(current)
            return Judged(project, Standing.UNCHANGED, current, settled, facts, offered)
        self._memory.keep_facts(project, offered.learned, self._now)
        facts = facts.plus(offered.learned)
        settled = settle(offered, current, self._repository.ledger, self._rules)
        written: bytes | None = None
        if settled.page is not None and settled.page != current:
            # Exactly what clients will do: what cannot be read again is not signed.
            written = settled.page.to_json()
            settled = replace(settled, page=parse_page(written, project))
        for file in settled.refused:
            self._repository.ledger.refuse(project, file.filename, file.sha256)
        if offered.page is None:
            return Judged(project, Standing.UNKNOWN, current, settled, facts, offered)
        quarantined = offered.page.status == "quarantined"
        standing = Standing.QUARANTINED if quarantined else Standing.OFFERED
        remarks = offered.page.remarks
        return Judged(project, standing, current, settled, facts, offered, remarks, written)

    def _kept(
        self, question: Question, current: ProjectPage | None, error: SecurepipError
    ) -> Judged:
        project = question.project
        settled = Settled(current, problems=(Problem(project, error.what),))
        offered = Offered(project, error=error)
        return Judged(project, Standing.UNREADABLE, current, settled, question.facts, offered)

    def _may_be_unchanged(
        self, project: NormalizedName, state: PageState | None, digest: str
    ) -> bool:
        if state is None or project in self._rules.accept_loss:
            return False
        due = state.review_at is not None and state.review_at <= self._now
        return not due and state.settings == self._settings and state.page == digest

    def remember(
        self, judged: Judged, digest: str | None = None, later: Later | None = None
    ) -> None:
        """Keep what the page was made from, if nothing about it is left to do.

        Args:
            judged: Whose page is current, or about to be.
            digest: Of that page, "" for none; by default the current one. What a killed run did not
                publish has another, and so is asked for again.
            later: Where rows wait until the page is published.
        """
        self._keep_name(judged, later)
        offered, settled = judged.offered, judged.settled
        if offered is None or judged.standing not in (Standing.OFFERED, Standing.UNKNOWN):
            return
        # Without a page there is something to say the next time too.
        if settled.page is None or settled.problems or _is_wholly_own(settled.page):
            return
        if any(each.reason in _WORTH_ANOTHER_TRY for each in settled.left_out):
            return
        facts = judged.facts
        recheck_at: float | None = None
        if facts.sizes or facts.metadata or facts.old_sizes or facts.old_metadata:
            open_files = offered.page.files if offered.page else ()
            recheck_at = self._memory.recheck_at(
                judged.project,
                sizes={file.sha256 for file in open_files if file.size is None},
                metadata={file.sha256 for file in open_files if is_metadata_unknown(file)},
            )
        dates = (settled.review_at.timestamp() if settled.review_at else None, recheck_at)
        review_at = min((date for date in dates if date is not None), default=None)
        if digest is None:
            digest = self._digest(judged.project)
        state = PageState(self._settings, offered.readings, digest, review_at)
        self._memory.keep_state(judged.project, state, later)

    def _digest(self, project: NormalizedName) -> str:
        """Of the page that is signed now; "" for none."""
        return self._repository.known().page(project) or ""


def _is_wholly_own(page: ProjectPage) -> bool:
    """Whether the repository itself holds all files of ``page``."""
    return len(own_files(page)) == len(page.files)


def _left_alone(
    project: NormalizedName, standing: Standing, signed: SignedPage | None, facts: Facts
) -> Judged:
    """What nobody is asked about."""
    current = signed.load() if signed else None
    return Judged(project, standing, current, Settled(current), facts)


def _nobody(files: Sequence[UpstreamFile]) -> Sequence[UpstreamFile]:
    """No file is asked about."""
    return ()
