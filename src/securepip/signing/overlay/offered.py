"""What the sources offer for one project, made complete: every file with its length.

Runs in many threads at once, one project each. Rule: no project, however many files it has or
however little its index tells, costs more than ``MAX_HEADS`` + ``MAX_TRIES`` small requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.utils import NormalizedName

from securepip.errors import SecurepipError, TransportError
from securepip.formats.core_metadata import MAX_METADATA_BYTES
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.distribution import Kind
from securepip.formats.layout import METADATA_SUFFIX
from securepip.formats.page import PageFile, ProjectPage
from securepip.signing.overlay.memory import Facts, PageState
from securepip.signing.overlay.upstream.credentials import Credentials
from securepip.signing.overlay.upstream.interface import ABSENT, Reading, Source
from securepip.signing.overlay.upstream.page import (
    MAX_FILE_BYTES,
    LeftOut,
    Reason,
    UpstreamFile,
    UpstreamPage,
)
from securepip.signing.overlay.upstream.project_json import ProjectJson, fill
from securepip.signing.overlay.upstream.union import unite
from securepip.transport import Transport, is_local
from securepip.transport.session import PARALLEL

MAX_HEADS = 320
"""HEAD requests for the lengths of one project's files in one sync; newest releases first."""

MAX_TRIES = 64
"""Requests for ``.metadata`` files of which nobody says whether they exist, a project and sync."""

_GIVE_UP_AFTER = 3


@dataclass(frozen=True)
class Question:
    """What is to be found out about a project, and what is known already.

    Attributes:
        project: The project.
        current: Its signed page.
        state: What that page was made from.
        facts: What is known of its files.
        settings: The options that decide what a page holds.
        may_be_unchanged: Whether an unchanged source needs no second look.
        need_upload_times: Whether a file without an upload time is of no use.
    """

    project: NormalizedName
    current: ProjectPage | None
    state: PageState | None
    facts: Facts
    settings: str
    may_be_unchanged: bool
    need_upload_times: bool


@dataclass(frozen=True)
class Offered:
    """The answer.

    Attributes:
        project: The project.
        readings: What each source answered (without ``load``, which holds the whole answer).
        page: What they offer together; None when none knows the project.
        unchanged: No source has changed since the signed page was made from them.
        files: The files that are complete.
        left_out: Those that are not, and those that never could be.
        learned: What is new for the memory.
        error: Why there is no answer.
    """

    project: NormalizedName
    readings: tuple[Reading, ...] = ()
    page: UpstreamPage | None = None
    unchanged: bool = False
    files: tuple[PageFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    learned: Facts | None = None
    error: SecurepipError | None = None


class Reader:
    """Asks the sources.

    Args:
        sources: In order.
        apis: The JSON API of each source that may have one, by the source's location.
        credentials: For what is fetched from the sources' own hosts.
        transport: Fetches.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        apis: Mapping[str, ProjectJson],
        credentials: Credentials,
        transport: Transport,
    ) -> None:
        self.sources = sources
        self._apis = apis
        self._credentials = credentials
        self._transport = transport

    def read(self, question: Question) -> Offered:
        """What is offered. An error is part of the answer: it concerns this project alone."""
        try:
            return self._read(question)
        except SecurepipError as error:
            return Offered(question.project, error=error)
        except Exception as error:
            # Whatever an index says of one project must not stop the others.
            defect = SecurepipError(f"what is offered cannot be read: {error!r:.200}")
            return Offered(question.project, error=defect)

    def metadata(self, url: str) -> bytes:
        """The ``.metadata`` file beside the distribution at ``url``.

        Raises:
            TransportError: There is none, or it did not come.
        """
        path, question_mark, query = url.partition("?")
        beside = f"{path}{METADATA_SUFFIX}{question_mark}{query}"
        return self._transport.get(self._credentials.add(beside), max_bytes=MAX_METADATA_BYTES).body

    def fetch_url(self, url: str) -> str:
        """``url`` with the credentials that fetching it needs. Not to be shown."""
        return self._credentials.add(url)

    def _read(self, question: Question) -> Offered:
        project, state = question.project, question.state
        known = {reading.source: reading for reading in state.readings} if state else {}
        readings = tuple(s.read(project, known.get(s.location)) for s in self.sources)
        # Without the answers themselves: a hostile index could make them hundreds of gigabytes.
        kept = tuple(Reading(r.source, r.fingerprint, r.validator) for r in readings)
        if question.may_be_unchanged and state and _same(readings, state.readings):
            return Offered(project, kept, unchanged=True)
        page = unite(project, readings)
        if page is None or page.status == "quarantined":
            return Offered(project, kept, page)
        learned = Facts()
        files = [_recall(file, question) for file in page.files]
        files = self._ask_for_details(files, question, readings)
        files = self._try_metadata(files, question.facts, learned)
        files = self._measure(files, learned)
        files = [_fall_back(file, question, learned) for file in files]
        complete = tuple(_page_file(f, f.size) for f in files if f.size is not None)
        unmeasured = (LeftOut(f.filename, Reason.NO_LENGTH) for f in files if f.size is None)
        return Offered(
            project,
            kept,
            page,
            files=complete,
            left_out=(*page.left_out, *unmeasured),
            learned=learned,
        )

    def _ask_for_details(
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

    def _try_metadata(
        self, files: list[UpstreamFile], facts: Facts, learned: Facts
    ) -> list[UpstreamFile]:
        """Look for ``.metadata`` files that nobody told of, newest releases first."""
        wanted = [
            file
            for file in _newest_first(files)
            if is_metadata_unknown(file) and file.sha256 not in facts.metadata
        ]
        # One of them told by the index: then it tells of all.
        if any(file.core_metadata and file.sha256 not in facts.metadata for file in files):
            wanted = [file for file in wanted if file.has_metadata]
        wanted = wanted[:MAX_TRIES]
        missed = 0
        for batch in _batches(wanted, first=_GIVE_UP_AFTER):
            for file, metadata in zip(
                batch, self._transport.map(self._digest_of_metadata, batch), strict=True
            ):
                if metadata is None and not any(learned.metadata.values()):
                    missed += 1
                if not isinstance(metadata, TransportError):
                    learned.metadata[file.sha256] = metadata
            if missed >= _GIVE_UP_AFTER:
                break
        return [
            replace(file, core_metadata=learned.metadata.get(file.sha256, file.core_metadata))
            for file in files
        ]

    def _digest_of_metadata(self, file: UpstreamFile) -> Sha256 | TransportError | None:
        """None when there is certainly none; an error when nobody can tell."""
        try:
            return sha256_of(self.metadata(file.url))
        except TransportError as error:
            return None if error.status in (403, 404, 410) else error

    def _measure(self, files: list[UpstreamFile], learned: Facts) -> list[UpstreamFile]:
        """Ask for the lengths that are still missing, newest releases first."""
        missing = [file for file in _newest_first(files) if file.size is None][:MAX_HEADS]
        refused = 0
        for batch in _batches(missing, first=_GIVE_UP_AFTER):
            for file, size in zip(batch, self._transport.map(self._head, batch), strict=True):
                if size is None:
                    refused += 1
                else:
                    learned.sizes[file.sha256] = size
            if refused >= _GIVE_UP_AFTER and not learned.sizes:
                break
        return [
            replace(file, size=learned.sizes.get(file.sha256)) if file.size is None else file
            for file in files
        ]

    def _head(self, file: UpstreamFile) -> int | None:
        try:
            headers = self._transport.head(self._credentials.add(file.url)).headers
        except TransportError:
            return None
        length = headers.get("Content-Length", "")
        if "Content-Encoding" in headers or not (length.isascii() and length.isdigit()):
            return None
        return int(length) if int(length[:20]) <= MAX_FILE_BYTES else None


def _same(now: Sequence[Reading], before: Sequence[Reading]) -> bool:
    return [(r.source, r.fingerprint) for r in now] == [(r.source, r.fingerprint) for r in before]


def is_metadata_unknown(file: UpstreamFile) -> bool:
    """Whether only trying can tell if ``file`` has a ``.metadata`` file, or which."""
    return (
        file.name.kind is Kind.WHEEL
        and not is_local(file.url)
        and file.core_metadata is None
        and file.has_metadata is not False
    )


def _recall(file: UpstreamFile, question: Question) -> UpstreamFile:
    """``file`` with what is remembered of the same bytes and need not be asked for again."""
    facts, before = question.facts, _before(file, question)
    known = facts.metadata.get(file.sha256, facts.old_metadata.get(file.sha256, ""))
    if file.core_metadata is not None and known is None:
        # The page promises a file that is not there, or that is not what the wheel holds.
        return replace(file, core_metadata=None, has_metadata=False)
    return replace(
        file,
        size=facts.sizes.get(file.sha256) if file.size is None else file.size,
        upload_time=file.upload_time or (before.upload_time if before else None),
        core_metadata=facts.metadata.get(file.sha256, file.core_metadata),
    )


def _fall_back(file: UpstreamFile, question: Question, learned: Facts) -> UpstreamFile:
    """``file`` with what was known of it long ago, where nobody has answered now."""
    facts, before = question.facts, _before(file, question)
    size, metadata, sha256 = file.size, file.core_metadata, file.sha256
    if size is None:
        size = facts.old_sizes.get(sha256, before.size if before else None)
    asked = sha256 in learned.metadata or sha256 in facts.metadata
    if metadata is None and file.has_metadata is not False and not asked:
        metadata = facts.old_metadata.get(sha256, before.core_metadata if before else None)
    return replace(file, size=size, core_metadata=metadata)


def _before(file: UpstreamFile, question: Question) -> PageFile | None:
    """The same bytes on the signed page."""
    before = question.current.file(file.filename) if question.current else None
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


def _newest_first(files: Sequence[UpstreamFile]) -> list[UpstreamFile]:
    return sorted(files, key=lambda file: file.name.version, reverse=True)


def _batches(files: Sequence[UpstreamFile], *, first: int) -> Iterator[Sequence[UpstreamFile]]:
    """A few to see whether it works at all, then as many as run at the same time."""
    at, size = 0, first
    while at < len(files):
        yield files[at : at + size]
        at, size = at + size, PARALLEL


def _page_file(file: UpstreamFile, size: int) -> PageFile:
    return PageFile(
        filename=file.filename,
        url=file.url,
        sha256=file.sha256,
        size=size,
        requires_python=file.requires_python,
        upload_time=file.upload_time,
        yanked=file.yanked,
        core_metadata=file.core_metadata,
    )
