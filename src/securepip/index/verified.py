"""The verified index: pages, core metadata and distributions, each checked against what was signed.

The checks, in order:

* The session looks up the signed target of the project's page. The page's bytes must have the
  target's length and digest.
* A ``.metadata`` file must have the digest that the page signs (PEP 714).
* A distribution has a target of its own, under a path built from the project's name and the file's
  name. Its length and digest must be those of the page *and* of that target, so that the page of
  one project can never offer what was signed for another.

``speakers`` decides which repository speaks for a project; ``received`` verifies what is fetched.

Threads: one thread asks the sessions (``signed_page``, ``signed_file``, ``prefetch_…``). Any thread
may fetch what was looked up (``read_page``, ``read_metadata``, ``fetch_signed``).
"""

from __future__ import annotations

import site
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from copy import copy
from pathlib import Path

from packaging.utils import NormalizedName
from tuf.api.metadata import TargetFile

from securepip.dirs import chosen_data
from securepip.errors import (
    FormatError,
    SecurepipError,
    TooSlowError,
    TransportError,
    UntrustedError,
    VerificationError,
)
from securepip.formats.core_metadata import MAX_METADATA_BYTES, read_core_metadata
from securepip.formats.digests import NOT_KNOWN_YET, sha256_of
from securepip.formats.distribution import WHEEL_SUFFIX
from securepip.formats.layout import METADATA_SUFFIX, file_target
from securepip.formats.page import PageFile, ProjectPage
from securepip.formats.wheel import check_reach
from securepip.index.on_demand import OnDemand, Signers
from securepip.index.received import SILENT, Downloads, Received
from securepip.index.signed import (
    LocatedPage,
    SignedFile,
    SignedPage,
    agreed,
)
from securepip.index.speakers import Speakers, untrusted
from securepip.index.store import Store
from securepip.index.types import Speaker, VerifiedFile
from securepip.transport import Allowance, Transport, join_url, redact
from securepip.transport.urls import without_credentials
from securepip.trust import Trust, TrustedRepository
from securepip.updater import Session
from securepip.updater.mirrors import Mirrors

__all__ = [
    "LocatedPage",
    "SignedFile",
    "SignedPage",
    "VerifiedIndex",
    "check_given",
    "metadata_inside",
    "untrusted",
]

_MAX_EARLY = 64
"""The most metadata files that one call of ``prefetch_metadata`` begins to fetch."""


class VerifiedIndex:
    """Implements ``securepip.index.Index`` over the trusted repositories.

    Args:
        trust: Which repositories are trusted, for which projects.
        transport: Fetches everything. All downloads share one ``Allowance``, because a server
            that delays one small file can delay hundreds.
        store: Keeps what was verified.
        signers: The signers of the repositories that this machine signs.
        downloads: Shows the progress of ``fetch``.
        installs: Whether the chosen files will be fetched too. If so, small files are fetched
            together with their metadata.
    """

    def __init__(
        self,
        trust: Trust,
        transport: Transport,
        store: Store,
        signers: Signers | None = None,
        downloads: Downloads = SILENT,
        *,
        installs: bool = False,
    ) -> None:
        self._downloads = downloads
        self._installs = installs
        self._transport = transport.within(Allowance())
        mirrors = Mirrors((each.location, each.mirrors) for each in trust.repositories)
        self._speakers = Speakers(trust, self._transport, signers or {}, mirrors)
        self._received = Received(self._transport, store, mirrors)
        self._announced: dict[tuple[NormalizedName, str], None] = {}
        self._pages: dict[NormalizedName, LocatedPage | None] = {}
        self._read: dict[NormalizedName, tuple[tuple[TrustedRepository, TargetFile], ...]] = {}

    def limited_to(self, names: Sequence[str]) -> VerifiedIndex:
        """The same sessions, under ``Trust.limited_to`` these names."""
        limited = copy(self)
        limited._speakers = self._speakers.limited_to(names)
        limited._announced, limited._pages, limited._read = {}, {}, {}
        return limited

    def close(self) -> None:
        """Write which projects were seen. Without this call, the end of the process does it."""
        self._speakers.close()

    def prefetch_pages(self, projects: Iterable[NormalizedName]) -> None:
        """As ``Index.prefetch_pages``. It waits for the metadata that lists the pages."""
        wanted: dict[str, tuple[TrustedRepository, list[NormalizedName]]] = {}
        for project in projects:
            first = self._speakers.first(project)
            if project not in self._pages and first is not None:
                wanted.setdefault(first.name, (first, []))[1].append(project)
        with suppress(SecurepipError):
            for repository, names in wanted.values():
                for project, target in self._speakers.prefetch_pages(repository, names):
                    self._received.begin_page(repository, target, project)

    def page(self, project: NormalizedName) -> ProjectPage | None:
        """As ``Index.page``."""
        located = self.located(project)
        return None if located is None else located.page

    def located(self, project: NormalizedName) -> LocatedPage | None:
        """As ``page``, together with who signed the page and its URL.

        Raises:
            VerificationError, RepositoryUnavailableError, TransportError, UntrustedError: As
                ``Index.page``.
        """
        if project not in self._pages:
            signed = self.signed_page(project)
            self._read[project] = () if signed is None else signed.targets
            self._pages[project] = None if signed is None else self.read_page(signed)
        return self._pages[project]

    def as_chosen(self, project: NormalizedName, file: PageFile) -> PageFile:
        """The file as its page lists it after the file has got a signed target of its own.

        Raises:
            VerificationError: The page does not list the file any more, or with another digest.
        """
        ((_, chosen),) = self._chosen([(project, file)])
        return chosen

    def has(self, file: PageFile) -> bool:
        """As ``Store.has``, for a file of a page."""
        return self._received.has(file.sha256)

    def prefetch_metadata(self, project: NormalizedName, files: Sequence[PageFile]) -> None:
        """As ``Index.prefetch_metadata``; also begins to fetch the bins that list the files."""
        with suppress(SecurepipError):
            located = self.located(project)
            if located is None:
                return
            self._begin_metadata((project, file.filename) for file in files[:_MAX_EARLY])
            if self._installs:
                self._received.begin_small(located, files[:1])
            if located.repository.name in self._speakers.signers:
                wanted = [file.filename for file in files[:_MAX_EARLY] if _is_open(file)]
                self._announced |= {(project, name): None for name in wanted}
                return
            self._speakers.session(located.repository).prefetch(
                [file_target(project, file.filename) for file in files[:1]], wait=False
            )

    def core_metadata(self, project: NormalizedName, file: PageFile) -> bytes:
        """As ``Index.core_metadata``."""
        if _is_open(file):
            ((_, file),) = self._chosen([(project, file)])
        else:  # the page says all that is needed
            self._speakers.check_file(self._required(project), file)
        if file.core_metadata is not None:
            try:
                return self.read_metadata(self._required(project), file)
            except (TransportError, VerificationError) as error:
                if _is_final(error, self._required(project)):
                    raise
        (verified,) = self.fetch([(project, file)])
        return metadata_inside(verified, file)

    def fetch(
        self,
        wanted: Sequence[tuple[NormalizedName, PageFile]],
        arrived: Callable[[VerifiedFile], None] | None = None,
    ) -> list[VerifiedFile]:
        """As ``Index.fetch``. ``arrived`` is called with each verified file, in any thread."""
        located_files = [(self._required(project), file) for project, file in self._chosen(wanted)]
        self.prefetch_files(located_files)
        signed = [self.signed_file(located, file) for located, file in located_files]
        self._downloads.expect([one.target.length for one in signed])

        def fetch_one(one: SignedFile) -> VerifiedFile:
            file = self.fetch_signed(one, self._downloads)
            if arrived is not None:
                arrived(file)
            return file

        # The largest first, so that a large file is not the only one left at the end.
        order = sorted(signed, key=lambda one: -one.target.length)
        fetched = dict(zip(map(id, order), self._transport.map(fetch_one, order), strict=True))
        return [fetched[id(one)] for one in signed]

    def signed_page(self, project: NormalizedName) -> SignedPage | None:
        """As ``Speakers.signed_page``."""
        return self._speakers.signed_page(project)

    def prepare_page(self, project: NormalizedName) -> None:
        """Sign what ``signed_page`` will look up, if this machine signs the repository.

        It may wait for the network, and any thread may call it. ``signed_page`` raises its errors.
        """
        first = self._speakers.first(project)
        if first is not None:
            self._speakers.prepare_pages(first.name, [project])

    def prepare_file(self, located: LocatedPage, file: PageFile) -> None:
        """Sign what ``signed_file`` will look up, if this machine signs the repository.

        Raises:
            VerificationError: The file is not what was signed before.
            SecurepipError: It could not be signed.
        """
        for signer in self._speakers.signers_of(located):
            signer.prepare_files([(located.page.project, file.filename)])

    def prefetch_files(self, wanted: Iterable[tuple[LocatedPage, PageFile]]) -> None:
        """As ``Speakers.prefetch_files``."""
        self._speakers.prefetch_files(wanted)

    def signed_file(self, located: LocatedPage, file: PageFile) -> SignedFile:
        """As ``Speakers.signed_file``."""
        return self._speakers.signed_file(located, file)

    def fetch_signed(self, signed: SignedFile, downloads: Downloads = SILENT) -> VerifiedFile:
        """As ``Received.distribution``; any thread may call it."""
        try:
            return self._received.distribution(signed, downloads)
        except VerificationError as error:
            if signed.repository not in self._speakers.signers:
                raise
            raise VerificationError(
                error.what,
                meaning=error.meaning,
                remedy=f"{error.remedy}\nIf the index tells no sha256 of it, and you know that the "
                f"change is right:\n  securepip trust accept-change {signed.file.filename}",
            ) from None

    def session(self, name: str) -> Session:
        """As ``Speakers.named``, for callers that look at a repository's roles."""
        return self._speakers.named(name)

    def read_page(self, signed: SignedPage) -> LocatedPage:
        """Fetch and verify a page whose target was looked up. Any thread may call it.

        Raises:
            VerificationError: What was served is not what was signed.
            TransportError: It could not be fetched.
        """
        pages = [self._received.page(*one, signed.project) for one in signed.targets]
        return agreed(pages, signed.threshold)

    def read_metadata(self, located: LocatedPage, file: PageFile) -> bytes:
        """Fetch and verify the ``.metadata`` file of a distribution. Any thread may call it.

        Raises:
            FormatError: The page signs no digest of it.
            VerificationError: What was served is not what was signed.
            TransportError: It could not be fetched.
        """
        if file.core_metadata is None:
            raise FormatError(f"the page of {located.page.project} signs no metadata of its files")
        return self._received.bytes_of(
            join_url(located.url, file.url) + METADATA_SUFFIX,
            MAX_METADATA_BYTES,
            file.core_metadata,
            f"the metadata of {file.filename}",
        )

    def signed_by(self, project: NormalizedName, file: PageFile) -> tuple[str, str]:
        """The repository that signed a file of the project's page, and the file's URL.

        Returns:
            The repository's name, and the URL without credentials.
        """
        located = self._required(project)
        return located.repository.name, without_credentials(join_url(located.url, file.url))

    def speakers_for(self, project: NormalizedName) -> tuple[Speaker, ...]:
        """As ``Index.speakers_for``."""
        return tuple(map(_speaker, self._speakers.all(project)))

    def origin(self, project: NormalizedName) -> str:
        """As ``Index.origin``."""
        located = self._pages.get(project)
        repository = located.repository if located else self._speakers.first(project)
        return "no trusted repository" if repository is None else repository.shown

    def _chosen(
        self, wanted: Sequence[tuple[NormalizedName, PageFile]]
    ) -> list[tuple[NormalizedName, PageFile]]:
        """The files as their pages list them after each has got a signed target of its own.

        This machine signs targets here: for these files, and for those that ``prefetch_metadata``
        announced. It adds what it learns about the files to their pages.

        Raises:
            VerificationError: A page does not list a file any more, or with another digest.
        """
        if not self._speakers.signers:
            return list(wanted)
        asked = dict.fromkeys((project, file.filename) for project, file in wanted)
        announced = [one for one in self._announced if one not in asked]
        self._announced.clear()
        for signer in self._speakers.signers.values():
            chosen = [one for one in asked if signer in self._signers_of(one[0])]
            likely = [one for one in announced if signer in self._signers_of(one[0])]
            if chosen or likely:
                signer.prepare_files(chosen, likely)
        for project in {project for project, _ in (*asked, *announced)}:
            self._look_anew(project)
        self._begin_metadata(announced)
        return [(project, self._as_signed(project, file)) for project, file in wanted]

    def _begin_metadata(self, files: Iterable[tuple[NormalizedName, str]]) -> None:
        """Begin to fetch the metadata of those files whose pages sign its digest."""
        with suppress(SecurepipError):
            for project, filename in files:
                located = self.located(project)
                file = located.page.file(filename) if located else None
                if located and file and file.core_metadata is not None:
                    url = join_url(located.url, file.url) + METADATA_SUFFIX
                    self._received.begin(url, MAX_METADATA_BYTES, file.core_metadata)

    def _signers_of(self, project: NormalizedName) -> list[OnDemand]:
        """The signers on this machine of the project's files."""
        located = self.located(project)
        return self._speakers.signers_of(located) if located else []

    def _look_anew(self, project: NormalizedName) -> None:
        """Forget the project's page if another one is signed now."""
        signed = self.signed_page(project)
        if signed is None or signed.targets != self._read.get(project):
            self._pages.pop(project, None)

    def _as_signed(self, project: NormalizedName, file: PageFile) -> PageFile:
        found = self._required(project).page.file(file.filename)
        if found is None or file.sha256 not in (found.sha256, NOT_KNOWN_YET):
            raise VerificationError(
                f"{file.filename} is not on the signed page of {project} any more as it was",
                remedy="Nothing was installed. Try again.",
            )
        return found

    def _required(self, project: NormalizedName) -> LocatedPage:
        located = self.located(project)
        if located is None:
            raise UntrustedError(f"no trusted repository knows the project {project}")
        return located


def _is_final(error: TransportError | VerificationError, located: LocatedPage) -> bool:
    """Whether an error of a ``.metadata`` file is raised, and the file itself is not read instead.

    The metadata inside the file must be the same. Some mirrors have no ``.metadata`` files, and if
    one place served a wrong one, or too slowly, another place may have the distribution.
    """
    return isinstance(error, VerificationError | TooSlowError) and not located.repository.mirrors


def _is_open(file: PageFile) -> bool:
    """Whether the page lacks what a signer on this machine learns about a file that is chosen."""
    return file.core_metadata is None or file.sha256 == NOT_KNOWN_YET


def _speaker(repository: TrustedRepository) -> Speaker:
    made_from = repository.first_use
    address = repository.location if made_from is None else made_from.index_url
    return Speaker(repository.name, redact(address), made_from is not None)


def metadata_inside(verified: VerifiedFile, file: PageFile) -> bytes:
    """The metadata in a verified distribution, which must have the digest that the page signs.

    Raises:
        VerificationError: It has another digest.
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


def check_given(path: Path, filename: str) -> None:
    """Check a distribution that another program will install, which need not check it itself.

    ``installer`` checks the same where securepip installs. Every other way out of the index passes
    here: what a gateway answers, and what ``download`` saves.

    Args:
        path: The verified file.
        filename: Its distribution file name.

    Raises:
        VerificationError: It is a wheel that cannot be read, or ``check_reach`` refuses it.
    """
    if not filename.endswith(WHEEL_SUFFIX):
        return
    try:
        check_reach(path, filename, {"data": site.getuserbase()}, chosen_data())
    except FormatError as error:
        raise VerificationError(
            f"{filename} cannot be used: {error.what}",
            meaning=error.meaning,
            remedy="Ask for another version, and tell those who publish it.",
        ) from None
