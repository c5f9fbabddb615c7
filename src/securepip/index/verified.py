"""The verified index: pages, core metadata and distributions, each checked against what was signed.

The chain, in the order in which it is walked: the session looks up the signed target of the
project's page; the page's bytes must have its length and digest. A ``.metadata`` file must have
the digest that the page signs (PEP 714). A distribution has a target of its own, under a path
built from the project's name and the file's name; length and digest must be those of the page
*and* of that target, so that a page of one project can never hand out what was signed for another.

Which repository answers (TAP 4): the first, in the order of the trust configuration, that knows
the project; and only that one. Where the configuration asks several to agree, a file counts when
so many of them have signed the same length and digest. One that does not answer is an error, never
passed over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace

from packaging.utils import NormalizedName
from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from securepip.errors import (
    FormatError,
    SecurepipError,
    TooLargeError,
    TransportError,
    UntrustedError,
    VerificationError,
)
from securepip.formats.core_metadata import MAX_METADATA_BYTES, read_core_metadata
from securepip.formats.digests import Sha256, parse_sha256, sha256_of
from securepip.formats.distribution import parse_distribution
from securepip.formats.layout import (
    METADATA_SUFFIX,
    SIMPLE_DIR,
    consistent_path,
    file_target,
    page_target,
)
from securepip.formats.page import MAX_PAGE_BYTES, PageFile, ProjectPage, parse_page
from securepip.index.store import Store
from securepip.index.types import _SEAL, VerifiedFile
from securepip.transport import Transport, join_url, redact
from securepip.transport.urls import without_credentials
from securepip.trust import Trust, TrustedRepository
from securepip.updater import Session

_MAX_EARLY = 64
"""The most metadata files that are fetched before anybody asks for them, per hint."""

Progress = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """Show nothing."""


@dataclass
class _Meter:
    """Adds up what several threads receive."""

    progress: Progress
    total: int
    done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, received: int) -> None:
        with self._lock:
            self.done += received
            self.progress(self.done, self.total)


@dataclass(frozen=True)
class _Located:
    """A project's page and who signed it.

    Attributes:
        repository: Whose page it is.
        page: Its files; where several must agree, those on which they do.
        url: The page's folder, which relative URLs start from.
        witnesses: The other repositories that may have signed the same files.
        threshold: How many repositories must have signed a file.
    """

    repository: TrustedRepository
    page: ProjectPage
    url: str
    witnesses: tuple[TrustedRepository, ...] = ()
    threshold: int = 1


class VerifiedIndex:
    """Implements ``securepip.index.Index`` over the repositories that this machine believes.

    Args:
        trust: Who is believed, for what.
        transport: Fetches everything.
        store: Keeps what was verified.
    """

    def __init__(
        self,
        trust: Trust,
        transport: Transport,
        store: Store,
    ) -> None:
        self._trust = trust
        self._transport = transport
        self._store = store
        self._sessions: dict[str, Session] = {}
        self._pages: dict[NormalizedName, _Located | None] = {}
        self._early: dict[Sha256, Future[tuple[Sha256, bytes]]] = {}

    def prefetch_pages(self, projects: Iterable[NormalizedName]) -> None:
        """As ``Index.prefetch_pages``. Waits for the bins that list the pages, not for these."""
        wanted: dict[str, list[NormalizedName]] = {}
        for project in projects:
            first = next(self._trust.assigned(project), None)
            if project not in self._pages and first is not None:
                wanted.setdefault(first.repositories[0], []).append(project)
        with suppress(SecurepipError):
            for name, names in wanted.items():
                repository = self._trust.named(name)
                session = self._session(repository)
                session.prefetch(page_target(project) for project in names)
                for project in names:
                    target = session.target(page_target(project))
                    if target is not None:
                        self._begin(_page_url(repository, target), *_expected(target))

    def page(self, project: NormalizedName) -> ProjectPage | None:
        """As ``Index.page``."""
        located = self._located(project)
        return None if located is None else located.page

    def prefetch_metadata(self, project: NormalizedName, files: Sequence[PageFile]) -> None:
        """As ``Index.prefetch_metadata``; also begins to fetch the bins that list the files."""
        with suppress(SecurepipError):
            located = self._located(project)
            if located is None:
                return
            for file in files[:_MAX_EARLY]:
                if file.core_metadata is not None:
                    url = join_url(located.url, file.url) + METADATA_SUFFIX
                    self._begin(url, MAX_METADATA_BYTES, file.core_metadata)
            self._session(located.repository).prefetch(
                [file_target(project, file.filename) for file in files[:1]], wait=False
            )

    def core_metadata(self, project: NormalizedName, file: PageFile) -> bytes:
        """As ``Index.core_metadata``."""
        if file.core_metadata is None:
            return self._metadata_inside(project, file)
        url = join_url(self._required(project).url, file.url) + METADATA_SUFFIX
        try:
            return self._verified_bytes(
                url, MAX_METADATA_BYTES, file.core_metadata, f"the metadata of {file.filename}"
            )
        except TransportError:
            # Not every mirror carries these files. The distribution does not lie about itself:
            # its metadata must still be the one that was signed.
            data = self._metadata_inside(project, file)
            if sha256_of(data) != file.core_metadata:
                raise VerificationError(
                    f"{file.filename} holds other metadata than what was signed for it",
                    meaning="Its signed page and its signed contents do not agree.",
                    remedy="Nothing was installed. Tell the people who run the repository.",
                ) from None
            return data

    def fetch(
        self, wanted: Sequence[tuple[NormalizedName, PageFile]], progress: Progress = _silent
    ) -> list[VerifiedFile]:
        """As ``Index.fetch``.

        Args:
            wanted: Projects and files of their verified pages.
            progress: Called with the bytes received and the bytes expected, from several threads.
        """
        by_session: dict[str, list[str]] = {}
        for project, file in wanted:
            located = self._required(project)
            for repository in (located.repository, *located.witnesses):
                path = file_target(project, file.filename)
                by_session.setdefault(repository.name, []).append(path)
        for name, paths in by_session.items():
            self._session(self._trust.named(name)).prefetch(paths)
        meter = _Meter(progress, sum(file.size for _, file in wanted))
        jobs = [(project, file, self._file_target(project, file)) for project, file in wanted]
        return list(self._transport.map(lambda job: self._fetch_one(*job, meter), jobs))

    def signed_by(self, project: NormalizedName, file: PageFile) -> tuple[str, str]:
        """The name of the repository that signed a file of the project's page, and its URL.

        The URL is without credentials.
        """
        located = self._required(project)
        return located.repository.name, without_credentials(join_url(located.url, file.url))

    def origin(self, project: NormalizedName) -> str:
        """As ``Index.origin``."""
        located = self._pages.get(project)
        first = next(self._trust.assigned(project), None)
        if located is not None:
            repository = located.repository
        elif first is not None:
            repository = self._trust.named(first.repositories[0])
        else:
            return "no trusted repository"
        return f"{repository.name} ({redact(repository.location)})"

    def _session(self, repository: TrustedRepository) -> Session:
        if repository.name not in self._sessions:
            self._sessions[repository.name] = Session(
                repository.name,
                repository.metadata_url,
                repository.state,
                self._transport,
                repository.root,
            )
        return self._sessions[repository.name]

    def _located(self, project: NormalizedName) -> _Located | None:
        if project not in self._pages:
            self._pages[project] = self._find(project)
        return self._pages[project]

    def _required(self, project: NormalizedName) -> _Located:
        located = self._located(project)
        if located is None:
            raise UntrustedError(f"no trusted repository knows the project {project}")
        return located

    def _find(self, project: NormalizedName) -> _Located | None:
        if not self._trust.repositories:
            raise untrusted()
        for assignment in self._trust.assigned(project):
            found: list[_Located] = []
            for name in assignment.repositories:
                located = self._page_of(self._trust.named(name), project)
                if located is not None and assignment.threshold == 1:
                    return located
                if located is not None:
                    found.append(located)
            if len(found) >= assignment.threshold:
                return _agreed(found, assignment.threshold)
        return None

    def _page_of(self, repository: TrustedRepository, project: NormalizedName) -> _Located | None:
        """The verified page that one repository signs for the project, if it knows it."""
        target = self._session(repository).target(page_target(project))
        if target is None:
            return None
        length, sha256 = _expected(target)
        if length > MAX_PAGE_BYTES:
            raise VerificationError(f"the signed page of {project} has {length} bytes")
        url = _page_url(repository, target)
        data = self._verified_bytes(url, length, sha256, f"the page of {project}")
        try:
            page = parse_page(data, project)
        except FormatError as error:
            raise VerificationError(
                f"the page of {project}, from {redact(url)}, cannot be read, although the "
                f"repository {repository.name!r} has signed it: {error.what}",
                remedy="Nothing was installed. Tell the people who run the repository.",
            ) from None
        return _Located(repository, page, f"{repository.location}{SIMPLE_DIR}/{project}/")

    def _begin(self, url: str, max_bytes: int, sha256: Sha256) -> None:
        """Begin to fetch bytes of that digest, unless they are here or on their way."""
        if sha256 not in self._early and not self._store.path(sha256).exists():
            self._early[sha256] = self._transport.submit(
                lambda u: self._get(u, max_bytes, sha256), url
            )

    def _get(self, url: str, max_bytes: int, sha256: Sha256) -> tuple[Sha256, bytes]:
        """The digest of what is at ``url``, and the bytes, unless they are others than wanted.

        What a server sends instead is not kept until somebody asks for it: it adds up.
        """
        data = self._transport.get(url, max_bytes=max_bytes).body
        found = sha256_of(data)
        return found, data if found == sha256 else b""

    def _verified_bytes(self, url: str, max_bytes: int, sha256: Sha256, what: str) -> bytes:
        """The bytes of that digest: from the store, fetched early, or from ``url`` now."""
        kept = self._store.read(sha256, max_bytes)
        if kept is not None:
            return kept
        early = self._early.pop(sha256, None)
        try:
            found, data = early.result() if early else self._get(url, max_bytes, sha256)
        except TooLargeError:
            raise _altered(what, url, f"more than the signed {max_bytes} bytes") from None
        if found != sha256:
            raise _altered(what, url, f"sha256 {found}, signed was {sha256}")
        self._store.add(sha256, data)
        return data

    def _metadata_inside(self, project: NormalizedName, file: PageFile) -> bytes:
        (verified,) = self.fetch([(project, file)])
        return read_core_metadata(verified.path, verified.filename)

    def _file_target(self, project: NormalizedName, file: PageFile) -> TargetFile:
        """The signed target of one file of a page, which must say what the page says."""
        located = self._required(project)
        repository = located.repository
        path = file_target(project, file.filename)
        target = self._session(repository).target(path)
        if target is None:
            raise VerificationError(
                f"the page of {project} offers {file.filename}, but the repository "
                f"{repository.name!r} has signed no such file for {project}",
                meaning="The file belongs to another project, or was withdrawn.",
                remedy="Nothing was installed. Tell the people who run the repository.",
            )
        if _expected(target) != (file.size, file.sha256):
            raise VerificationError(
                f"the page of {project} and the signed target {path} do not agree about "
                f"{file.filename}: {file.size} bytes, sha256 {file.sha256}, and "
                f"{target.length} bytes, sha256 {target.hashes.get('sha256')}",
                remedy="Nothing was installed. Tell the people who run the repository.",
            )
        others = (self._session(witness).target(path) for witness in located.witnesses)
        agreeing = 1 + sum(
            other is not None and _expected(other) == _expected(target) for other in others
        )
        if agreeing < located.threshold:
            raise VerificationError(
                f"{file.filename} was signed by {agreeing} of the {located.threshold} repositories "
                f"that must agree about {project}",
                meaning="One of them, or its signing keys, may be in the wrong hands.",
                remedy="Nothing was installed. Tell the people who run the repositories.",
            )
        return target

    def _fetch_one(
        self, project: NormalizedName, file: PageFile, target: TargetFile, meter: _Meter
    ) -> VerifiedFile:
        located = self._required(project)
        url = join_url(located.url, file.url)
        name = parse_distribution(file.filename, project)
        if name is None:
            raise VerificationError(f"{file.filename} is not a distribution of {project}")
        if self._store.holds(file.sha256, file.size):
            meter.add(file.size)
        else:
            self._download(url, file, target, meter)
        return VerifiedFile(
            project=project,
            version=name.version,
            filename=file.filename,
            path=self._store.path(file.sha256),
            sha256=file.sha256,
            size=file.size,
            repository=located.repository.name,
            url=redact(url),
            seal=_SEAL,
        )

    def _download(self, url: str, file: PageFile, target: TargetFile, meter: _Meter) -> None:
        with self._store.incoming() as incoming:
            try:
                self._transport.download(
                    url, incoming.stream, max_bytes=target.length, progress=meter.add
                )
                incoming.stream.seek(0)
                target.verify_length_and_hashes(incoming.stream)
            except (TooLargeError, LengthOrHashMismatchError) as error:
                raise _altered(file.filename, url, str(error)) from None
            incoming.keep(file.sha256)


def untrusted() -> UntrustedError:
    """What is said while this machine believes nobody."""
    return UntrustedError(
        "this machine trusts no package repository yet, so nothing can be verified",
        meaning="Tell securepip once whose signatures to believe. The people who run the "
        "repository publish its address and the fingerprint of its root:",
        remedy="  securepip trust add NAME https://packages.example.org/ --root-sha256 FINGERPRINT",
    )


def _agreed(found: Sequence[_Located], threshold: int) -> _Located:
    """The first page, with the files that enough of the pages name with the same bytes."""
    first, *others = found

    def votes(file: PageFile) -> int:
        same = (other.page.file(file.filename) for other in others)
        return 1 + sum(
            each is not None and (each.sha256, each.size) == (file.sha256, file.size)
            for each in same
        )

    kept = tuple(file for file in first.page.files if votes(file) >= threshold)
    witnesses = tuple(other.repository for other in others)
    page = replace(first.page, files=kept)
    return _Located(first.repository, page, first.url, witnesses, threshold)


def _page_url(repository: TrustedRepository, target: TargetFile) -> str:
    _, sha256 = _expected(target)
    return repository.location + consistent_path(target.path, sha256)


def _expected(target: TargetFile) -> tuple[int, Sha256]:
    """Length and sha256 of a signed target.

    Raises:
        VerificationError: It was signed without a sha256.
    """
    try:
        return target.length, parse_sha256(target.hashes.get("sha256"))
    except FormatError:
        raise VerificationError(f"{target.path} was signed without a sha256") from None


def _altered(what: str, url: str, found: str) -> VerificationError:
    return VerificationError(
        f"{what}, from {redact(url)}, is not what was signed: {found}",
        meaning="The file was changed or broken on its way, or the server it comes from serves "
        "another file than the one that the repository signed.",
        remedy="Nothing was installed. Try again from another network; if it stays, tell the "
        "people who run the repository.",
    )
