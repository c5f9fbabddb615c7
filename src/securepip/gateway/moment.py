"""The signed state of the trusted repositories at one moment.

The rules:

* Only the thread that owns the sessions asks them (``securepip.index.verified``). Pages are then
  read in other threads.
* That thread does not wait for servers: a question that needs a download is asked again when the
  download has arrived.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from packaging.utils import NormalizedName

from securepip.formats.page import PageFile
from securepip.gateway.prompt import NotYetError, PromptTransport
from securepip.gateway.tasks import Batches, PatientPool, Shared, in_pool
from securepip.index import Store, VerifiedIndex
from securepip.index.on_demand import Signers
from securepip.index.verified import LocatedPage, SignedFile, SignedPage
from securepip.transport import Transport
from securepip.transport.pool import Pool
from securepip.trust import Trust

_MAX_KEPT_FILES = 100_000

K = TypeVar("K")
T = TypeVar("T")


class Moment:
    """The trusted repositories at one moment. What was looked up once does not change.

    Args:
        trust: The trusted repositories.
        transport: Fetches everything.
        store: Keeps verified files.
        owner: The thread that asks the sessions.
        readers: The threads that fetch.
        signers: The signers of the first-use repositories on this machine.
    """

    def __init__(
        self,
        trust: Trust,
        transport: Transport,
        store: Store,
        owner: Pool,
        readers: PatientPool,
        signers: Signers,
    ) -> None:
        self.trust = trust
        self.began = time.monotonic()
        self._transport = PromptTransport(transport, readers)
        self._index = VerifiedIndex(trust, self._transport, store, signers)
        self._owner = owner
        self._readers = readers
        self._views: dict[tuple[str, ...] | None, View] = {}

    @property
    def look_ups(self) -> int:
        """How many projects and files were looked up: the sessions remember each."""
        return sum(view.look_ups for view in self._views.values())

    @property
    def has_pages(self) -> bool:
        """Whether any page was found."""
        return any(view.has_pages for view in self._views.values())

    def close(self) -> None:
        """Save which projects were seen, for the next moment."""
        self._index.close()

    def view(self, names: tuple[str, ...] | None) -> View:
        """The view of these repositories alone, in this order; None for all, as they are mapped."""
        if names not in self._views:
            index = self._index if names is None else self._index.limited_to(names)
            self._views[names] = View(index, self._transport, self._owner, self._readers)
        return self._views[names]


class View:
    """The answers of some of the repositories. For one event loop.

    Attributes:
        index: The verified index of these repositories.
        look_ups: How many projects and files were looked up.
    """

    def __init__(
        self, index: VerifiedIndex, transport: PromptTransport, owner: Pool, readers: PatientPool
    ) -> None:
        self.index = index
        self.look_ups = 0
        self._transport = transport
        self._readers = readers
        self._pages = Batches(owner, self._signed_pages)
        self._files = Batches(owner, self._signed_files)
        self._reading: Shared[NormalizedName, LocatedPage | None] = Shared()
        self._kept: OrderedDict[NormalizedName, LocatedPage] = OrderedDict()
        self._kept_files = 0

    @property
    def has_pages(self) -> bool:
        """Whether any page was found."""
        return bool(self._kept)

    async def page(self, project: NormalizedName) -> LocatedPage | None:
        """The verified page of a project; None if none of the repositories knows it.

        Raises:
            SecurepipError: As ``Index.page``.
        """
        kept = self.kept(project)
        if kept is not None:
            return kept
        return await self._reading.get(project, lambda: self._read(project))

    def kept(self, project: NormalizedName) -> LocatedPage | None:
        """The page of a project, if it was read already; else None."""
        kept = self._kept.get(project)
        if kept is not None:
            self._kept.move_to_end(project)
        return kept

    async def signed_file(self, located: LocatedPage, file: PageFile) -> SignedFile:
        """As ``VerifiedIndex.signed_file``."""
        await in_pool(self._readers, lambda one: self.index.prepare_file(*one), (located, file))
        return await _answered(self._files, (located, file))

    async def _read(self, project: NormalizedName) -> LocatedPage | None:
        # In another thread: a first-use repository asks its index first.
        await in_pool(self._readers, self.index.prepare_page, project)
        signed = await _answered(self._pages, project)
        if signed is None:
            return None
        located = await in_pool(self._readers, self.index.read_page, signed)
        self._kept[project] = located
        self._kept_files += len(located.page.files)
        # The limit counts files and not pages: some pages have ten files, some ten thousand.
        while self._kept_files > _MAX_KEPT_FILES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_files -= len(dropped.page.files)
        return located

    def _signed_pages(
        self, projects: Sequence[NormalizedName]
    ) -> list[SignedPage | Exception | None]:
        self.look_ups += len(projects)
        return self._transport.answers(
            lambda: self.index.prefetch_pages(projects),
            [partial(self.index.signed_page, project) for project in projects],
        )

    def _signed_files(
        self, wanted: Sequence[tuple[LocatedPage, PageFile]]
    ) -> list[SignedFile | Exception]:
        self.look_ups += len(wanted)
        return self._transport.answers(
            lambda: self.index.prefetch_files(wanted),
            [partial(self.index.signed_file, *each) for each in wanted],
        )


async def _answered(questions: Batches[K, T], question: K) -> T:
    """Ask a question, and again whenever a download that it needs has arrived; the answer."""
    while True:
        try:
            return await questions.ask(question)
        except NotYetError as not_yet:
            arrived = asyncio.wrap_future(not_yet.future)
            await asyncio.wait([arrived])
            arrived.exception()  # marked as seen: the next answer raises it again
