"""``Repository``: opens a repository for the signing side, reads it, and changes it.

Rule: a change writes files, pages, bins, the snapshot, and last the timestamp. Clients notice only
that last step. If a run is killed before it, the repository is as it was. If it is killed after it,
the next run completes the plain view (``index.html``, ``index.json``, and the deletion of revoked
files).
"""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import NormalizedName
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256
from securepip.formats.layout import page_target, project_role
from securepip.formats.page import ProjectPage
from securepip.signing.keys.ring import KeyRing, Passphrase, no_passphrase
from securepip.signing.repository.bins import Changes
from securepip.signing.repository.commit import Committer
from securepip.signing.repository.config import Config
from securepip.signing.repository.current import Current
from securepip.signing.repository.pages.batch import Batch
from securepip.signing.repository.pages.contents import Contents, NewFile, SignedPage
from securepip.signing.repository.pages.edits import (
    apply_edits,
    check_page,
    digests_of,
    signed_files,
)
from securepip.signing.repository.pages.plain import HTML_NAME, PlainView
from securepip.signing.repository.roles import Roles
from securepip.signing.repository.site import FolderSite, Site
from securepip.signing.repository.state.interface import State
from securepip.signing.repository.state.known import Known
from securepip.signing.repository.state.log import Reason
from securepip.signing.repository.storage.interface import StorageError

__all__ = ["HTML_NAME", "NewFile", "Published", "Repository", "SignedProject"]


@dataclass(frozen=True)
class SignedProject:
    """What the maintainers of a project have signed. It was checked, and is published as it is.

    Attributes:
        role: The project's signed role.
        page: The page that the role signs.
        page_bytes: The signed bytes of the page.
        files: The new distributions.
    """

    role: Metadata[Targets]
    page: ProjectPage
    page_bytes: bytes
    files: tuple[NewFile, ...] = ()


@dataclass(frozen=True)
class Published:
    """The result of a ``publish``.

    Attributes:
        projects: The projects whose page or files changed.
        signed: The names of the roles that were signed, for example ``bin-3f`` or ``timestamp``;
            empty if nothing had changed.
    """

    projects: tuple[NormalizedName, ...] = ()
    signed: tuple[str, ...] = ()


class Repository:
    """A repository whose roles can be signed with the keys at hand.

    It is a context manager that closes the repository's memory at the end.

    Attributes:
        address: Its address, as people type it.
        home: A folder on this machine that is not served, for unfinished work.
        storage: The files that it serves.
        state: Its memory.
        config: Its settings.
        ledger: The part of its memory about files, pages and revocations.
        keys: Finds its signers.
        log: What was signed, when, with which keys, and why.
    """

    def __init__(self, site: Site, state: State, config: Config, keys: KeyRing) -> None:
        self._site = site
        self.address = site.address
        self.home = site.home
        self.storage = storage = site.storage
        self.state = state
        self.config = config
        self.ledger = state.ledger
        self.keys = keys
        self.log = state.log
        self._committer = Committer(storage, config.expiry, keys, self.log, self.ledger.flush)
        self._current = Current(storage, config.root_sha256, self.ledger, self._committer)
        self._contents = Contents(storage)
        self._plain = PlainView(self._contents, self.ledger, self._current.known)

    @classmethod
    def open(
        cls,
        where: Path | Site,
        *,
        keys: Iterable[Path] = (),
        passphrase: Passphrase = no_passphrase,
        pin: Passphrase | None = None,
        reason: Reason | None = None,
    ) -> Repository:
        """Open a repository. Its keys are loaded when they are needed.

        Args:
            where: Its folder, or another place where ``create`` made it.
            keys: Folders that are searched for keys before those where ``create`` put them.
            passphrase: Called when an encrypted key is used.
            pin: Called when a device signs; None to call ``passphrase`` for that.
            reason: The reason that the log gives for what is signed.

        Raises:
            RepositoryStateError: There is no repository, or its memory is damaged.
        """
        site = FolderSite(where) if isinstance(where, Path) else where
        with ExitStack() as opened:
            state = opened.enter_context(closing(site.open()))
            config = state.settings()
            ring = KeyRing(keys, config.signers, passphrase, pin=pin)
            repository = cls(site, state, config, ring)
            repository.log.reason = reason or Reason()
            opened.pop_all()
        return repository

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_error: object) -> None:
        self.state.close()

    @contextmanager
    def lock(self, *, finish: bool = True, moving_to: Site | None = None) -> Iterator[None]:
        """Keep other processes from changing the repository. It may be nested.

        Args:
            finish: Whether to complete the plain view first, if a killed run has not.
            moving_to: The place that the repository is being moved to; None if it is not.

        Raises:
            RepositoryStateError: Another process holds the lock for more than a minute, the disk or
                database fails, or the repository was moved to another place than ``moving_to``.
        """
        with self.state.lock() as outermost, ExitStack() as held:
            try:
                with self._ending() if outermost else nullcontext():
                    if outermost:
                        held.enter_context(self._current.held())
                        # Another process may have replaced a key since this one was opened.
                        self.config = self.state.settings()
                        _check_here(self.config, self._site, moving_to)
                        self.keys.remember(self.config.signers)
                        self.storage.clear()
                        if finish:
                            self._plain.follow()
                    yield
            except StorageError:
                raise  # its own message says more
            except (OSError, sqlite3.Error) as error:
                raise RepositoryStateError(
                    f"{self.storage.address} cannot be changed: {error}",
                    meaning="The disk may be full, or somebody else's.",
                    remedy="What was current still is. Run the same command again.",
                ) from error

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """At the end of the block, wait until all files are written, also after an error.

        Otherwise a late write could replace a file of the process that has the lock next.
        """
        try:
            yield
            self.storage.settle()
        except BaseException:
            self._contents.writing.end()
            self.storage.clear()
            raise

    def roles(self) -> Roles:
        """The current signed roles, verified: see ``Current.roles``."""
        return self._current.roles()

    def projects(self) -> list[NormalizedName]:
        """All projects that have a page, sorted."""
        return self.known().projects()

    def known(self) -> Known:
        """The look-up tables of the current state: see ``Current.known``."""
        return self._current.known()

    def rebuild_known(self) -> list[str]:
        """As ``Current.rebuild_known``; the lock must be held."""
        return self._current.rebuild_known()

    def show_all(self) -> None:
        """Update the whole plain view, the list of all projects included. The lock must be held."""
        self._plain.follow(whole=True)

    def page(self, project: NormalizedName) -> ProjectPage | None:
        """The signed page of ``project``, verified; None if there is none.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        sha256 = self.known().page(project)
        return None if sha256 is None else self._contents.page(project, sha256)

    def signed_page(self, project: NormalizedName) -> SignedPage | None:
        """As ``page``, but the page is read only when it is needed."""
        sha256 = self.known().page(project)
        return None if sha256 is None else self._contents.signed(project, sha256)

    def ask_for(self, projects: Iterable[NormalizedName]) -> None:
        """Fetch the pages of these projects in parallel, if the storage is slow."""
        self._contents.ask_for(projects, self.known())

    def publish(
        self,
        pages: Mapping[NormalizedName, ProjectPage | None],
        files: Sequence[NewFile] = (),
    ) -> Published:
        """Make pages and files current, in one snapshot. It takes the lock by itself.

        Args:
            pages: The new page of each project; None removes a project. A page that is equal to the
                current one costs no signature, unless some of its files have no targets yet.
                Projects that are not mentioned stay as they are.
            files: The new distributions on these pages.

        Raises:
            RepositoryStateError: A page lists a file name that was signed before with another
                sha256 (the ledger remembers that), a file that was revoked, or one of this
                repository that is neither here nor in ``files``; or a project signs for itself.
                Nothing has changed.
            FormatError: A page lists a file whose name is not that of a distribution.
        """
        with self.lock():
            batch = self.batch()
            batch.stage(pages, files)
            projects = tuple(project for project in pages if project in batch)
            return Published(projects, self.commit(batch))

    def batch(self) -> Batch:
        """A new batch of changes, for ``commit``. The lock must be held."""
        return Batch(self._contents, self.ledger, self._current, self.check_unclaimed)

    def commit(self, batch: Batch) -> tuple[str, ...]:
        """Commit a batch (see ``Batch.commit``), and update the plain view."""
        signed = batch.commit()
        self._plain.follow()
        return signed

    def serves(self, path: Path) -> bool:
        """As ``Site.serves``."""
        return self._site.serves(path)

    def check(
        self, page: ProjectPage | None, current: ProjectPage | None, files: Sequence[NewFile]
    ) -> None:
        """Check that ``page`` may replace the current one; it raises as ``publish`` does."""
        if page is not None:
            check_page(page, current, files, self.ledger, self._contents)

    def check_unclaimed(self, project: NormalizedName) -> None:
        """Check that the repository signs for ``project``.

        Raises:
            RepositoryStateError: The project signs for itself.
        """
        if self.roles().claim(project) is not None:
            raise RepositoryStateError(
                f"{project} signs for itself: this repository's keys cannot change it",
                remedy="Its maintainers make a transaction with `securepip sign`, which "
                f"`securepip repo accept` publishes. To publish nothing more of it meanwhile:\n"
                f"securepip repo freeze {shlex.quote(self.address)} {project}",
            )

    def publish_signed(
        self,
        projects: Sequence[SignedProject],
        changed: Mapping[str, Metadata[Targets]] | None = None,
        finished: Mapping[str, Metadata[Targets]] | None = None,
    ) -> Published:
        """Make what projects have signed themselves current, all of it in one snapshot.

        The same snapshot removes the targets of these projects from the bins.

        Args:
            projects: The projects. The caller has checked their signatures, and that role, page and
                files agree.
            changed: Roles to sign here in the same snapshot, by name: those that hold the claims.
            finished: Further roles that were signed elsewhere and checked, by name.

        Raises:
            RepositoryStateError: As ``publish``. Nothing has changed.
        """
        with self.lock():
            in_bins: dict[str, TargetFile | None] = {}
            for each in projects:
                project = each.page.project
                current = self.page(project)
                self.check(each.page, current, each.files)
                for file in each.files:
                    self._contents.place(file, each.page)
                self._contents.place_page(project, each.page_bytes)
                if self.roles().claim(project) is None:
                    in_bins |= dict.fromkeys([*signed_files(current), page_target(project)])
            self.ledger.record(one for each in projects for one in digests_of(each.page))
            self.ledger.begin([each.page.project for each in projects])
            signed = self.sign(
                {**(changed or {}), **apply_edits(self.roles(), in_bins)},
                {
                    **(finished or {}),
                    **{project_role(each.page.project): each.role for each in projects},
                },
            )
            self._plain.follow()
            return Published(tuple(each.page.project for each in projects), signed)

    def sign(
        self,
        changed: Mapping[str, Metadata[Targets]],
        finished: Mapping[str, Metadata[Targets]] | None = None,
        base: Roles | None = None,
        bins: Changes = (),
    ) -> tuple[str, ...]:
        """As ``Current.sign``; the lock must be held."""
        return self._current.sign(changed, finished, base, bins)

    def renew_timestamp(self) -> tuple[str, ...]:
        """As ``Current.renew_timestamp``; the lock must be held."""
        return self._current.renew_timestamp()

    def sign_root(self) -> None:
        """As ``Current.sign_root``; the lock must be held."""
        self._current.sign_root()

    def write_root(self, root: Metadata[Root], base: Roles | None = None) -> None:
        """As ``Current.write_root``; the lock must be held."""
        self._current.write_root(root, base)

    def restore_file(self, path: str, sha256: Sha256, copy: Path) -> bool:
        """As ``Contents.restore``."""
        return self._contents.restore(path, sha256, copy)

    def write_page(self, page: ProjectPage, written: bytes | None = None) -> TargetFile:
        """Write a page that no role mentions yet; the target to sign. The lock must be held."""
        data = page.to_json() if written is None else written
        sha256 = self._contents.place_page(page.project, data)
        return TargetFile(len(data), {"sha256": sha256}, page_target(page.project))

    def finish(self, projects: Iterable[NormalizedName]) -> None:
        """Update the plain view of ``projects``. The lock must be held."""
        self.ledger.begin(projects)
        self._plain.follow()

    def set_signers(self, signers: Mapping[str, str]) -> None:
        """Remember where private keys are, by key id. The lock must be held."""
        self.config = replace(self.config, signers=dict(signers))
        self.state.keep_settings(self.config)
        self.keys.remember(signers)


def _check_here(config: Config, site: Site, moving_to: Site | None) -> None:
    place, memory = config.moved_to or site.address, config.remembered_in
    target = moving_to and (moving_to.address, moving_to.memory)
    if not config.is_away(site.address) or (place, memory or site.memory) == target:
        return
    # What a bucket remembers is in the bucket: its memory has the bucket's own address.
    is_known = "://" in memory and memory != place
    known, which = (f", with --database, which is {memory}", f" --to-database {memory}")
    raise RepositoryStateError(
        f"the repository in {site.address} was moved to "
        f"{place if place != site.address else f'what is remembered in {memory}'}",
        meaning="What is here stays valid for a while, but nothing more is signed here.",
        remedy=f"Name {place} instead{known if is_known else ''}. If it was not moved to its end, "
        f"this goes on: securepip repo move {shlex.quote(site.address)} {shlex.quote(place)}"
        f"{which if is_known else ''}",
    )
