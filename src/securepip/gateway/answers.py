"""Answers requests for verified pages, metadata and files, from many clients at once.

The rules:

* One thread owns the sessions with the repositories, and looks up what is signed. A limited number
  of other threads fetch the files.
* A file is sent only when all of it is in the store and has its signed digest. All clients that
  wait for it share one download, which goes on when they give up.
* All answers of ``REFRESH_SECONDS`` come from the same state of the repositories. An older state is
  brought up to date, because a gateway may run for weeks.
* A server that does not answer delays only the clients that need its files. They get an error when
  its time has run out (``securepip.transport``).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from packaging.utils import NormalizedName

from securepip.errors import FormatError, TransportError, UntrustedError, VerificationError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.distribution import WHEEL_SUFFIX
from securepip.formats.page import PageFile, ProjectPage
from securepip.gateway import by_url
from securepip.gateway.dependencies import Dependencies
from securepip.gateway.moment import Moment, View
from securepip.gateway.tasks import PATIENCE_SECONDS, PatientPool, Shared, in_pool
from securepip.index import Store, VerifiedFile, VerifiedIndex
from securepip.index.on_demand import Signers
from securepip.index.verified import LocatedPage, SignedFile, check_given, metadata_inside
from securepip.transport import Transport
from securepip.transport.pool import Pool
from securepip.trust import Trust, same_index

REFRESH_SECONDS = 60.0
"""How old the state of the repositories may be."""
STALE_SECONDS = 600.0
"""How much older it may be while a repository does not answer."""
PARALLEL = 16
"""How many files, and how many pages, are fetched at the same time."""

_MAX_LOOK_UPS = 5_000
_MAX_REQUIREMENTS_BYTES = 64 << 20
_MAX_KNOWN = 10_000

_Key = tuple[NormalizedName, str, Sha256, int]
_Identity = tuple[int, int, int, int]
_Inside = tuple[Sha256, str, Sha256 | None]


class UnknownError(UntrustedError):
    """No trusted repository knows the project, or its page has no such file."""


@dataclass(frozen=True)
class PageAnswer:
    """A verified page. Its URLs are the signed ones, absolute or relative."""

    page: ProjectPage

    def served_from(self, base: str) -> PageAnswer:
        """The same page with URLs of the gateway for its files.

        Args:
            base: The gateway's address, absolute or relative to the page.
        """
        folder = f"{base}files/{self.page.project}/"
        files = (file._replace(url=folder + quote(file.filename)) for file in self.page.files)
        return PageAnswer(replace(self.page, files=tuple(files)))


@dataclass(frozen=True)
class MetadataAnswer:
    """The verified ``.metadata`` file of a distribution.

    Attributes:
        data: Its bytes.
        sha256: Its digest.
        kept: Whether it was in the store before the request.
    """

    data: bytes
    sha256: Sha256
    kept: bool


@dataclass(frozen=True)
class FileAnswer:
    """A verified distribution in the store.

    Attributes:
        filename: Its name.
        path: Its path in the store.
        sha256: Its digest.
        size: Its length in bytes.
        kept: Whether it was in the store before the request.
    """

    filename: str
    path: Path
    sha256: Sha256
    size: int
    kept: bool = False


Answer = PageAnswer | MetadataAnswer | FileAnswer


class Answers:
    """The verified index for many clients. All methods are for one event loop.

    Args:
        read_trust: Returns the trusted repositories; called whenever the state is brought up to
            date.
        transport: Fetches everything.
        store: Keeps verified files.
        signers: Returns the signers of the first-use repositories on this machine.
        default_indexes: pip's default index, and others that stand for all trusted repositories.
        refresh_seconds: How old the state may be.
        connections_are_held: See ``Dependencies``.
        older_releases: See ``Dependencies``.
    """

    def __init__(
        self,
        read_trust: Callable[[], Trust],
        transport: Transport,
        store: Store,
        *,
        signers: Callable[[Trust], Signers] = lambda trust: {},
        default_indexes: Sequence[str] = (),
        refresh_seconds: float = REFRESH_SECONDS,
        connections_are_held: bool = False,
        older_releases: bool = False,
    ) -> None:
        self._read_trust = read_trust
        self._transport = transport
        self._store = store
        self._signers = signers
        self._default_indexes = tuple(default_indexes)
        self._refresh_seconds = refresh_seconds
        self._stale_seconds = refresh_seconds + STALE_SECONDS
        self._owner = Pool(1)
        self._readers = PatientPool(PARALLEL)
        self._fetchers = PatientPool(PARALLEL)
        self._dependencies = Dependencies(
            connections_are_held=connections_are_held, older_releases=older_releases
        )
        self._moment: Moment | None = None
        self._before: Moment | None = None
        self._fetching: Shared[_Key, VerifiedFile] = Shared()
        self._fetching_direct: Shared[tuple[str, frozenset[str]], FileAnswer] = Shared()
        self._looked_into: OrderedDict[_Inside, None] = OrderedDict()
        self._known: OrderedDict[_Key, tuple[VerifiedFile, _Identity]] = OrderedDict()

    def close(self) -> None:
        """Give up all work that is under way."""
        if self._moment is not None:
            self._moment.close()
        for pool in (self._owner, self._readers, self._fetchers):
            pool.close()

    def repositories(self) -> list[str]:
        """The trusted repositories, for people: names and locations."""
        repositories = self._now().trust.repositories
        return [repository.shown for repository in repositories]

    async def page(self, project: NormalizedName) -> PageAnswer:
        """The page of a project.

        Raises:
            UnknownError: No trusted repository knows the project.
            SecurepipError: As ``Index.page``.
        """
        return PageAnswer((await self._located(None, project))[1].page)

    async def file(self, project: NormalizedName, filename: str) -> FileAnswer:
        """A distribution on the page of a project.

        Raises:
            UnknownError: The page has no such file.
            SecurepipError: As ``Index.fetch``.
        """
        view, located = await self._located(None, project)
        return await self._file(view, located, _listed(located, filename))

    async def metadata(self, project: NormalizedName, filename: str) -> MetadataAnswer:
        """The ``.metadata`` file of a distribution.

        Raises:
            UnknownError: The page has no such file, or gives no digest of its metadata.
            SecurepipError: As ``Index.core_metadata``.
        """
        view, located = await self._located(None, project)
        return await self._metadata(view, located, _listed(located, filename))

    async def resolve_url(
        self, url: str, *, hashes: frozenset[str] = frozenset(), indexes: Sequence[str] = ()
    ) -> Answer:
        """The verified answer for a URL that a tool would fetch itself.

        The URL may be the page of a project on an index that stands for a trusted repository; the
        answer then has absolute URLs. It may be a distribution, or its ``.metadata``, that a signed
        page lists under that URL. Or it may be any file, if the user gave a strong hash that it
        has.

        Args:
            url: An http or https URL. Its fragment, user name and password are ignored.
            hashes: The hashes that the user gave, such as ``sha256:…``; one of them must fit.
            indexes: All indexes that the tool uses, in its order. They limit the repositories that
                may answer, as for ``securepip install``.

        Raises:
            RefusedError: The URL is none of these.
            UnknownError: The index knows no such project.
            SecurepipError: As ``Index.page`` and ``Index.fetch``.
        """
        asked = by_url.parse(url)
        trust = self._now().trust
        if asked.project is not None and self._is_index(trust, asked.folder):
            limits = self._limits(trust, indexes or [asked.folder])
            _, located = await self._located(limits, asked.project)
            owner = trust.for_index(asked.folder)
            if owner is not None and owner.name != located.repository.name:
                raise UnknownError(
                    f"{asked.folder} does not answer for {asked.project}: the repository "
                    f"{located.repository.name!r} does"
                )
            return PageAnswer(by_url.with_absolute_urls(located))
        limits = self._limits(trust, indexes)
        for project in asked.projects_of_file:
            view, page = await self._find(limits, project)
            if page and (file := by_url.file_at(page, asked)):
                if asked.is_metadata:
                    return await self._metadata(view, page, file)
                return await self._file(view, page, file)
        strong = by_url.strong(hashes)
        if strong:
            return await self._fetching_direct.get(
                (asked.url, strong), lambda: self._fetch_direct(url, strong)
            )
        raise by_url.refusal(asked)

    async def requirements_file(self, url: str) -> bytes:
        """A requirements file at a URL that the user names. It is not verified: nobody signs it.

        Raises:
            RefusedError: ``url`` is no http or https URL.
            TransportError: It could not be fetched.
        """
        by_url.parse(url)
        answer = await in_pool(
            self._readers,
            lambda one: self._transport.get(one, max_bytes=_MAX_REQUIREMENTS_BYTES),
            url.partition("#")[0],
        )
        return answer.body

    def _now(self) -> Moment:
        """The state of the repositories, brought up to date if it is too old."""
        moment = self._moment
        if (
            moment is None
            or moment.look_ups > _MAX_LOOK_UPS
            or time.monotonic() - moment.began > self._refresh_seconds
        ):
            if moment is not None and moment.has_pages:
                self._before = moment
                self._owner.submit(Moment.close, moment)
            trust = self._read_trust()
            moment = self._moment = Moment(
                trust,
                self._transport,
                self._store,
                self._owner,
                self._readers,
                self._signers(trust),
            )
        return moment

    def _is_index(self, trust: Trust, url: str) -> bool:
        return trust.for_index(url) is not None or self._is_default(url)

    def _is_default(self, url: str) -> bool:
        return any(same_index(url, one) for one in self._default_indexes)

    def _limits(self, trust: Trust, indexes: Sequence[str]) -> tuple[str, ...] | None:
        """The names of the repositories that these indexes stand for; None for all of them."""
        names = []
        for url in indexes:
            repository = trust.for_index(url)
            if repository is not None:
                names.append(repository.name)
            elif self._is_default(url):
                return None
        return tuple(dict.fromkeys(names)) or None

    async def _find(
        self, names: tuple[str, ...] | None, project: NormalizedName
    ) -> tuple[View, LocatedPage | None]:
        """The page of a project, and the view that has it. The page is None if nobody knows it.

        While a repository does not answer, its page of the state before is used.
        """
        view = self._now().view(names)
        before = self._before
        if before is not None and time.monotonic() - before.began < self._stale_seconds:
            known = before.view(names).kept(project)
            if known is not None:
                with suppress(asyncio.TimeoutError):
                    return view, await asyncio.wait_for(view.page(project), PATIENCE_SECONDS)
                return before.view(names), known
        return view, await view.page(project)

    async def _located(
        self, names: tuple[str, ...] | None, project: NormalizedName
    ) -> tuple[View, LocatedPage]:
        view, located = await self._find(names, project)
        if located is None:
            required = self._dependencies.unknown(project)
            if required is not None:
                raise required
            raise UnknownError(
                f"no trusted repository knows the project {project}",
                meaning="No trusted repository has signed anything of that name.",
                remedy="Check the name; `securepip trust list` shows the trusted repositories.",
            )
        return view, located

    async def _file(self, view: View, located: LocatedPage, file: PageFile) -> FileAnswer:
        kept = self._store.has(file.sha256)
        verified = await self._verified(view, located, file)
        await self._check_inside(verified, file)
        return FileAnswer(verified.filename, verified.path, verified.sha256, verified.size, kept)

    async def _verified(self, view: View, located: LocatedPage, file: PageFile) -> VerifiedFile:
        signed = await view.signed_file(located, file)
        key = (signed.project, file.filename, signed.file.sha256, signed.target.length)
        known = self._known.get(key)
        # A file that this process has hashed, and that has not changed since, is not hashed again.
        if known is not None and known[1] == _identity(known[0].path):
            self._known.move_to_end(key)
            return known[0]
        return await self._fetching.get(key, lambda: self._fetch(key, view.index, signed))

    async def _fetch(self, key: _Key, index: VerifiedIndex, signed: SignedFile) -> VerifiedFile:
        verified = await in_pool(self._fetchers, index.fetch_signed, signed)
        identity = _identity(verified.path)
        if identity is not None:
            self._known[key] = (verified, identity)
            while len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return verified

    async def _check_inside(self, verified: VerifiedFile, file: PageFile) -> None:
        """Check the metadata inside a distribution, because tools read it there too.

        An sdist whose metadata cannot be read is let through: its build decides in the end.
        """
        # The key has the name and the signed metadata digest too: the same bytes may be signed a
        # second time with other, wrong ones.
        looked_into = (verified.sha256, file.filename, file.core_metadata)
        if looked_into in self._looked_into:
            return
        try:
            data = await in_pool(self._readers, lambda one: _inside(verified, one), file)
        except FormatError as error:
            if verified.filename.endswith(WHEEL_SUFFIX):
                raise VerificationError(
                    f"{verified.filename} was signed, but cannot be used: {error.what}",
                    meaning=error.meaning,
                    remedy="Ask for another version, and tell the people who run the repository.",
                ) from None
        else:
            self._dependencies.check(verified.filename, data)
        self._looked_into[looked_into] = None
        while len(self._looked_into) > _MAX_KNOWN:
            self._looked_into.popitem(last=False)

    async def _fetch_direct(self, url: str, hashes: frozenset[str]) -> FileAnswer:
        return await in_pool(
            self._fetchers,
            lambda one: _given(by_url.fetch(one, hashes, self._transport, self._store)),
            url,
        )

    async def _metadata(self, view: View, located: LocatedPage, file: PageFile) -> MetadataAnswer:
        if file.core_metadata is None:
            raise UnknownError(
                f"the page of {located.page.project} signs no metadata of {file.filename}"
            )
        kept = self._store.has(file.core_metadata)
        with suppress(TransportError):
            data = await in_pool(
                self._readers, lambda one: view.index.read_metadata(located, one), file
            )
            self._dependencies.check(file.filename, data)
            return MetadataAnswer(data, sha256_of(data), kept)
        # Not every mirror has `.metadata` files. Then the metadata comes from the distribution.
        verified = await self._verified(view, located, file)
        data = await in_pool(self._readers, lambda one: metadata_inside(verified, one), file)
        self._store.add(file.core_metadata, data)
        self._dependencies.check(file.filename, data)
        return MetadataAnswer(data, sha256_of(data), kept)


def _inside(verified: VerifiedFile, file: PageFile) -> bytes:
    """Read the metadata inside a distribution that another program installs, and check it.

    Raises:
        VerificationError: It is not the metadata that the page signs, or as ``check_given``.
        FormatError: It cannot be read.
    """
    metadata = metadata_inside(verified, file)
    check_given(verified.path, verified.filename)
    return metadata


def _given(fetched: tuple[str, Path, Sha256, int]) -> FileAnswer:
    """Check a file whose hash the user named, and make the answer.

    Raises:
        VerificationError: As ``check_given``.
    """
    filename, path, *_ = fetched
    check_given(path, filename)
    return FileAnswer(*fetched)


def _listed(located: LocatedPage, filename: str) -> PageFile:
    file = located.page.file(filename)
    if file is None:
        raise UnknownError(f"the signed page of {located.page.project} has no file {filename!r}")
    return file


def _identity(path: Path) -> _Identity | None:
    """A value that changes when a file is replaced or written to; None if it is gone."""
    try:
        status = os.stat(path)  # noqa: PTH116 - the cheap way, for each request
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
