"""A repository on disk, as those who sign see it: opened with its online key, read, and changed.

Rule: ``publish`` is the only way that a page or file becomes current. It writes files, pages,
bins, the snapshot, and last the timestamp, which is the one step that clients notice. A run that
is killed before it leaves the repository as it was; after it, the next run finishes what plain
clients see (``index.html``, ``index.json``, and that revoked files are gone).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout
from packaging.utils import NormalizedName
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, parse_sha256, sha256_of
from securepip.formats.layout import (
    METADATA_DIR,
    METADATA_SUFFIX,
    PACKAGES_DIR,
    PAGE_NAME,
    SIMPLE_DIR,
    consistent_path,
    file_target,
    page_target,
    project_role,
    relative_file_url,
)
from securepip.formats.page import PageFile, ProjectPage, parse_page
from securepip.signing.keys.ring import KeyRing, Passphrase, no_passphrase
from securepip.signing.repository import listing
from securepip.signing.repository.commit import Committer
from securepip.signing.repository.config import (
    CONFIG_NAME,
    LEDGER_NAME,
    LOCK_NAME,
    LOG_NAME,
    STATE_DIR,
    UNFINISHED_DIR,
    Config,
    load_config,
)
from securepip.signing.repository.files import Writer, has_sha256
from securepip.signing.repository.ledger import Ledger
from securepip.signing.repository.log import Log
from securepip.signing.repository.roles import TIMESTAMP_NAME, Roles

HTML_NAME = "index.html"
_LOCK_SECONDS = 60


@dataclass(frozen=True)
class NewFile:
    """A distribution of this machine that is to be copied into the repository.

    Its page must offer it under ``layout.relative_file_url`` with the sha256 and size of ``path``.

    Attributes:
        project: The project it belongs to.
        filename: Its distribution name.
        path: Where it is now.
        core_metadata: What is published as its ``.metadata``; None for no such file. Its sha256
            must be the page's ``core_metadata``.
    """

    project: NormalizedName
    filename: str
    path: Path
    core_metadata: bytes | None = None


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
        folder: Where it is.
        config: Its settings.
        ledger: Its memory.
        keys: Where its signers come from.
        log: What was signed, when, with which keys, and why.
    """

    def __init__(self, folder: Path, config: Config, ledger: Ledger, keys: KeyRing) -> None:
        self.folder = folder
        self.config = config
        self.ledger = ledger
        self.keys = keys
        self._lock = FileLock(folder / STATE_DIR / LOCK_NAME, timeout=_LOCK_SECONDS)
        self._writer = Writer(folder / STATE_DIR / UNFINISHED_DIR)
        self.log = Log(folder / STATE_DIR / LOG_NAME)
        self._committer = Committer(
            folder / METADATA_DIR, self._writer, config.expiry, keys, self.log
        )
        self._roles: tuple[bytes, Roles] | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        keys: Iterable[Path] = (),
        passphrase: Passphrase = no_passphrase,
        pin: Passphrase | None = None,
        why: str = "",
    ) -> Repository:
        """The repository in ``folder``.

        Args:
            folder: Made by ``create``.
            keys: Folders to look for keys in before the places where ``create`` put them.
            passphrase: Called when an encrypted key is to be used.
            pin: Called when a device is to sign; without it, ``passphrase`` is.
            why: What the log is to say of the reason for what is signed.

        Raises:
            RepositoryStateError: No repository there. (Keys are loaded when they are needed.)
        """
        folder = folder.absolute()
        config = load_config(folder)
        ledger = Ledger(folder / STATE_DIR / LEDGER_NAME)
        ring = KeyRing(keys, config.signers, passphrase, pin=pin)
        repository = cls(folder, config, ledger, ring)
        repository._committer.why = why
        return repository

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_error: object) -> None:
        self.ledger.close()

    @contextmanager
    def lock(self, *, finish: bool = True) -> Iterator[None]:
        """Let no other process change the repository meanwhile. May be nested.

        What a killed run left unfinished is finished first, unless the state is to be replaced.

        Raises:
            RepositoryStateError: Another process holds it for more than a minute, or the disk or
                database fails meanwhile.
        """
        try:
            self._lock.acquire()
        except Timeout:
            raise RepositoryStateError(
                f"another process is changing {self.folder}", remedy="Try again when it is done."
            ) from None
        try:
            if self._lock.lock_counter == 1:
                # Another process may have replaced a key meanwhile.
                self.config = load_config(self.folder)
                self.keys.remember(self.config.signers)
                self._writer.clear()
                if finish:
                    self._finish()
            yield
        except (OSError, sqlite3.Error) as error:
            raise RepositoryStateError(
                f"{self.folder} cannot be changed: {error}",
                meaning="The disk may be full, or somebody else's.",
                remedy="What was current still is. Run the same command again.",
            ) from error
        finally:
            self._lock.release()

    def roles(self) -> Roles:
        """The current signed roles, verified; read again when the timestamp has changed.

        Raises:
            RepositoryStateError: What is on disk is not what was signed, or it is a state from
                before what was signed last.
        """
        # Before the file is read: another process may sign between these two steps.
        known = self.ledger.current()
        try:
            timestamp = (self.folder / METADATA_DIR / TIMESTAMP_NAME).read_bytes()
        except OSError as error:
            raise RepositoryStateError(
                f"{self.folder} has no {TIMESTAMP_NAME}: {error.strerror}"
            ) from None
        if self._roles is not None:
            newer = self._roles[1].root.signed.version + 1
            if (self.folder / METADATA_DIR / f"{newer}.root.json").exists():
                self._roles = None
        if self._roles is None or self._roles[0] != timestamp:
            roles = Roles(self.folder / METADATA_DIR, self.config.root_sha256)
            self._check_current(roles, known)
            self._roles = timestamp, roles
        return self._roles[1]

    def _check_current(self, roles: Roles, known: tuple[int, int]) -> None:
        """See to it that nobody has put an older state back, which was signed in its time.

        Signing on top of it would undo revocations, and give its numbers to other contents.
        """
        found = roles.root.signed.version, roles.timestamp.signed.version
        for name, version, newest in zip(("root", "timestamp"), found, known, strict=True):
            if version < newest:
                raise RepositoryStateError(
                    f"{self.folder}: the {name} is of version {version}, but version {newest} was "
                    "signed here",
                    meaning="Somebody put back an older state of the folders that are served, or "
                    "a backup of them was restored. Clients that saw the newer one refuse it.",
                    remedy="Put the newest state back. If it is lost, or somebody had a hand in "
                    "it, `securepip repo recover` makes a new one that clients accept.",
                )

    def _remember_current(self, roles: Roles) -> None:
        self.ledger.set_current(roles.root.signed.version, roles.timestamp.signed.version)

    def projects(self) -> list[NormalizedName]:
        """All projects that have a page, sorted."""
        return sorted(
            NormalizedName(entry.name)
            for entry in (self.folder / SIMPLE_DIR).iterdir()
            if (entry / PAGE_NAME).exists()
        )

    def page(self, project: NormalizedName) -> ProjectPage | None:
        """The signed page of ``project``, verified, or None when there is none.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        sha256 = self._page_sha256(project)
        if sha256 is None:
            return None
        path = self.folder / consistent_path(page_target(project), sha256)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RepositoryStateError(f"{path} cannot be read: {error.strerror}") from None
        if sha256_of(data) != sha256:
            raise RepositoryStateError(
                f"{path} is not the page that was signed",
                meaning="Somebody or something changed the repository's files.",
                remedy="Find out who, and restore the file from a backup.",
            )
        return parse_page(data, project)

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
            for project in pages:
                self.check_unclaimed(project)
            current = {project: self.page(project) for project in pages}
            for project, page in pages.items():
                if page is not None:
                    self._check(project, page, current[project], files)
            for file in files:
                self._place(file, pages.get(file.project))
            partial = self.ledger.partial()
            changed = [
                project
                for project in pages
                if pages[project] != current[project] or project in partial
            ]
            if not changed:
                return Published()
            edits: dict[str, TargetFile | None] = {}
            for project in changed:
                edits |= self._edits(current[project], pages[project], anew=project in partial)
            self._remember(changed, pages)
            signed = self.sign(self._apply(edits))
            self.ledger.complete(changed)
            self._finish()
            return Published(tuple(changed), signed)

    def keep(self, path: Path, source: Path) -> None:
        """Make the contents of ``source`` those of ``path``, which appears whole or not at all."""
        self._writer.write(path, source.read_bytes())

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
                f"securepip repo freeze {self.folder} {project}",
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
                self._check(project, each.page, current, each.files)
                for file in each.files:
                    self._place(file, each.page)
                self._place_page(project, each.page_bytes)
                if self.roles().claim(project) is None:
                    paths = [*_files_signed_for(current), page_target(project)]
                    in_bins |= dict.fromkeys(paths)
            self._remember(
                [each.page.project for each in projects],
                {each.page.project: each.page for each in projects},
            )
            signed = self.sign(
                {**(changed or {}), **self._apply(in_bins)},
                {
                    **(finished or {}),
                    **{project_role(each.page.project): each.role for each in projects},
                },
            )
            self._finish()
            return Published(tuple(each.page.project for each in projects), signed)

    def sign(
        self,
        changed: Mapping[str, Metadata[Targets]],
        finished: Mapping[str, Metadata[Targets]] | None = None,
        base: Roles | None = None,
    ) -> tuple[str, ...]:
        """Sign ``changed`` roles anew, then snapshot and timestamp; the lock must be held.

        ``finished`` roles were signed elsewhere and checked: they become current as they are.
        ``base`` is what the new state follows, where that is not the current one.

        Returns:
            The names of the roles that were signed.

        Raises:
            RepositoryStateError: A key is not here. What was current still is.
        """
        roles = base or self.roles()
        try:
            signed = self._committer.commit(
                roles.root.signed,
                roles.timestamp,
                roles.snapshot,
                changed,
                lambda name: roles.delegator(name, {**(finished or {}), **changed}),
                roles.repository,
                finished,
            )
            self._remember_current(roles)
        finally:
            # Signing changes these objects: they are read anew, whatever happened.
            self._roles = None
        return signed

    def renew_timestamp(self) -> tuple[str, ...]:
        """Sign the timestamp anew, which says that nothing has changed; the lock must be held.

        Raises:
            RepositoryStateError: Its key is not here.
        """
        roles = self.roles()
        try:
            self._committer.renew_timestamp(roles.root.signed, roles.timestamp)
            self._remember_current(roles)
        finally:
            self._roles = None
        return ("timestamp",)

    def sign_root(self) -> None:
        """Sign the next version of root with the keys of the current one; the lock must be held.

        Raises:
            RepositoryStateError: Fewer root keys than its threshold are here.
        """
        roles = self.roles()
        try:
            roles.root.signed.version += 1
            self._committer.sign_root(roles.root, roles.root.signed, roles.timestamp.signed)
            self._remember_current(roles)
        finally:
            self._roles = None

    def write_root(self, root: Metadata[Root], base: Roles | None = None) -> None:
        """Make ``root`` the current one; it is signed and checked. The lock must be held.

        ``base`` is what the state follows, where that is not the current one.

        Raises:
            RepositoryStateError: The log is not what was written.
        """
        timestamp = (base or self.roles()).timestamp.signed
        self._committer.write_root(root, timestamp)
        self._roles = None
        self.ledger.set_current(root.signed.version, timestamp.version)

    def restore_file(self, path: str, sha256: Sha256, copy: Path) -> bool:
        """See to it that a target is here with its bytes, from the repository ``copy`` if not.

        Args:
            path: Its target path, or that of a ``.metadata`` file beside one.
            sha256: Its digest.
            copy: The folder of another copy of the repository.

        Returns:
            Whether it is here now.
        """
        twin = self.folder / consistent_path(path, sha256)
        if not has_sha256(twin, sha256):
            sources = (copy / consistent_path(path, sha256), copy / path, self.folder / path)
            source = next((each for each in sources if has_sha256(each, sha256)), None)
            if source is None:
                return False
            self._writer.copy(source, twin, sha256)
        self._show_plainly(twin, self.folder / path, sha256)
        return True

    def write_page(self, page: ProjectPage) -> TargetFile:
        """Write a page under names that nothing current mentions yet, and say what is to be signed.

        The lock must be held.
        """
        data = page.to_json()
        sha256 = self._place_page(page.project, data)
        return TargetFile(len(data), {"sha256": sha256}, page_target(page.project))

    def finish(self, projects: Iterable[NormalizedName]) -> None:
        """Make what plain clients see of ``projects`` what is signed. The lock must be held."""
        self.ledger.begin(projects)
        self._finish()

    def set_signers(self, signers: Mapping[str, str]) -> None:
        """Remember where private keys are, by key id. The lock must be held."""
        self.config = replace(self.config, signers=dict(signers))
        path = self.folder / STATE_DIR / CONFIG_NAME
        self._writer.write(path, self.config.to_json(), durable=True)
        self.keys.remember(signers)

    def _check(
        self,
        project: NormalizedName,
        page: ProjectPage,
        current: ProjectPage | None,
        files: Sequence[NewFile],
    ) -> None:
        if page.project != project:
            raise RepositoryStateError(f"the page of {page.project} cannot be that of {project}")
        known = self.ledger.known(project)
        coming = {file.filename for file in files if file.project == project}
        for file in page.files:
            # Published files are immutable: who pinned a release must never get another one.
            if known.get(file.filename, file.sha256) != file.sha256:
                self.ledger.refuse(project, file.filename, file.sha256)
                raise RepositoryStateError(
                    f"{file.filename} was signed before with other bytes",
                    meaning=f"sha256 then: {known[file.filename]}\nsha256 now:  {file.sha256}",
                    remedy="Give the new build a new version or build number. If you know better: "
                    f"securepip repo accept-change {self.folder} {file.filename}",
                )
            if self.ledger.is_withdrawn(project, file.filename):
                raise RepositoryStateError(
                    f"{file.filename} was removed from this repository",
                    remedy="With --restore it can be published again.",
                )
            if file.url == relative_file_url(project, file.filename):
                before = current.file(file.filename) if current else None
                if before and before.sha256 != file.sha256 and before.url == file.url:
                    raise RepositoryStateError(
                        f"{file.filename} is here with other bytes",
                        remedy=f"securepip repo remove {self.folder} {file.filename}",
                    )
                if file.filename not in coming and not self._twin(project, file).exists():
                    raise RepositoryStateError(f"{file.filename} is not in this repository")

    def _place(self, new: NewFile, page: ProjectPage | None) -> None:
        """Copy a distribution in, under names that nothing current mentions yet."""
        file = page.file(new.filename) if page else None
        if file is None or file.url != relative_file_url(new.project, new.filename):
            raise RepositoryStateError(f"no page offers {new.filename}")
        if new.path.stat().st_size != file.size:
            raise RepositoryStateError(f"{new.path} is not of {file.size} bytes, as its page says")
        twin = self._twin(new.project, file)
        if not has_sha256(twin, file.sha256):
            self._writer.copy(new.path, twin, file.sha256)
        self._show_plainly(twin, twin.with_name(new.filename), file.sha256)
        metadata = new.core_metadata
        if (None if metadata is None else sha256_of(metadata)) != file.core_metadata:
            raise RepositoryStateError(f"the metadata of {new.filename} is not that of its page")
        if metadata is None or file.core_metadata is None:
            return
        name = new.filename + METADATA_SUFFIX
        twin = twin.with_name(f"{file.core_metadata}.{name}")
        if not has_sha256(twin, file.core_metadata):
            self._writer.write(twin, metadata)
        self._show_plainly(twin, twin.with_name(name), file.core_metadata)

    def _show_plainly(self, twin: Path, plain: Path, sha256: Sha256) -> None:
        """Give ``twin`` its name without digest too."""
        if not (plain.exists() and plain.samefile(twin)) and not has_sha256(plain, sha256):
            self._writer.link(twin, plain, sha256)

    def _twin(self, project: NormalizedName, file: PageFile) -> Path:
        return self.folder / consistent_path(file_target(project, file.filename), file.sha256)

    def _edits(
        self, before: ProjectPage | None, after: ProjectPage | None, *, anew: bool = False
    ) -> dict[str, TargetFile | None]:
        """Write the new page and say which target paths change; None takes one away.

        ``anew``: what the current page names may have no target.
        """
        old, new = _files_signed_for(before), _files_signed_for(after)
        if after is not None:
            path = page_target(after.project)
            data = after.to_json()
            new[path] = len(data), self._place_page(after.project, data)
        edits: dict[str, TargetFile | None] = dict.fromkeys(old.keys() - new.keys())
        if before is not None and after is None:
            edits[page_target(before.project)] = None
        for path, (length, sha256) in new.items():
            if anew or old.get(path) != (length, sha256):
                edits[path] = TargetFile(length, {"sha256": sha256}, path)
        return edits

    def _place_page(self, project: NormalizedName, data: bytes) -> Sha256:
        sha256 = sha256_of(data)
        self._write_changed(self.folder / consistent_path(page_target(project), sha256), data)
        return sha256

    def _remember(
        self,
        changed: Sequence[NormalizedName],
        pages: Mapping[NormalizedName, ProjectPage | None],
    ) -> None:
        self.ledger.record(
            (project, file.filename, file.sha256)
            for project in changed
            for file in _files_of(pages[project])
        )
        self.ledger.begin(changed)

    def _apply(self, edits: Mapping[str, TargetFile | None]) -> dict[str, Metadata[Targets]]:
        """The bins in which something changes, with the change made."""
        roles = self.roles()
        changed: dict[str, Metadata[Targets]] = {}
        for path, target in edits.items():
            name = roles.bin_of(path)
            changed[name] = roles.role(name)
            if target is None:
                changed[name].signed.targets.pop(path, None)
            else:
                changed[name].signed.targets[path] = target
        return changed

    def _finish(self) -> None:
        """Make what plain clients see what is signed, where a run has begun to change it."""
        unfinished = self.ledger.unfinished()
        if not unfinished and (self.folder / SIMPLE_DIR / HTML_NAME).exists():
            return
        # First what is new, then what names it; what is gone goes when nothing names it any more.
        pages = {project: self.page(project) for project in unfinished}
        gone = {project for project, page in pages.items() if page is None}
        for project, page in pages.items():
            if page is not None:
                self._show_page(project, page)
        projects = [project for project in self.projects() if project not in gone]
        simple = self.folder / SIMPLE_DIR
        self._write_changed(simple / HTML_NAME, listing.to_html(projects))
        self._write_changed(simple / PAGE_NAME, listing.to_json(projects))
        for project in gone:
            (simple / project / PAGE_NAME).unlink(missing_ok=True)
            (simple / project / HTML_NAME).unlink(missing_ok=True)
        for project, page in pages.items():
            self._sweep(project, page)
        self.ledger.finish()

    def _show_page(self, project: NormalizedName, page: ProjectPage) -> None:
        plain = self.folder / page_target(project)
        if sha256 := self._page_sha256(project):
            twin = self.folder / consistent_path(page_target(project), sha256)
            self._show_plainly(twin, plain, sha256)
        self._write_changed(plain.with_name(HTML_NAME), page.to_html())

    def _page_sha256(self, project: NormalizedName) -> Sha256 | None:
        target = self.roles().target(page_target(project))
        return None if target is None else parse_sha256(target.hashes["sha256"])

    def _sweep(self, project: NormalizedName, page: ProjectPage | None) -> None:
        """Delete the distributions that the page does not offer: a revoked one is for nobody."""
        folder = self.folder / PACKAGES_DIR / project
        if not folder.is_dir():
            return
        offered: set[str] = set()
        for file in _files_of(page):
            offered |= {file.filename, f"{file.sha256}.{file.filename}"}
            if file.core_metadata:
                name = file.filename + METADATA_SUFFIX
                offered |= {name, f"{file.core_metadata}.{name}"}
        for path in folder.iterdir():
            if path.name not in offered:
                path.unlink()

    def _write_changed(self, path: Path, data: bytes) -> None:
        if not has_sha256(path, sha256_of(data)):
            self._writer.write(path, data)


def _files_of(page: ProjectPage | None) -> Sequence[PageFile]:
    return page.files if page else ()


def _files_signed_for(page: ProjectPage | None) -> dict[str, tuple[int, Sha256]]:
    """Length and digest of the distributions on a page, by target path."""
    if page is None:
        return {}
    return {
        file_target(page.project, file.filename): (file.size, file.sha256)
        for file in page.files
        if file.size is not None
    }
