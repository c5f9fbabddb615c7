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

Threads: what a session is asked (``signed_page``, ``signed_file``, ``prefetch_…``) is asked from
one thread. What was looked up is fetched (``read_page``, ``read_metadata``, ``fetch_signed``) from
any.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from packaging.utils import NormalizedName
from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from securepip.errors import (
    FormatError,
    SecurepipError,
    TooLargeError,
    TooSlowError,
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
from securepip.index.on_demand import Signers
from securepip.index.store import Incoming, Store
from securepip.index.types import _SEAL, VerifiedFile
from securepip.transport import Allowance, Early, Transport, join_url, redact
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
class SignedPage:
    """Which repositories speak for a project, and the targets that are its page.

    Attributes:
        project: The project.
        targets: Whose page it is and its target; where several must agree, those of the others.
        threshold: How many repositories must have signed a file.
    """

    project: NormalizedName
    targets: tuple[tuple[TrustedRepository, TargetFile], ...]
    threshold: int = 1


@dataclass(frozen=True)
class LocatedPage:
    """A project's verified page and who signed it.

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


@dataclass(frozen=True)
class SignedFile:
    """One file of a page, with its own signed target, which says what the page says.

    Attributes:
        project: The project.
        file: The file, as on the page.
        url: Where it is. May hold credentials.
        repository: Name of the repository that signed it.
        target: Its target.
    """

    project: NormalizedName
    file: PageFile
    url: str
    repository: str
    target: TargetFile


class VerifiedIndex:
    """Implements ``securepip.index.Index`` over the repositories that this machine believes.

    Args:
        trust: Who is believed, for what.
        transport: Fetches everything, within one allowance: a server that draws out one small
            file can draw out hundreds.
        store: Keeps what was verified.
        signers: Who signs what is about to be looked up, for repositories of this machine's own.
    """

    def __init__(
        self,
        trust: Trust,
        transport: Transport,
        store: Store,
        signers: Signers | None = None,
    ) -> None:
        self._signers = signers or {}
        self._states: dict[str, bytes] = {}
        self._announced: dict[tuple[NormalizedName, str], None] = {}
        self._trust = trust
        self._transport = transport.within(Allowance())
        self._store = store
        self._sessions: dict[str, Session] = {}
        self._pages: dict[NormalizedName, LocatedPage | None] = {}
        self._read: dict[NormalizedName, tuple[tuple[TrustedRepository, TargetFile], ...]] = {}
        self._early: dict[Sha256, Early] = {}

    def limited_to(self, names: Sequence[str]) -> VerifiedIndex:
        """The same sessions, with only these repositories, as ``Trust.limited_to``."""
        trust = self._trust.limited_to(names)
        limited = VerifiedIndex(trust, self._transport, self._store, self._signers)
        limited._sessions, limited._states = self._sessions, self._states
        limited._transport = self._transport
        return limited

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
                self._prepare_pages(name, names)
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
            if located.repository.name in self._signers:
                self._announced |= {(project, file.filename): None for file in files[:_MAX_EARLY]}
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
        ((_, file),) = self._chosen([(project, file)])
        if file.core_metadata is not None:
            try:
                return self.read_metadata(self._required(project), file)
            except TooSlowError:
                raise
            except TransportError:
                pass  # not every mirror carries these files
        (verified,) = self.fetch([(project, file)])
        return metadata_inside(verified, file)

    def fetch(
        self, wanted: Sequence[tuple[NormalizedName, PageFile]], progress: Progress = _silent
    ) -> list[VerifiedFile]:
        """As ``Index.fetch``.

        Args:
            wanted: Projects and files of their verified pages.
            progress: Called with the bytes received and the bytes expected, from several threads.
        """
        found = [(self._required(project), file) for project, file in self._chosen(wanted)]
        self.prefetch_files(found)
        signed = [self.signed_file(located, file) for located, file in found]
        meter = _Meter(progress, sum(one.target.length for one in signed))
        return list(self._transport.map(lambda one: self.fetch_signed(one, meter.add), signed))

    def signed_page(self, project: NormalizedName) -> SignedPage | None:
        """Who speaks for a project, and the target that is its page; None when nobody knows it.

        Raises:
            VerificationError, RepositoryUnavailableError, UntrustedError: As ``Index.page``.
        """
        if not self._trust.repositories:
            raise untrusted()
        for assignment in self._trust.assigned(project):
            found: list[tuple[TrustedRepository, TargetFile]] = []
            for name in assignment.repositories:
                repository = self._trust.named(name)
                self._prepare_pages(name, [project])
                if name in self._signers:
                    self._signers[name].check(project)
                target = self._session(repository).target(page_target(project))
                if target is not None:
                    found.append((repository, target))
                if len(found) == assignment.threshold == 1:
                    break
            if len(found) >= assignment.threshold:
                return SignedPage(project, tuple(found), assignment.threshold)
        return None

    def read_page(self, signed: SignedPage) -> LocatedPage:
        """The page that was looked up, its bytes verified. From any thread.

        Raises:
            VerificationError: What was served is not what was signed.
            TransportError: It could not be fetched.
        """
        found = [self._page_of(*one, signed.project) for one in signed.targets]
        return _agreed(found, signed.threshold)

    def prefetch_files(self, wanted: Iterable[tuple[LocatedPage, PageFile]]) -> None:
        """Begin to fetch the metadata that ``signed_file`` of these will need.

        Raises:
            VerificationError, RepositoryUnavailableError: As ``Index.page``.
        """
        by_session: dict[str, list[str]] = {}
        for located, file in wanted:
            for repository in (located.repository, *located.witnesses):
                path = file_target(located.page.project, file.filename)
                by_session.setdefault(repository.name, []).append(path)
        for name, paths in by_session.items():
            self._session(self._trust.named(name)).prefetch(paths)

    def fetch_signed(
        self, signed: SignedFile, progress: Callable[[int], None] = lambda received: None
    ) -> VerifiedFile:
        """The distribution that was looked up, its bytes verified. From any thread.

        Args:
            signed: What ``signed_file`` says of it.
            progress: Called with the number of bytes of each piece, as ``Transport.download`` does.

        Raises:
            VerificationError: What was served is not what was signed.
            TransportError: It could not be fetched.
        """
        file = signed.file
        name = parse_distribution(file.filename, signed.project)
        if name is None:
            raise VerificationError(f"{file.filename} is not a distribution of {signed.project}")
        size = signed.target.length
        if self._store.holds(file.sha256, size):
            progress(size)
        else:
            self._download(signed, progress)
        return VerifiedFile(
            project=signed.project,
            version=name.version,
            filename=file.filename,
            path=self._store.path(file.sha256),
            sha256=file.sha256,
            size=size,
            repository=signed.repository,
            url=redact(signed.url),
            seal=_SEAL,
        )

    def read_metadata(self, located: LocatedPage, file: PageFile) -> bytes:
        """The ``.metadata`` file of a file whose page signs a digest of it. From any thread.

        Raises:
            VerificationError: What was served is not what was signed.
            TransportError: It could not be fetched.
        """
        if file.core_metadata is None:
            raise FormatError(f"the page of {located.page.project} signs no metadata of its files")
        return self._verified_bytes(
            join_url(located.url, file.url) + METADATA_SUFFIX,
            MAX_METADATA_BYTES,
            file.core_metadata,
            f"the metadata of {file.filename}",
        )

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

    def session(self, name: str) -> Session:
        """The session with the trusted repository of that name, for who looks at its roles."""
        return self._session(self._trust.named(name))

    def _session(self, repository: TrustedRepository) -> Session:
        name = repository.name
        if name not in self._sessions:
            self._sessions[name] = Session(
                name,
                repository.metadata_url,
                repository.state,
                self._transport.called(f"{repository.name} ({redact(repository.location)})"),
                repository.root,
            )
        if name in self._signers:
            state = self._signers[name].state()
            if self._states.setdefault(name, state) != state:
                self._states[name] = state
                self._sessions[name].look_anew()
        return self._sessions[name]

    def _prepare_pages(self, name: str, projects: Sequence[NormalizedName]) -> None:
        """Have the pages signed that are about to be looked up, where this machine signs them."""
        if name in self._signers:
            self._signers[name].prepare_pages(projects)

    def _chosen(
        self, wanted: Sequence[tuple[NormalizedName, PageFile]]
    ) -> list[tuple[NormalizedName, PageFile]]:
        """The same files as their signed pages have them, when each has a target of its own.

        Where this machine signs, that is the moment in which targets are made: of these files, and
        of those that were announced. What was learned of them is on their pages then.

        Raises:
            VerificationError: A page has no such file any more, or with other bytes.
        """
        asked = [(project, file.filename) for project, file in wanted]
        by_signer: dict[str, list[tuple[NormalizedName, str]]] = {}
        for one in dict.fromkeys((*asked, *self._announced)) if self._signers else ():
            for name in self._signed_here(one[0]):
                by_signer.setdefault(name, []).append(one)
        if not by_signer:
            return list(wanted)
        self._announced.clear()
        for name, files in by_signer.items():
            self._signers[name].prepare_files(files)
        for project in {project for files in by_signer.values() for project, _ in files}:
            self._look_anew(project)
        return [(project, self._as_signed(project, file)) for project, file in wanted]

    def _signed_here(self, project: NormalizedName) -> list[str]:
        """The repositories that speak for a project and that this machine signs itself."""
        located = self._located(project)
        speakers = (located.repository, *located.witnesses) if located else ()
        return [each.name for each in speakers if each.name in self._signers]

    def _look_anew(self, project: NormalizedName) -> None:
        """Read the project's page again if another one is signed now."""
        signed = self.signed_page(project)
        if signed is None or signed.targets != self._read.get(project):
            self._pages.pop(project, None)

    def _as_signed(self, project: NormalizedName, file: PageFile) -> PageFile:
        found = self._required(project).page.file(file.filename)
        if found is None or found.sha256 != file.sha256:
            raise VerificationError(
                f"{file.filename} is not on the signed page of {project} any more as it was",
                remedy="Nothing was installed. Try again.",
            )
        return found

    def _located(self, project: NormalizedName) -> LocatedPage | None:
        if project not in self._pages:
            signed = self.signed_page(project)
            self._read[project] = () if signed is None else signed.targets
            self._pages[project] = None if signed is None else self.read_page(signed)
        return self._pages[project]

    def _required(self, project: NormalizedName) -> LocatedPage:
        located = self._located(project)
        if located is None:
            raise UntrustedError(f"no trusted repository knows the project {project}")
        return located

    def _page_of(
        self, repository: TrustedRepository, target: TargetFile, project: NormalizedName
    ) -> LocatedPage:
        """The verified page that one repository signs for the project."""
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
        return LocatedPage(repository, page, f"{repository.location}{SIMPLE_DIR}/{project}/")

    def _begin(self, url: str, max_bytes: int, sha256: Sha256) -> None:
        """Begin to fetch bytes of that digest, unless they are here or on their way."""
        if sha256 not in self._early and not self._store.path(sha256).exists():
            self._early[sha256] = self._transport.early(url, max_bytes=max_bytes)

    def _verified_bytes(self, url: str, max_bytes: int, sha256: Sha256, what: str) -> bytes:
        """The bytes of that digest: from the store, fetched early, or from ``url`` now."""
        kept = self._store.read(sha256, max_bytes)
        if kept is not None:
            return kept
        early = self._early.pop(sha256, None)
        try:
            data = early.result() if early else self._transport.get(url, max_bytes=max_bytes).body
        except TooLargeError:
            raise _altered(what, url, f"more than the signed {max_bytes} bytes") from None
        found = sha256_of(data)
        if found != sha256:
            raise _altered(what, url, f"sha256 {found}, signed was {sha256}")
        self._store.add(sha256, data)
        return data

    def signed_file(self, located: LocatedPage, file: PageFile) -> SignedFile:
        """A file of a page with its own signed target, which must say what the page says.

        Raises:
            VerificationError: The repository signed no such file, or another; or too few of those
                that must agree signed it.
            RepositoryUnavailableError: As ``Index.page``.
        """
        project, repository = located.page.project, located.repository
        path = file_target(project, file.filename)
        target = self._session(repository).target(path)
        if target is None:
            raise VerificationError(
                f"the page of {project} offers {file.filename}, but the repository "
                f"{repository.name!r} has signed no such file for {project}",
                meaning="The file belongs to another project, or was withdrawn.",
                remedy="Nothing was installed. Tell the people who run the repository.",
            )
        length = target.length if file.size is None else file.size
        if _expected(target) != (length, file.sha256):
            raise VerificationError(
                f"the page of {project} and the signed target {path} do not agree about "
                f"{file.filename}: {length} bytes, sha256 {file.sha256}, and "
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
        return SignedFile(project, file, join_url(located.url, file.url), repository.name, target)

    def _download(self, signed: SignedFile, progress: Callable[[int], None]) -> None:
        def fill(incoming: Incoming) -> None:
            try:
                self._transport.download(
                    signed.url,
                    incoming.stream,
                    max_bytes=signed.target.length,
                    progress=progress,
                )
                incoming.stream.seek(0)
                signed.target.verify_length_and_hashes(incoming.stream)
            except (TooLargeError, LengthOrHashMismatchError) as error:
                raise _altered(signed.file.filename, signed.url, str(error)) from None
            incoming.keep(signed.file.sha256)

        self._store.receive(fill)


def metadata_inside(verified: VerifiedFile, file: PageFile) -> bytes:
    """The metadata in a verified distribution, which must be what the page signs of it.

    Raises:
        VerificationError: It is other metadata.
        FormatError: The distribution holds no readable metadata.
    """
    data = read_core_metadata(verified.path, verified.filename)
    if file.core_metadata not in (None, sha256_of(data)):
        raise VerificationError(
            f"{file.filename} holds other metadata than what was signed for it",
            meaning="Its signed page and its signed contents do not agree.",
            remedy="Nothing was installed. Tell the people who run the repository.",
        )
    return data


def untrusted() -> UntrustedError:
    """What is said while this machine believes nobody."""
    return UntrustedError(
        "this machine trusts no package repository yet, so nothing can be verified",
        meaning="To begin at once, on this machine alone: securepip trust first-use --min-age 3d",
        remedy="To believe a repository that others sign: securepip trust add NAME "
        "https://packages.example.org/ --root-sha256 FINGERPRINT --index-url URL",
    )


def _agreed(found: Sequence[LocatedPage], threshold: int) -> LocatedPage:
    """The first page, with the files that enough of the pages name with the same bytes."""
    first, *others = found
    if threshold == 1:
        return first

    def votes(file: PageFile) -> int:
        same = (other.page.file(file.filename) for other in others)
        return 1 + sum(
            each is not None and (each.sha256, each.size) == (file.sha256, file.size)
            for each in same
        )

    kept = tuple(file for file in first.page.files if votes(file) >= threshold)
    witnesses = tuple(other.repository for other in others)
    page = replace(first.page, files=kept)
    return LocatedPage(first.repository, page, first.url, witnesses, threshold)


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
