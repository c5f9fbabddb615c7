"""The first stage of an overlay: reads what the sources offer for one project.

It runs in many threads at once, one project in each. Rule: an error is part of the answer, and
concerns this project alone. Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from packaging.utils import NormalizedName

from securepip.errors import SecurepipError
from securepip.formats.digests import Sha256
from securepip.formats.distribution import Kind
from securepip.formats.page import PageFile
from securepip.signing.overlay.details import learn_details, newest_first, no_length
from securepip.signing.overlay.memory import Facts, PageState
from securepip.signing.overlay.upstream.files import UpstreamFiles
from securepip.signing.overlay.upstream.interface import ABSENT, Reading, Source
from securepip.signing.overlay.upstream.page import LeftOut, UpstreamFile, UpstreamPage
from securepip.signing.overlay.upstream.project_json import ProjectJson, fill
from securepip.signing.overlay.upstream.union import unite
from securepip.signing.repository.pages.contents import SignedPage
from securepip.transport import is_local

Wanted = Callable[[Sequence[UpstreamFile]], Sequence[UpstreamFile]]
"""Chooses the files whose length and ``.metadata`` may cost requests, the most important first."""


@dataclass(frozen=True)
class Question:
    """A project to ask the sources about, and what is known of it already.

    Attributes:
        project: The project.
        current: Its signed page; None if it has none.
        digest: The sha256 of that page; "" if it has none.
        state: What that page was made from, if that is known.
        facts: What is known of its files.
        may_be_unchanged: Whether the page can stay as it is if no source has changed.
        need_upload_times: Whether a file without an upload time cannot be signed.
        wanted: Chooses the files that servers are asked about if the index does not say everything.
        details_later: Whether the page may have files of unknown length, and files whose sha256 the
            index does not give.
    """

    project: NormalizedName
    current: SignedPage | None
    digest: str
    state: PageState | None
    facts: Facts
    may_be_unchanged: bool
    need_upload_times: bool
    wanted: Wanted = newest_first
    details_later: bool = False


@dataclass(frozen=True)
class Offered:
    """The answer to a ``Question``.

    Attributes:
        project: The project.
        readings: What each source answered (without ``load``, which holds the whole answer).
        page: What the sources offer together; None if none of them knows the project.
        unchanged: Whether no source has changed since the signed page was made from them.
        files: The files that can be on the signed page.
        left_out: The other files, and why they cannot.
        learned: What was learned about files, for the memory.
        error: Why there is no answer; None if there is one.
    """

    project: NormalizedName
    readings: tuple[Reading, ...] = ()
    page: UpstreamPage | None = None
    unchanged: bool = False
    files: tuple[PageFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    learned: Facts = field(default_factory=Facts)
    error: SecurepipError | None = None


class Reader:
    """Asks the sources about projects. Safe to share by threads.

    Args:
        sources: In pip's order.
        apis: The JSON API of each source that may have one, by the source's location.
        files: Asks the servers of the files.
    """

    def __init__(
        self, sources: Sequence[Source], apis: Mapping[str, ProjectJson], files: UpstreamFiles
    ) -> None:
        self._sources = sources
        self._apis = apis
        self._files = files

    def read(self, question: Question) -> Offered:
        """Ask the sources. An error is part of the answer."""
        try:
            return self._read(question)
        except SecurepipError as error:
            return Offered(question.project, error=error)
        except Exception as error:
            # Whatever an index says of one project must not stop the others.
            defect = SecurepipError(f"what is offered cannot be read: {error!r:.200}")
            return Offered(question.project, error=defect)

    def _read(self, question: Question) -> Offered:
        project, state = question.project, question.state
        known = {reading.source: reading for reading in state.readings} if state else {}
        readings = tuple(s.read(project, known.get(s.location)) for s in self._sources)
        # The answers themselves are dropped: those of a hostile index could fill the memory.
        kept = tuple(
            Reading(r.source, r.fingerprint, r.validator, serial=r.serial) for r in readings
        )
        if question.may_be_unchanged and state and _same(readings, state.readings):
            return Offered(project, kept, unchanged=True)
        page = unite(project, readings)
        if page is None or page.status == "quarantined":
            return Offered(project, kept, page)
        files = [_recall(file, question) for file in page.files]
        files = self._ask_apis(files, question, readings)
        learned = learn_details(files, question.wanted(files), question.facts, self._files)
        files = [_fall_back(file, question, learned.facts) for file in learned.files]
        left_out = (*page.left_out, *learned.left_out)
        if question.details_later:
            files = [*files, *page.without_sha256]
            taken = {file.filename for file in page.without_sha256}
            left_out = tuple(each for each in left_out if each.filename not in taken)
        else:
            left_out = (*left_out, *no_length(files))
            files = [file for file in files if file.size is not None]
        return Offered(
            project,
            kept,
            replace(page, remarks=(*page.remarks, *learned.remarks)),
            files=tuple(map(page_file, files)),
            left_out=left_out,
            learned=learned.facts,
        )

    def _ask_apis(
        self, files: list[UpstreamFile], question: Question, readings: Sequence[Reading]
    ) -> list[UpstreamFile]:
        """Fill in what the pages leave open from the JSON API of the indexes that have one."""
        for reading in readings:
            api = self._apis.get(reading.source)
            if api is None or reading.fingerprint == ABSENT or not _is_open(files, question):
                continue
            details = api.read(question.project)
            files = [fill(file, details) for file in files]
        return files


def _same(now: Sequence[Reading], before: Sequence[Reading]) -> bool:
    return [(r.source, r.fingerprint) for r in now] == [(r.source, r.fingerprint) for r in before]


def _recall(file: UpstreamFile, question: Question) -> UpstreamFile:
    """``file`` with what is remembered of the same bytes, so that no server is asked again."""
    if _is_whole(file) and not (question.facts.metadata or question.facts.old_metadata):
        return file
    facts, before = question.facts, _before(file, question)
    known = facts.metadata.get(file.sha256, facts.old_metadata.get(file.sha256, ""))
    if file.core_metadata is not None and known is None:
        # The page promises a file that is not there, or that is not what the wheel holds.
        return file._replace(core_metadata=None, has_metadata=False)
    size = facts.sizes.get(file.sha256) if file.size is None else file.size
    upload_time = file.upload_time or (before.upload_time if before else None)
    metadata = facts.metadata.get(file.sha256, file.core_metadata)
    return _with(file, size, metadata, upload_time)


def _fall_back(file: UpstreamFile, question: Question, learned: Facts) -> UpstreamFile:
    """``file`` with what was learned about it long ago, if no server has answered now."""
    if _is_whole(file):
        return file
    facts, before = question.facts, _before(file, question)
    size, metadata, sha256 = file.size, file.core_metadata, file.sha256
    if size is None:
        size = facts.old_sizes.get(sha256, before.size if before else None)
    asked = sha256 in learned.metadata or sha256 in facts.metadata
    if metadata is None and file.has_metadata is not False and not asked:
        metadata = facts.old_metadata.get(sha256, before.core_metadata if before else None)
    return _with(file, size, metadata, file.upload_time)


def _with(
    file: UpstreamFile, size: int | None, metadata: Sha256 | None, upload_time: datetime | None
) -> UpstreamFile:
    """``file`` with these values; nearly always they are its own, and it is returned as it is."""
    if (file.size, file.core_metadata, file.upload_time) == (size, metadata, upload_time):
        return file
    return file._replace(size=size, core_metadata=metadata, upload_time=upload_time)


def _is_whole(file: UpstreamFile) -> bool:
    """Whether the index says everything about ``file``, as it nearly always does."""
    return not (file.size is None or file.upload_time is None or file.core_metadata is None)


def _before(file: UpstreamFile, question: Question) -> PageFile | None:
    """The entry of the signed page for the same file name and bytes; None if there is none."""
    before = question.current.load().file(file.filename) if question.current else None
    return before if before is not None and before.sha256 == file.sha256 else None


def _is_open(files: Sequence[UpstreamFile], question: Question) -> bool:
    """Whether something is missing that the JSON API might know."""
    if any(file.size is None for file in files):
        return True
    if question.need_upload_times and any(file.upload_time is None for file in files):
        return True
    wheels = [f for f in files if f.name.kind is Kind.WHEEL and not is_local(f.url)]
    return any(
        file.has_metadata is None
        and file.core_metadata is None
        and file.sha256 not in question.facts.metadata
        for file in wheels
    ) and all(file.has_metadata is None for file in wheels)


def page_file(file: UpstreamFile) -> PageFile:
    """The entry of ``file`` on a signed page."""
    return PageFile(
        file.filename,
        file.url,
        file.sha256,
        file.size,
        file.requires_python,
        file.upload_time,
        file.yanked,
        file.core_metadata,
        file.other_hash,
    )
