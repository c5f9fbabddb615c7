"""What all of one run share: the index, the witnesses, the rules, and what was refused so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from packaging.utils import NormalizedName

from securepip.dirs import data_dir
from securepip.errors import SecurepipError
from securepip.first_use.elsewhere import other_repositories, seen_elsewhere
from securepip.first_use.memory_file import Seen, read_memory
from securepip.formats.digests import Sha256, parse_sha256
from securepip.formats.layout import page_target
from securepip.formats.page import PageFile, ProjectPage
from securepip.index.store import Store
from securepip.signing.overlay.upstream.interface import Source
from securepip.signing.overlay.upstream.sources import open_sources
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.log import Reason
from securepip.transport import Transport, file_url_to_path, redact
from securepip.transport.pool import Pool
from securepip.trust import FirstUseRules, TrustedRepository

_TURN_SECONDS = 60

T = TypeVar("T")
R = TypeVar("R")


def nothing(project: NormalizedName) -> bool:
    """No project."""
    return False


def _silent(line: str) -> None:
    """Say nothing."""


@dataclass
class Site:
    """One index, the repository over it, and what this run found out.

    Attributes:
        folder: Of the repository.
        index_url: The index's address. May hold credentials.
        rules: What the user demands at first sight.
        sources: The index.
        witnesses: Other indexes.
        transport: Asks all of them; it must not leave https.
        pool: The threads in which they are asked.
        store: Where a file is kept that is read for its sha256.
        say: Called with a sentence that people should read.
        refresh: Which pages are asked for however lately they were asked for before.
        believed: The folders of the repositories that this machine believes and signs.
        errors: Why a project may not be looked up.
        refused: Why a file (project, file name) may not be chosen.
    """

    folder: Path
    index_url: str
    rules: FirstUseRules
    sources: list[Source]
    witnesses: list[Source]
    transport: Transport
    pool: Pool
    store: Store
    say: Callable[[str], None] = _silent
    refresh: Callable[[NormalizedName], bool] = nothing
    believed: tuple[Path, ...] = ()
    errors: dict[NormalizedName, SecurepipError] = field(default_factory=dict)
    refused: dict[tuple[NormalizedName, str], SecurepipError] = field(default_factory=dict)
    _pages: dict[NormalizedName, tuple[Sha256, ProjectPage]] = field(default_factory=dict)

    @cached_property
    def index(self) -> str:
        """The index's address, as it may be shown."""
        return redact(self.index_url)

    @cached_property
    def remembered(self) -> dict[str, Seen]:
        """What the memory file says, by file name.

        Raises:
            SecurepipError: It cannot be read.
        """
        return read_memory(self.rules.memory) if self.rules.memory is not None else {}

    @property
    def others(self) -> tuple[Path, ...]:
        """The folders of this machine's repositories over other indexes, the newest too."""
        return other_repositories(self.folder, self.believed)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One index of this machine is believed at a time, from ``bound`` to what is published.

        Each has a repository and a lock of its own. Without this, two processes that see a file
        at one moment, at two indexes, would both find nothing that the other has seen. It is taken
        while the repository's lock is held, and nobody who has it waits for another one.

        Raises:
            SecurepipError: Another process has had it for long.
        """
        lock = FileLock(data_dir() / "first-use.lock", timeout=_TURN_SECONDS, mode=0o600)
        try:
            lock.acquire()
        except Timeout:
            raise SecurepipError(
                "another process has signed for long what it saw at another index",
                remedy="Try again when it is done.",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def bound(
        self, new: Mapping[NormalizedName, Sequence[PageFile]]
    ) -> dict[tuple[NormalizedName, str], Seen]:
        """What files that are new here must be: the memory file or another index knows it.

        Args:
            new: The files, by project.

        Returns:
            What was seen, by project and file name.

        Raises:
            SecurepipError: The memory file cannot be read.
            RepositoryStateError: Another repository of this machine is in an odd state.
        """
        found: dict[tuple[NormalizedName, str], Seen] = {}
        rest: dict[NormalizedName, list[PageFile]] = {}
        for project, files in new.items():
            for file in files:
                seen = self.remembered.get(file.filename)
                if seen is None:
                    rest.setdefault(project, []).append(file)
                else:
                    found[project, file.filename] = seen
        return {**found, **seen_elsewhere(self.others, rest)} if rest else found

    def open(self) -> Repository:
        """The repository, with all of its keys."""
        return Repository.open(self.folder, reason=Reason(f"first use of {self.index}"))

    def page(self, repository: Repository, project: NormalizedName) -> ProjectPage | None:
        """The signed page of a project; one that this run has made is not parsed again.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        target = repository.roles().target(page_target(project))
        if target is None:
            return None
        kept = self._pages.get(project)
        if kept is None or kept[0] != target.hashes["sha256"]:
            page = repository.page(project)
            if page is None:
                return None
            kept = self._pages[project] = parse_sha256(target.hashes["sha256"]), page
        return kept[1]

    def keep_pages(self, repository: Repository, pages: Iterable[ProjectPage]) -> None:
        """Remember the objects of pages that are signed now. The lock is held since they were."""
        for page in pages:
            target = repository.roles().target(page_target(page.project))
            if target is not None:
                self._pages[page.project] = parse_sha256(target.hashes["sha256"]), page

    def in_parallel(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """``function`` of each item, in threads."""
        futures = [self.pool.submit(function, item) for item in items]
        return [future.result() for future in futures]


def open_site(
    repository: TrustedRepository,
    transport: Transport,
    pool: Pool,
    store: Store,
    say: Callable[[str], None],
    refresh: Callable[[NormalizedName], bool] = nothing,
    others: Sequence[TrustedRepository] = (),
) -> Site:
    """The site of a repository of this machine's own, beside which there are others.

    Raises:
        UsageError: The index or a witness could be answered for by anybody on the way.
    """
    if repository.first_use is None:
        raise ValueError(f"{repository.name} is not signed on this machine")
    url, rules = repository.first_use.index_url, repository.first_use.rules
    folder = file_url_to_path(repository.location)
    return Site(
        folder=folder,
        index_url=url,
        rules=rules,
        sources=open_sources((url,), (), transport, refresh),
        witnesses=open_sources(rules.witnesses, (), transport),
        transport=transport,
        pool=pool,
        store=store,
        say=say,
        refresh=refresh,
        believed=tuple(file_url_to_path(each.location) for each in others),
    )
