"""The repositories that this machine trusts, on disk.

``<data>/trust/map.json`` is a TAP 4 map file: where each repository is, with its mirrors, and in
which order repositories are asked for which projects. ``<data>/trust/<name>/root.json`` is the
pinned root, the bootstrap of every run. ``<data>/trust/<name>/metadata/`` is the TUF client's own
state, which protects against rollback and is therefore data, not cache.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock
from packaging.utils import NormalizedName

from securepip.dirs import (
    check_private,
    copy_private,
    data_dir,
    private_folder,
    replace_file,
)
from securepip.errors import SecurepipError, UsageError
from securepip.formats.layout import METADATA_DIR, SIMPLE_DIR, page_target
from securepip.transport import file_url_to_path, path_to_url, redact
from securepip.trust.first_use import FirstUse, FirstUseRules
from securepip.trust.location import index_address

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")


def check_name(name: str) -> None:
    """Check that ``name`` is a valid name for a repository.

    Raises:
        UsageError: It is not.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a name for a repository",
            remedy="Use lower-case letters, digits, dots, dashes and underscores.",
        )


@dataclass(frozen=True)
class TrustedRepository:
    """One repository whose signatures this machine trusts.

    Attributes:
        name: What the user calls it.
        location: Its base URL, ending in a slash. May hold credentials: show it redacted.
        root: The pinned root metadata, as bytes. Every run starts from it.
        state: The folder of the TUF client's own state.
        index_urls: The index URLs that mean this repository when a command names one.
        first_use: For a repository that this machine signs, its index and rules; else None.
        mirrors: Base URLs of mirrors, which have the same files, in the order in which they are
            asked when ``location`` fails. May hold credentials, too.
    """

    name: str
    location: str
    root: bytes
    state: Path
    index_urls: tuple[str, ...] = ()
    first_use: FirstUse | None = None
    mirrors: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Its name, and its location without credentials, for messages."""
        return f"{self.name} ({redact(self.location)})"

    @property
    def metadata_url(self) -> str:
        """The URL of its metadata folder, ending in a slash."""
        return f"{self.location}{METADATA_DIR}/"


@dataclass(frozen=True)
class Assignment:
    """One entry of the TAP 4 mapping: who may speak for which target paths.

    Attributes:
        paths: Shell patterns of target paths.
        repositories: Names, in the order in which they are asked.
        terminating: Whether no later entry is asked, even if too few of these know the target.
        threshold: How many of them must have signed the same length and digest of a file.
    """

    paths: tuple[str, ...]
    repositories: tuple[str, ...]
    terminating: bool = False
    threshold: int = 1

    def covers(self, project: NormalizedName) -> bool:
        """Whether the project's page is among the paths."""
        target = page_target(project)
        return any(fnmatch.fnmatchcase(target, pattern) for pattern in self.paths)

    @property
    def is_free(self) -> bool:
        """Whether it restricts no project: ``trust add`` writes such entries."""
        return self.paths == ("*",) and not self.terminating and self.threshold == 1

    def limited_to(self, names: Sequence[str]) -> list[Assignment]:
        """A free assignment split into one for each of ``names`` that it holds."""
        return [replace(self, repositories=(one,)) for one in names if one in self.repositories]


@dataclass(frozen=True)
class Trust:
    """What this machine trusts, as read at one moment.

    Attributes:
        repositories: In the order in which they were added.
        mapping: The TAP 4 mapping; its order is the order in which repositories are asked.
        any_index: The rules by which an index that the user has not named yet is trusted on first
            use; None if such an index is refused.
        limit: The repositories that an option names, in this order (``limited_to``); None for all.
    """

    repositories: tuple[TrustedRepository, ...] = ()
    mapping: tuple[Assignment, ...] = ()
    any_index: FirstUseRules | None = None
    limit: tuple[str, ...] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """All URLs that the user named: of repositories, mirrors and indexes, with credentials."""
        urls: list[str] = []
        for each in self.repositories:
            urls += (each.location, *each.mirrors, *each.index_urls)
            if each.first_use is not None:
                urls += (each.first_use.index_url, *each.first_use.rules.witnesses)
        return tuple(urls)

    def with_state_copied_to(self, folder: Path) -> Trust:
        """The same trust with copies of all state, for a data folder that is read-only.

        The copies protect against rollback to anything older than the read-only state. What this
        run sees is lost with the copies, so a later rollback to something in between goes
        unnoticed. A repository that this machine signs is copied too, without its keys.

        Args:
            folder: Where the copies go. A copy that exists already is used as it is.

        Raises:
            SecurepipError: A copy's folder cannot be made.
            OSError: The state cannot be read, or the copy cannot be written.
        """
        copied = []
        for repository in self.repositories:
            state, location = folder / repository.name / "state", repository.location
            if repository.state.is_dir():
                copy_private(repository.state, state)
            if repository.first_use is not None:
                own = folder / repository.name / "repository"
                copy_private(file_url_to_path(location), own)
                location = path_to_url(own)
            copied.append(replace(repository, state=state, location=location))
        return replace(self, repositories=tuple(copied))

    def named(self, name: str) -> TrustedRepository:
        """The repository of that name.

        Raises:
            UsageError: No repository has that name.
        """
        for repository in self.repositories:
            if repository.name == name:
                return repository
        known = ", ".join(repository.name for repository in self.repositories) or "none"
        raise UsageError(f"no trusted repository is called {name!r} (there are: {known})")

    def first(self, project: NormalizedName) -> TrustedRepository | None:
        """The repository that is asked first for a project; None if none may speak for it."""
        assignment = next(self.assigned(project), None)
        return None if assignment is None else self.named(assignment.repositories[0])

    def only(self, name: str) -> Trust:
        """The trust that remains with one repository, which then speaks for all projects.

        Raises:
            UsageError: No repository has that name.
        """
        return Trust((self.named(name),), (Assignment(("*",), (name,), terminating=True),))

    def for_index(self, url: str) -> TrustedRepository | None:
        """The repository that an index URL, or the path of an index folder, means.

        Returns:
            The repository that has ``url`` among its ``index_urls``, or whose ``simple/`` folder,
            at its location or a mirror, is ``url``. None if there is no such repository.
        """
        address = index_address(url)
        for repository in self.repositories:
            own = (f"{one}{SIMPLE_DIR}" for one in (repository.location, *repository.mirrors))
            if address in map(index_address, (*repository.index_urls, *own)):
                return repository
        return None

    def for_maintainer(self, named: str | None, project: NormalizedName) -> TrustedRepository:
        """The repository that a maintainer of one project signs for.

        Args:
            named: Its name, its location or an index URL that means it (``for_index``). None
                means the one that is asked first for the project, of those that others run.
            project: The project.

        Raises:
            UsageError: There is no such repository.
        """
        if named is None:
            first = next(self.run_by_others(project), None)
            if first is None:
                raise UsageError(
                    f"no repository that others run, and that this machine trusts, speaks for "
                    f"{project}",
                    remedy="Trust the one that publishes it (`securepip trust add`), or name one: "
                    "--repository NAME",
                )
            return first
        for repository in self.repositories:
            places = (repository.location, *repository.mirrors)
            if index_address(named) in map(index_address, places):
                return repository
        return self.for_index(named) or self.named(named)

    def run_by_others(self, project: NormalizedName) -> Iterator[TrustedRepository]:
        """The repositories that speak for a project and that others run, in the asked order."""
        names = dict.fromkeys(name for each in self.assigned(project) for name in each.repositories)
        return (one for one in map(self.named, names) if one.first_use is None)

    def limited_to(self, names: Sequence[str]) -> Trust:
        """The same trust, but only these repositories fill the free assignments, in this order.

        Assignments that are not free (``Assignment.is_free``) stay as and where they are. The user
        wrote them for certain projects, and an option, or an index that a requirements file names,
        must not hand such a project to another repository.
        """
        return replace(self, limit=tuple(names))

    def speaks(self, name: str) -> bool:
        """Whether some assignment asks the repository of that name."""
        return any(name in entry.repositories for entry in self.mapping)

    def including(self, names: Iterable[str]) -> Trust:
        """The same trust, with these repositories asked for every project, after all others.

        For repositories that are asked only when a command names their index.
        """
        added = tuple(
            Assignment(("*",), (name,)) for name in dict.fromkeys(names) if not self.speaks(name)
        )
        return replace(self, mapping=(*self.mapping, *added))

    def assigned(self, project: NormalizedName) -> Iterator[Assignment]:
        """The assignments that cover a project, in the order in which they are asked (TAP 4)."""
        free: list[Assignment] = []
        for assignment in self.mapping:
            if self.limit is not None and assignment.is_free:
                free += assignment.limited_to(self.limit)
                continue
            if assignment.covers(project):
                # The free assignments before it keep their place before it.
                yield from self._in_order(free)
                free = []
                yield assignment
                if assignment.terminating:
                    return
        yield from self._in_order(free)

    def _in_order(self, free: list[Assignment]) -> list[Assignment]:
        limit = self.limit or ()
        return sorted(free, key=lambda each: limit.index(each.repositories[0]))


class TrustStore:
    """Reads and changes the trust of this machine. Each change is atomic, and under a lock.

    Args:
        folder: ``<data>/trust``; made when the first repository is added.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._map_path = folder / "map.json"

    @classmethod
    def of_user(cls) -> TrustStore:
        """The store in the user's data folder.

        Raises:
            SecurepipError: As ``data_dir``.
        """
        return cls(data_dir() / "trust")

    def read(self) -> Trust:
        """What this machine trusts now; nothing if no repository was ever added.

        Raises:
            SecurepipError: The folder is not the user's alone, or the map or a root cannot be read.
        """
        check_private(self._folder)
        try:
            document = json.loads(self._map_path.read_bytes())
            index_urls = document.get("x-index-urls", {})
            first_use = document.get("x-first-use", {})
            repositories = tuple(
                replace(
                    self._load(name, _places(urls)[0], tuple(index_urls.get(name, ()))),
                    mirrors=_places(urls)[1:],
                    first_use=FirstUse.from_json(first_use[name]) if name in first_use else None,
                )
                for name, urls in document["repositories"].items()
            )
            any_index = document.get("x-any-index")
            rules = None if any_index is None else FirstUseRules.from_json(any_index)
            names = [repository.name for repository in repositories]
            mapping = tuple(_parse_assignment(entry, names) for entry in document["mapping"])
        except FileNotFoundError:
            return Trust()
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise SecurepipError(
                f"the trust configuration {self._map_path} cannot be read: {error!r}",
                meaning="Without it no repository is trusted, so nothing is installed.",
                remedy="Repair it, or move it away and add the repositories again.",
            ) from None
        return Trust(repositories, mapping, rules)

    def add(
        self,
        name: str,
        location: str,
        root: bytes,
        index_urls: tuple[str, ...] = (),
        first_use: FirstUse | None = None,
        *,
        mirrors: tuple[str, ...] = (),
        is_asked_always: bool = True,
    ) -> TrustedRepository:
        """Trust one more repository, which is asked after all others.

        Args:
            name: What the user calls it.
            location: Its base URL.
            root: Its pinned root.
            index_urls: The index URLs that mean it.
            first_use: For a repository that this machine signs, its index and rules.
            mirrors: Base URLs of its mirrors.
            is_asked_always: Whether it is asked for every project. If not, it is asked only when a
                command names one of its indexes.

        Raises:
            UsageError: The name is taken or not valid.
            SecurepipError: As ``read``.
        """
        check_name(name)
        with self._changing():
            trust = self.read()
            if name in (repository.name for repository in trust.repositories):
                raise UsageError(
                    f"a trusted repository is called {name!r} already",
                    remedy=f"Remove it first: `securepip trust remove {name}`.",
                )
            # A killed `remove` or `add` leaves a folder without an entry in the map.
            shutil.rmtree(self._folder / name, ignore_errors=True)
            private_folder(self._folder / name)
            replace_file(self._folder / name / "root.json", root)
            loaded = self._load(name, location, index_urls)
            added = replace(loaded, first_use=first_use, mirrors=mirrors)
            changed = replace(trust, repositories=(*trust.repositories, added))
            self._write(changed.including([name]) if is_asked_always else changed)
        return added

    def change_first_use(self, name: str, first_use: FirstUse) -> None:
        """Change the index or the rules of a repository that this machine signs.

        Raises:
            UsageError: There is no repository of that name.
        """
        self._change(name, lambda known: replace(known, first_use=first_use))

    def change_addresses(
        self, name: str, location: str, mirrors: tuple[str, ...], index_urls: tuple[str, ...]
    ) -> None:
        """Change where a repository is, and which index URLs mean it.

        Raises:
            UsageError: There is no repository of that name.
        """
        self._change(
            name,
            lambda known: replace(known, location=location, mirrors=mirrors, index_urls=index_urls),
        )

    def _change(self, name: str, change: Callable[[TrustedRepository], TrustedRepository]) -> None:
        with self._changing():
            trust = self.read()
            changed = change(trust.named(name))
            repositories = tuple(
                changed if repository.name == name else repository
                for repository in trust.repositories
            )
            self._write(replace(trust, repositories=repositories))

    def set_any_index(self, rules: FirstUseRules | None) -> None:
        """Trust every index that a command names on first use, by these rules; None to stop."""
        with self._changing():
            self._write(replace(self.read(), any_index=rules))

    def remove(self, name: str) -> None:
        """Stop trusting a repository, and delete its state.

        Raises:
            UsageError: No repository has that name.
        """
        with self._changing():
            trust = self.read()
            gone = trust.named(name)
            left = tuple(repository for repository in trust.repositories if repository != gone)
            # An entry that names other repositories too is removed as a whole: without this one
            # it would let fewer repositories decide than the user wrote.
            mapping = tuple(entry for entry in trust.mapping if name not in entry.repositories)
            self._write(replace(trust, repositories=left, mapping=mapping))
            shutil.rmtree(self._folder / name, ignore_errors=True)

    def _changing(self) -> FileLock:
        private_folder(self._folder)
        return FileLock(self._folder / "lock", timeout=60, mode=0o600)

    def _load(self, name: str, location: str, index_urls: tuple[str, ...]) -> TrustedRepository:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a name for a repository: {name!r}")
        folder = self._folder / name
        check_private(folder)
        try:
            root = (folder / "root.json").read_bytes()
        except OSError as error:
            raise SecurepipError(
                f"the pinned root of the trusted repository {name!r} cannot be read: {error}",
                remedy=f"Put the root back in {folder}, or remove and add the repository again.",
            ) from None
        return TrustedRepository(name, location, root, folder / "metadata", index_urls)

    def _write(self, trust: Trust) -> None:
        document: dict[str, Any] = {
            "repositories": {
                repository.name: [repository.location, *repository.mirrors]
                for repository in trust.repositories
            },
            "mapping": [
                {
                    "paths": list(entry.paths),
                    "repositories": list(entry.repositories),
                    "terminating": entry.terminating,
                    "threshold": entry.threshold,
                }
                for entry in trust.mapping
            ],
            "x-index-urls": {
                repository.name: list(repository.index_urls)
                for repository in trust.repositories
                if repository.index_urls
            },
        }
        first_use = {each.name: each.first_use for each in trust.repositories}
        document["x-first-use"] = {
            name: made_from.to_json() for name, made_from in first_use.items() if made_from
        }
        if trust.any_index is not None:
            document["x-any-index"] = trust.any_index.to_json()
        replace_file(self._map_path, json.dumps(document, indent=2).encode())


def _places(urls: object) -> tuple[str, ...]:
    """The URLs of one repository in the map. The error does not quote what may hold a password."""
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise ValueError("not a list of addresses")
    return tuple(url.rstrip("/") + "/" for url in urls)


def _parse_assignment(entry: dict[str, Any], known: list[str]) -> Assignment:
    names = tuple(str(name) for name in entry["repositories"])
    threshold = entry.get("threshold", 1)
    if len(set(names)) != len(names) or not set(names) <= set(known):
        raise ValueError("each mapping names repositories of the list, each once")
    if type(threshold) is not int or not 1 <= threshold <= len(names):
        raise ValueError(f"a threshold of {threshold!r:.20} of {len(names)} repositories")
    paths = tuple(str(path) for path in entry["paths"])
    return Assignment(paths, names, bool(entry.get("terminating", False)), threshold)
