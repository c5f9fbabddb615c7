"""The state of one run over one index: its settings, its repository, and the refusals so far."""

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
    """The ``refresh`` that reads no page again."""
    return False


def _silent(line: str) -> None:
    """Say nothing."""


@dataclass
class Site:
    """One index, the repository over it, and the results of this run.

    Attributes:
        folder: The folder of the repository.
        index_url: The URL of the index, perhaps with credentials.
        rules: The user's rules for new files.
        sources: The index, as a list of one source.
        witnesses: The other indexes that have to show the same.
        transport: Reads all of them; it must not leave https.
        pool: The threads for that.
        store: Keeps the files that have to be read for their sha256.
        say: Called with each sentence that people should read.
        refresh: Tells whether a project's page is read again, even if it was read a moment ago.
        believed: The folders of the other first-use repositories that are trusted.
        errors: The errors for projects that may not be installed.
        refused: The errors for files (project and file name) that may not be installed.
        clock_is_said: Whether people have been warned that this machine's clock is wrong.
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
    clock_is_said: bool = False
    _pages: dict[NormalizedName, tuple[Sha256, ProjectPage]] = field(default_factory=dict)

    @cached_property
    def index(self) -> str:
        """The URL of the index as it may be shown."""
        return redact(self.index_url)

    @cached_property
    def remembered(self) -> dict[str, Seen]:
        """The lines of the memory file, by file name; empty if there is none.

        Raises:
            SecurepipError: It cannot be read.
        """
        return read_memory(self.rules.memory) if self.rules.memory is not None else {}

    @property
    def others(self) -> tuple[Path, ...]:
        """The folders of the first-use repositories over other indexes."""
        return other_repositories(self.folder, self.believed)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the lock of all first-use repositories, from ``bound`` until the publication.

        Each repository has its own lock. Without this one, two processes could see a file at two
        indexes at the same time, and neither would find what the other has seen. It is taken while
        the repository's lock is held, and a process that holds it never waits for another lock.

        Raises:
            SecurepipError: Another process holds it for too long.
        """
        lock = FileLock(data_dir() / "first-use.lock", timeout=_TURN_SECONDS, mode=0o600)
        try:
            lock.acquire()
        except Timeout:
            raise SecurepipError(
                "another process has been busy for a long time, signing what another index shows",
                remedy="Try again when it is done.",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def bound(
        self, new: Mapping[NormalizedName, Sequence[PageFile]]
    ) -> dict[tuple[NormalizedName, str], Seen]:
        """The digests that new files must have, because the memory file or another index says so.

        Args:
            new: The files that are new to this repository, by project.

        Returns:
            What was seen, by project and file name.

        Raises:
            SecurepipError: The memory file cannot be read.
            RepositoryStateError: As ``seen_elsewhere``.
        """
        remembered: dict[tuple[NormalizedName, str], Seen] = {}
        rest: dict[NormalizedName, list[PageFile]] = {}
        for project, files in new.items():
            for file in files:
                seen = self.remembered.get(file.filename)
                if seen is None:
                    rest.setdefault(project, []).append(file)
                else:
                    remembered[project, file.filename] = seen
        return {**remembered, **seen_elsewhere(self.others, rest)} if rest else remembered

    def open(self) -> Repository:
        """Open the repository, with all of its keys."""
        return Repository.open(self.folder, reason=Reason(f"first use of {self.index}"))

    def page(self, repository: Repository, project: NormalizedName) -> ProjectPage | None:
        """The signed page of a project; None if it has none. This run parses each page once.

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
        """Remember pages that were signed just now. The lock must be held since then."""
        for page in pages:
            target = repository.roles().target(page_target(page.project))
            if target is not None:
                self._pages[page.project] = parse_sha256(target.hashes["sha256"]), page

    def in_parallel(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Call ``function`` with each item, in threads; the results in order."""
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
    """The site of a first-use repository. The arguments are those of ``Signer``.

    Raises:
        UsageError: The index or a witness is plain http, so that anybody on the way could answer.
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
