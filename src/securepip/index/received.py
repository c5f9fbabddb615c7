"""Gets signed bytes from the store, an early download or the network, and verifies them each time.

Rule: the bytes that are returned have the digest that was asked for. Everything here may be called
from any thread, except what begins early downloads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Protocol

from packaging.utils import NormalizedName
from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from securepip.errors import FormatError, TooLargeError, TransportError, VerificationError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.distribution import parse_distribution
from securepip.formats.layout import SIMPLE_DIR
from securepip.formats.page import MAX_PAGE_BYTES, PageFile, parse_page
from securepip.index.ahead import plain_page
from securepip.index.signed import LocatedPage, SignedFile, expected, page_url
from securepip.index.store import Incoming, Store
from securepip.index.types import _SEAL, VerifiedFile
from securepip.transport import Early, Transport, join_url, redact
from securepip.trust import TrustedRepository
from securepip.updater.mirrors import Mirrors

_SMALL_BYTES = 256 << 10


class Downloads(Protocol):
    """Shows the progress of downloads to a person. Called from any thread."""

    def expect(self, sizes: list[int]) -> None:
        """Distributions of these sizes (bytes) will be fetched."""

    def cached(self, filename: str, size: int) -> None:
        """One of them, of ``size`` bytes, is in the store already."""

    def download(self, filename: str, size: int) -> AbstractContextManager[Callable[[int], None]]:
        """A context manager that lasts as long as the download of one of them.

        Its value is a function that is called with the number of bytes of each piece, and with a
        negative number when a broken download starts again.
        """


class _Silent:
    """``Downloads`` that shows nothing."""

    def expect(self, sizes: list[int]) -> None:
        """As ``Downloads.expect``."""

    def cached(self, filename: str, size: int) -> None:
        """As ``Downloads.cached``."""

    def download(self, filename: str, size: int) -> AbstractContextManager[Callable[[int], None]]:
        """As ``Downloads.download``."""
        return nullcontext(lambda received: None)


SILENT = _Silent()


class Received:
    """Gets verified bytes, by way of one store.

    Args:
        transport: Fetches.
        store: Keeps what was verified.
        mirrors: The places of each repository; by default each file has one place.
    """

    def __init__(self, transport: Transport, store: Store, mirrors: Mirrors | None = None) -> None:
        self._transport = transport
        self._store = store
        self._mirrors = mirrors or Mirrors()
        self._early: dict[tuple[str, int, Sha256], Early] = {}
        # A slow place may have used up all the time, and every thread may be waiting for it.
        self._mirrors.notify(self)

    def has(self, sha256: Sha256) -> bool:
        """As ``Store.has``."""
        return self._store.has(sha256)

    def begin(self, url: str, max_bytes: int, sha256: Sha256) -> None:
        """Begin to fetch bytes, unless they are in the store or on their way from ``url``.

        The key of the download has all three arguments, because the page of another project may
        name the same digest with another URL or length.

        Args:
            url: Where the bytes are.
            max_bytes: The most bytes that are read.
            sha256: Their digest.
        """
        url = self._mirrors.at(url)
        key = (url, max_bytes, sha256)
        if key not in self._early and not self._store.has(sha256):
            self._early[key] = self._transport.early(url, max_bytes=max_bytes)

    def drop(self, place: str) -> None:
        """As ``PlaceListener.drop``."""
        self._transport.renew()
        for key in list(self._early):
            if key[0].startswith(place):
                self._early.pop(key, None)

    def begin_page(
        self, repository: TrustedRepository, target: TargetFile, project: NormalizedName
    ) -> None:
        """Begin to fetch the page that a repository signs for a project."""
        if not self._transport.expects(self._mirrors.at(plain_page(repository, project))):
            self.begin(page_url(repository, target), *expected(target))

    def bytes_of(
        self, url: str, max_bytes: int, sha256: Sha256, what: str, *, also_at: str = ""
    ) -> bytes:
        """The bytes with that digest.

        Args:
            url: Where they are.
            max_bytes: The most bytes that are read.
            sha256: Their digest.
            what: What they are, for messages.
            also_at: A URL with probably the same bytes, whose download may have been begun.

        Raises:
            VerificationError: What was served is not what was signed.
            TransportError: They could not be fetched.
        """
        kept = self._store.read(sha256, max_bytes)
        if kept is not None:
            return kept
        ahead = self._transport.begun_ahead(also_at)
        with suppress(TransportError):
            if ahead is not None and sha256_of(data := ahead.result()) == sha256:
                self._store.add(sha256, data)
                return data
        data = self._mirrors.try_each(url, lambda at: self._read(at, max_bytes, sha256, what))
        self._store.add(sha256, data)
        return data

    def _read(self, url: str, max_bytes: int, sha256: Sha256, what: str) -> bytes:
        """As ``bytes_of``, from one place."""
        early = self._early.pop((url, max_bytes, sha256), None)
        try:
            data = early.result() if early else self._transport.get(url, max_bytes=max_bytes).body
        except TooLargeError:
            raise _altered(what, url, f"more than the signed {max_bytes} bytes") from None
        found = sha256_of(data)
        if found != sha256:
            raise _altered(what, url, f"sha256 {found}, signed was {sha256}")
        return data

    def begin_small(self, located: LocatedPage, files: Iterable[PageFile]) -> None:
        """Begin to fetch those files of a page that are small enough to be held in memory."""
        for file in files:
            if file.size is not None and file.size <= _SMALL_BYTES:
                self.begin(join_url(located.url, file.url), file.size, file.sha256)

    def page(
        self, repository: TrustedRepository, target: TargetFile, project: NormalizedName
    ) -> LocatedPage:
        """The verified page that one repository signs for the project.

        Raises:
            VerificationError: What was served is not what was signed, or cannot be parsed.
            TransportError: It could not be fetched.
        """
        length, sha256 = expected(target)
        if length > MAX_PAGE_BYTES:
            raise VerificationError(f"the signed page of {project} has {length} bytes")
        url = page_url(repository, target)
        plain = self._mirrors.at(plain_page(repository, project))
        data = self.bytes_of(url, length, sha256, f"the page of {project}", also_at=plain)
        try:
            page = parse_page(data, project)
        except FormatError as error:
            raise VerificationError(
                f"the page of {project}, from {redact(url)}, cannot be read, although the "
                f"repository {repository.name!r} has signed it: {error.what}",
                remedy="Nothing was installed. Tell the people who run the repository.",
            ) from None
        return LocatedPage(repository, page, f"{repository.location}{SIMPLE_DIR}/{project}/")

    def distribution(self, signed: SignedFile, downloads: Downloads = SILENT) -> VerifiedFile:
        """Fetch and verify a distribution whose signed target was looked up.

        Args:
            signed: The file and its target.
            downloads: Shows the progress.

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
            downloads.cached(file.filename, size)
        else:
            with downloads.download(file.filename, size) as progress:
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

    def _download(self, signed: SignedFile, progress: Callable[[int], None]) -> None:
        early = self._verified_early(signed)

        def fill(incoming: Incoming) -> None:
            if early is not None:
                incoming.stream.write(early)
                progress(len(early))
                incoming.keep(signed.file.sha256)
                return
            self._mirrors.try_each(
                signed.url, lambda at: self._fill(incoming, at, signed, progress)
            )
            incoming.keep(signed.file.sha256)

        self._store.receive(fill)

    def _fill(
        self, incoming: Incoming, url: str, signed: SignedFile, progress: Callable[[int], None]
    ) -> None:
        """Download a file from one place, over what another place sent before."""
        try:
            self._transport.download(
                url, incoming.stream, max_bytes=signed.target.length, progress=progress
            )
            signed.target.verify_length_and_hashes(incoming.stream)
        except (TooLargeError, LengthOrHashMismatchError) as error:
            raise _altered(signed.file.filename, url, str(error)) from None

    def _verified_early(self, signed: SignedFile) -> bytes | None:
        """The file's bytes if an early download has them and they are what was signed.

        If they are not, the download that follows says what is wrong.
        """
        key = (self._mirrors.at(signed.url), signed.target.length, signed.file.sha256)
        early = self._early.pop(key, None)
        if early is not None:
            with suppress(TransportError, LengthOrHashMismatchError):
                data = early.result()
                signed.target.verify_length_and_hashes(data)
                return data
        return None


def _altered(what: str, url: str, found: str) -> VerificationError:
    return VerificationError(
        f"{what}, from {redact(url)}, is not what was signed: {found}",
        meaning="The file was changed or broken on its way, or the server it comes from serves "
        "another file than the one that the repository signed.",
        remedy="Nothing was installed. Try again from another network; if that does not help, "
        "tell the people who run the repository.",
    )
