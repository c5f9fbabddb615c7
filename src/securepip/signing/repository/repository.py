"""A repository on disk, as those who sign see it: opened with its online key, read, and changed.

Rule: ``publish`` is the only way that a page or file becomes current. It writes files, pages,
bins, the snapshot, and last the timestamp, which is the one step that clients notice. A run that
is killed before it leaves the repository as it was; after it, the next run finishes what plain
clients see (``index.html``, ``index.json``, and that revoked files are gone).
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
    """What the maintainers of a project have signed, checked, and to be made current as it is.

    Attributes:
        role: The project's role, signed.
        page: The page that it signs for.
        page_bytes: The bytes of that page, as signed.
        files: Distributions that are new.
    """

    role: Metadata[Targets]
    page: ProjectPage
    page_bytes: bytes
    files: tuple[NewFile, ...] = ()


@dataclass(frozen=True)
class Published:
    """What a ``publish`` changed.

    Attributes:
        projects: The projects whose page or files changed.
        signed: Names of the roles that were signed, for example ``bin-3f`` or ``timestamp``;
            empty when nothing had changed.
    """

    projects: tuple[NormalizedName, ...] = ()
    signed: tuple[str, ...] = ()


class Repository:
    """A repository whose roles can be signed here, as far as keys are at hand.

    A context manager: leaving it closes the ledger.

    Attributes:
        address: Where it is, as people type it.
        home: A folder of this machine that is not served, for what is under way.
        storage: What it serves.
        state: What it remembers.
        config: Its settings.
        ledger: Its memory.
        keys: Where its signers come from.
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
        """The repository that is there.

        Args:
            where: Its folder, or where else ``create`` made it.
            keys: Folders to look for keys in before the places where ``create`` put them.
            passphrase: Called when an encrypted key is to be used.
            pin: Called when a device is to sign; without it, ``passphrase`` is.
            reason: What the log is to say of the reason for what is signed.

        Raises:
            RepositoryStateError: No repository there. (Keys are loaded when they are needed.)
        """
        site = FolderSite(where) if isinstance(where, Path) else where
        with ExitStack() as opened:
            state = opened.enter_context(closing(site.open()))
            config = state.settings()
            found = cls(site, state, config, KeyRing(keys, config.signers, passphrase, pin=pin))
            found.log.reason = reason or Reason()
            opened.pop_all()
        return found

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_error: object) -> None:
        self.state.close()

    @contextmanager
    def lock(self, *, finish: bool = True, moving_to: Site | None = None) -> Iterator[None]:
        """Let no other process change the repository meanwhile. May be nested.

        What a killed run left unfinished is finished first, unless the state is to be replaced.
        A repository that is somewhere else by now is left alone, except by who is moving it there.

        Raises:
            RepositoryStateError: Another process holds it for more than a minute, the disk or
                database fails meanwhile, or the repository was moved.
        """
        with self.state.lock() as outermost, ExitStack() as held:
            try:
                with self._ending() if outermost else nullcontext():
                    if outermost:
                        held.enter_context(self._current.held())
                        # Another process may have replaced a key meanwhile.
                        self.config = self.state.settings()
                        _check_here(self.config, self._site, moving_to)
                        self.keys.remember(self.config.signers)
                        self.storage.clear()
                        if finish:
                            self._plain.follow()
                    yield
            except StorageError:
                raise  # it says more of itself
            except (OSError, sqlite3.Error) as error:
                raise RepositoryStateError(
                    f"{self.storage.address} cannot be changed: {error}",
                    meaning="The disk may be full, or somebody else's.",
                    remedy="What was current still is. Run the same command again.",
                ) from error

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Return when all is written; where it fails, when nothing is being written any more.

        Who has the lock next must not have his own replaced by what comes late.
        """
        try:
            yield
            self.storage.settle()
        except BaseException:
            self._contents.writing.end()
            self.storage.clear()
            raise

    def roles(self) -> Roles:
        """The current signed roles, verified; read again when the timestamp has changed.

        Raises:
            RepositoryStateError: What is on disk is not what was signed, or it is a state from
                before what was signed last.
        """
        return self._current.roles()

    def projects(self) -> list[NormalizedName]:
        """All projects that have a page, sorted."""
        return self.known().projects()

    def known(self) -> Known:
        """As ``Current.known``: what is current, looked up and not read."""
        return self._current.known()

    def rebuild_known(self) -> list[str]:
        """As ``Current.rebuild_known``; the lock must be held."""
        return self._current.rebuild_known()

    def show_all(self) -> None:
        """Let the list of all projects be what is signed. The lock must be held."""
        self._plain.follow(whole=True)

    def page(self, project: NormalizedName) -> ProjectPage | None:
        """The signed page of ``project``, verified, or None when there is none.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        sha256 = self.known().page(project)
        return None if sha256 is None else self._contents.page(project, sha256)

    def signed_page(self, project: NormalizedName) -> SignedPage | None:
        """As ``page``, and read when it is wanted."""
        sha256 = self.known().page(project)
        return None if sha256 is None else self._contents.signed(project, sha256)

    def ask_for(self, projects: Iterable[NormalizedName]) -> None:
        """Have the pages of these projects at hand, where asking for one takes its time."""
        self._contents.ask_for(projects, self.known())

    def publish(
        self,
        pages: Mapping[NormalizedName, ProjectPage | None],
        files: Sequence[NewFile] = (),
    ) -> Published:
        """Make ``pages`` the current pages of their projects; None removes a project.

        Projects that are not mentioned stay as they are, and so does a page that is equal to the
        current one: it costs no signature, unless some of its files have no targets yet. Takes the
        lock by itself.

        Raises:
            RepositoryStateError: A page offers a file name that was signed before with another
                sha256 (the ledger now holds the refusal), a file that was revoked, or a file of
                this repository that is neither in ``files`` nor there already; or a project signs
                for itself. Nothing changed.
            FormatError: A page offers a file whose name is none of a distribution.
        """
        with self.lock():
            batch = self.batch()
            batch.stage(pages, files)
            projects = tuple(project for project in pages if project in batch)
            return Published(projects, self.commit(batch))

    def batch(self) -> Batch:
        """Changes that are staged one after the other, for ``commit``. The lock must be held."""
        return Batch(self._contents, self.ledger, self._current, self.check_unclaimed)

    def commit(self, batch: Batch) -> tuple[str, ...]:
        """As ``Batch.commit``; then let plain clients see it."""
        signed = batch.commit()
        self._plain.follow()
        return signed

    def serves(self, path: Path) -> bool:
        """As ``Site.serves``."""
        return self._site.serves(path)

    def check(
        self, page: ProjectPage | None, current: ProjectPage | None, files: Sequence[NewFile]
    ) -> None:
        """See to it that ``page`` may follow the current one; raises as ``publish``."""
        if page is not None:
            check_page(page, current, files, self.ledger, self._contents)

    def check_unclaimed(self, project: NormalizedName) -> None:
        """See to it that the repository signs for ``project``.

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

        What the bins said of them before is taken out in the same snapshot.

        Args:
            projects: Checked: by whom each is signed, and that role, page and files agree.
            changed: Roles to be signed here in the same snapshot: those that hold the claims.
            finished: Roles that were signed elsewhere, and checked.

        Raises:
            RepositoryStateError: As ``publish``. Nothing changed.
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
        """Write a page that nothing current mentions yet, and say what to sign; with the lock."""
        data = page.to_json() if written is None else written
        sha256 = self._contents.place_page(page.project, data)
        return TargetFile(len(data), {"sha256": sha256}, page_target(page.project))

    def finish(self, projects: Iterable[NormalizedName]) -> None:
        """Make what plain clients see of ``projects`` what is signed. The lock must be held."""
        self.ledger.begin(projects)
        self._plain.follow()

    def set_signers(self, signers: Mapping[str, str]) -> None:
        """Remember where private keys are, by key id. The lock must be held."""
        self.config = replace(self.config, signers=dict(signers))
        self.state.keep_settings(self.config)
        self.keys.remember(signers)


def _check_here(config: Config, site: Site, moving_to: Site | None) -> None:
    place, memory = config.moved_to or site.address, config.remembered_in
    there = moving_to and (moving_to.address, moving_to.memory)
    if not config.is_away(site.address) or (place, memory or site.memory) == there:
        return
    is_known = "://" in memory
    known, which = (f", with --database, which is {memory}", f" --to-database {memory}")
    raise RepositoryStateError(
        f"the repository in {site.address} was moved to "
        f"{place if place != site.address else f'what is remembered in {memory}'}",
        meaning="What is here stays valid for a while, but nothing more is signed here.",
        remedy=f"Name {place} instead{known if is_known else ''}. If it was not moved to its end, "
        f"this goes on: securepip repo move {shlex.quote(site.address)} {shlex.quote(place)}"
        f"{which if is_known else ''}",
    )
