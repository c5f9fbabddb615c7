"""``Overlay`` connects an index that does not sign with the repository that signs for it.

All code that signs for an index, for many projects or for the few that a resolver asks for, makes
the same four calls, and passes frozen values from one to the next:

    asked = overlay.question(project)         # what is known already
    offered = overlay.read(asked)             # the network: in any thread, without the lock
    with repository.lock():
        judged = overlay.judge(asked, offered)
        overlay.publish([judged])             # any number of projects in one snapshot

Rule: an index's answer for one project cannot harm another project. ``read`` returns errors and
does not raise them. ``judge`` turns any exception that an answer causes into a problem of its
project. ``publish`` gets only pages that were serialized and parsed again.
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
"""The next sync may succeed with these files although no page has changed."""


class Standing(Enum):
    """The facts that the decision about a project is based on."""

    CLAIMED = auto()
    """Its maintainers sign for it: what an index says of it does not count."""
    OWN = auto()
    """All its files are the repository's own. They are never mixed with files of an index, where a
    stranger could have registered the same name."""
    UNREADABLE = auto()
    """The sources did not answer, or the answer cannot be read."""
    UNCHANGED = auto()
    """The sources have not changed since the page was signed."""
    UNKNOWN = auto()
    """No source knows the project."""
    QUARANTINED = auto()
    """A source holds the project in quarantine (PEP 792)."""
    OFFERED = auto()
    """The sources offer files, which were judged one by one."""


@dataclass(frozen=True)
class Judged:
    """A project that is ready to be published.

    Attributes:
        project: The project.
        standing: What the decision is based on.
        before: Its page until now; None if it had none.
        settled: Its new page, what is not on it, and what an operator has to look at.
        facts: What is known of its files.
        offered: The answer of the sources; None if they were not asked.
        remarks: Remarks for people, a sentence each.
        written: The serialized page; None if the page does not change.
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
        """Its new page; None if it has none."""
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
        pages_alone: Whether neither the JSON API of an index nor the servers of files are asked.
            Details are then learned for the files that a resolver chooses.
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
        # This number changes when the rules for pages do. Then every page is judged again.
        self._settings = f"3 min_age={rules.min_age}" + (" pages alone" if pages_alone else "")
        self._pages_alone = pages_alone
        self._memory = Memory(repository.ledger.connection)
        self._reader = Reader(sources, apis, self.files)

    def projects(self) -> Iterator[NormalizedName]:
        """The projects that came from an index, sorted by name. A sync keeps them up to date.

        Projects whose files are all the repository's own are not among them: a stranger could have
        registered their names at an index. Neither are projects that were removed here. Projects
        without signed files are, for example those in quarantine: they may come back.
        """
        for project, offered in self._memory.each_known():
            if offered and not self._repository.ledger.is_withdrawn(project):
                yield project  # ``question`` finds out whether all its files are our own by now
                continue
            page = self._repository.page(project)
            if page is not None and page.files and not _is_wholly_own(page):
                yield project

    def unchanged_by_serial(self) -> Callable[[NormalizedName], bool]:
        """A function that tells whether a project is unchanged, by the serial number of its index.

        It costs one request for all projects. It is of use only if there is one index and no other
        source, the index counts changes, and the current page was signed at that serial number.
        """
        (first, *others) = self.sources
        serials = first.serials() if isinstance(first, HttpIndex) and not others else {}

        def is_unchanged(project: NormalizedName) -> bool:
            now = serials.get(project, 0)
            state = self._memory.state(project) if now else None
            return (
                state is not None
                and [reading.source for reading in state.readings] == [first.location]
                # A higher number that was remembered may have been a lie of the index. It would
                # hide all changes until the index gets there, so only the same number counts.
                and state.readings[0].serial == now
                and self._may_be_unchanged(project, state, self._digest(project))
            )

        return is_unchanged

    def change_upstream(self, *, named: bool) -> str:
        """Remember the indexes of this sync.

        Args:
            named: Whether an operator named them; if not, they are those of pip's configuration.

        Returns:
            A sentence that says how they have changed since the last sync; "" if they have not.
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
        """Prepare the question about a project.

        Args:
            project: The project.
            wanted: Chooses the files that servers are asked about, if the index says too little.
            anew: Whether to judge the project again even if no source has changed.

        Returns:
            The question; or the decision, if the sources need not be asked.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        current = self._repository.signed_page(project)
        facts = self._memory.facts(project, self._now)
        if self._repository.roles().claim(project) is not None:
            return _left_alone(project, Standing.CLAIMED, current, facts)
        state, digest = self._memory.state(project), current.sha256 if current else ""
        may_be_unchanged = not anew and self._may_be_unchanged(project, state, digest)
        # A page that may be unchanged is not loaded: an index offered some of its files.
        page = current.load() if current and not may_be_unchanged else None
        # A page without files came from an index if there is a state of it.
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
        """Ask the sources. Called from any thread; an error is part of the answer."""
        return self._reader.read(question)

    def readers(self) -> Readers | None:
        """Processes that do the same as ``read``. The caller has to close them.

        None if a source can only be read in this process.
        """
        if not all(isinstance(source, HttpIndex) for source in self.sources):
            return None
        return Readers(self._reader, self.files.transport)

    def judge(self, question: Question, offered: Offered) -> Judged:
        """Decide about a project, and remember what was learned and what was refused.

        Raises:
            RepositoryStateError: What is on disk is not what was signed, or the memory fails.
        """
        project = question.project
        signed = question.current
        if self._digest(project) != question.digest:
            # Another process has signed since the question, and nothing that it signed may be lost.
            signed = self._repository.signed_page(project)
        current = signed.load() if signed else None
        try:
            return self._judge(question, offered, current)
        except (RepositoryStateError, OSError, sqlite3.Error):
            raise
        except Exception as error:
            # One project's page must not stop the other projects, whatever an index puts there.
            defect = SecurepipError(f"what is offered cannot be signed: {error!r:.200}")
            return _unreadable(question, current, defect)

    def correct_metadata(self, judged: Judged, file: PageFile) -> Judged:
        """``judged`` without the ``.metadata`` of ``file``, which is not what the wheel holds.

        A signed digest of the wrong metadata would stop every install of the wheel.
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
        """Remember what was learned about the project's files."""
        self._memory.keep_facts(judged.project, learned, self._now)
        return replace(judged, facts=judged.facts.plus(learned))

    def written(self, project: NormalizedName, page: ProjectPage | None) -> Judged:
        """The decision for a project whose page was written before, for a second look at it."""
        facts = self._memory.facts(project, self._now)
        return Judged(project, Standing.UNCHANGED, page, Settled(page), facts)

    def judge_anew(self, project: NormalizedName, later: Later) -> None:
        """Have a project judged again by the next question, even if no source has changed."""
        later.flush()
        self._memory.forget_state(project)

    def publish(self, judged: Iterable[Judged]) -> tuple[str, ...]:
        """Make the pages current in one snapshot, and remember what they were made from.

        Returns:
            The names of the roles that were signed.

        Raises:
            RepositoryStateError: A key is not here, or what is on disk is not what was signed.
                Nothing has changed.
        """
        with self._repository.lock():
            batch = self._repository.batch()
            for each in judged:
                self.stage(batch, each)
            return self._repository.commit(batch)

    def stage(self, batch: Batch, judged: Judged) -> None:
        """Write the page of one project, for ``batch`` to make it current.

        If the run is killed before the batch is committed, the next one reads the project again.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        # A page that was published on demand lacks the targets of most of its files.
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
            return _unreadable(question, current, offered.error)
        if offered.unchanged:
            settled = Settled(current)
            return Judged(project, Standing.UNCHANGED, current, settled, facts, offered)
        self._memory.keep_facts(project, offered.learned, self._now)
        facts = facts.plus(offered.learned)
        settled = settle(offered, current, self._repository.ledger, self._rules)
        written: bytes | None = None
        if settled.page is not None and settled.page != current:
            written, page = _as_clients_read_it(settled.page, project)
            settled = replace(settled, page=page)
        for file in settled.refused:
            self._repository.ledger.refuse(project, file.filename, file.sha256)
        if offered.page is None:
            return Judged(project, Standing.UNKNOWN, current, settled, facts, offered)
        quarantined = offered.page.status == "quarantined"
        standing = Standing.QUARANTINED if quarantined else Standing.OFFERED
        remarks = offered.page.remarks
        return Judged(project, standing, current, settled, facts, offered, remarks, written)

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
        """Remember what the page was made from, if nothing about it is left to do.

        Args:
            judged: The project, whose page is current or about to become current.
            digest: The sha256 of that page, "" for none; by default that of the current page. If
                the page is never published, the digests differ, and the project is read again.
            later: Holds the rows until the page is published; None writes them now.
        """
        self._keep_name(judged, later)
        offered, settled = judged.offered, judged.settled
        if offered is None or judged.standing not in (Standing.OFFERED, Standing.UNKNOWN):
            return
        # A project without a page has to be reported again the next time.
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
        """The sha256 of the project's signed page; "" if it has none."""
        return self._repository.known().page(project) or ""


def _is_wholly_own(page: ProjectPage) -> bool:
    """Whether the repository itself holds all files of ``page``."""
    return len(own_files(page)) == len(page.files)


def _left_alone(
    project: NormalizedName, standing: Standing, signed: SignedPage | None, facts: Facts
) -> Judged:
    """The decision for a project that no source is asked about: its page stays as it is."""
    current = signed.load() if signed else None
    return Judged(project, standing, current, Settled(current), facts)


def _as_clients_read_it(page: ProjectPage, project: NormalizedName) -> tuple[bytes, ProjectPage]:
    """The bytes of a page, and the page that clients parse from them.

    Raises:
        FormatError: Clients cannot parse them, so they are not signed.
    """
    written = page.to_json()
    return written, parse_page(written, project)


def _unreadable(question: Question, current: ProjectPage | None, error: SecurepipError) -> Judged:
    """The decision for a project whose answer cannot be used: its page stays as it is."""
    project = question.project
    settled = Settled(current, problems=(Problem(project, error.what),))
    offered = Offered(project, error=error)
    return Judged(project, Standing.UNREADABLE, current, settled, question.facts, offered)


def _nobody(files: Sequence[UpstreamFile]) -> Sequence[UpstreamFile]:
    """A ``Wanted`` that asks about no file."""
    return ()
