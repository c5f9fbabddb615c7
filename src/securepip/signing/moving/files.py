"""Copies the files of a repository to another storage, and verifies the copy.

Rule: only files whose name carries their version or digest are copied. The plain view for clients
that do not verify is made again at the new place. Nothing there is current until the caller writes
the timestamp.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import (
    METADATA_DIR,
    METADATA_SUFFIX,
    PACKAGES_DIR,
    SIMPLE_DIR,
    consistent_path,
    file_target,
    page_target,
    relative_file_url,
)
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import TIMESTAMP_NAME, Roles
from securepip.signing.repository.storage.interface import Opened, Reader, Storage, Stored

_VERSIONED = re.compile(rf"{METADATA_DIR}/[1-9][0-9]*\.[a-z0-9][a-z0-9.-]*\.json")
_TWIN = re.compile(rf"(?:{SIMPLE_DIR}|{PACKAGES_DIR})/[a-z0-9-]+/([0-9a-f]{{64}})\.[^/]+")

ROOT = f"{METADATA_DIR}/1.root.json"
"""The first root: it identifies a repository."""
_KINDS = (METADATA_DIR, SIMPLE_DIR, PACKAGES_DIR)

Progress = Callable[[int], None]
"""Called with the number of files that are at the target by now."""


def copy_files(source: Storage, target: Storage, progress: Progress) -> int:
    """Copy every file that clients may ask for. Files that ``target`` has already stay.

    Returns:
        The number of files that clients may ask for.

    Raises:
        RepositoryStateError: A file does not have the digest that its name says.
        OSError: One of the two storages fails.
    """
    # The first root comes first: another move to this place then sees whose place it is.
    target.write(ROOT, source.read(ROOT), durable=True)
    present = {each.name for kind in _KINDS for each in target.list(kind)}
    count = 0
    with (
        TemporaryDirectory(prefix="securepip-") as folder,
        ThreadPoolExecutor(max(source.at_once, 1)) as pool,
    ):
        copier = _Copier(source, target, present, Path(folder))
        names = _names(source)
        under_way: deque[tuple[str, Future[Path | None]]] = deque()
        while True:
            while len(under_way) < 2 * source.at_once and (name := next(names, None)):
                under_way.append((name, pool.submit(copier.fetch, name)))
            if not under_way:
                break
            name, fetched = under_way.popleft()
            copier.put(name, fetched.result())
            count += 1
            progress(count)
    target.flush()
    return count


def _names(source: Storage) -> Iterator[str]:
    """The names of the files to copy. Metadata comes last: it leads clients to the other files."""
    for kind in (PACKAGES_DIR, SIMPLE_DIR, METADATA_DIR):
        for each in source.list(kind):
            if _VERSIONED.fullmatch(each.name) or _TWIN.fullmatch(each.name):
                yield each.name


class _Copier:
    """Copies single files.

    Args:
        source: Where the files are.
        target: Where they go.
        present: The names that ``target`` had before.
        folder: Keeps files that are not on this machine, on their way from source to target.
    """

    def __init__(self, source: Storage, target: Storage, present: set[str], folder: Path) -> None:
        self._source = source
        self._target = target
        self._present = present
        self._folder = folder

    def fetch(self, name: str) -> Path | None:
        """Fetch a file of the source, unless the target has it already.

        Returns:
            A path on this machine with the bytes of the file; None if the target has it.
        """
        match = _TWIN.fullmatch(name)
        sha256 = Sha256(match[1]) if match else None
        if sha256 is not None and self._has(name, sha256):
            return None
        here = self._source.here(name)
        if here is None:
            here = self._folder / sha256_of(name.encode())
            self._source.fetch(name, here, sha256)
        if sha256 is None and self._has(name, sha256_of(here.read_bytes())):
            return None
        return here

    def _has(self, name: str, sha256: Sha256) -> bool:
        return name in self._present and self._target.holds(name, sha256)

    def put(self, name: str, path: Path | None) -> None:
        """Copy the file that ``fetch`` has returned to the target."""
        if path is None:
            return
        match = _TWIN.fullmatch(name)
        if match:
            self._target.copy(path, name, Sha256(match[1]))
        else:
            if name in self._present:
                self._target.delete(name)  # it has other bytes, so it is not of this repository
            self._target.write(name, path.read_bytes())
        if path.parent == self._folder:
            path.unlink()


class _WithTimestamp:
    """Metadata together with a timestamp that is not written yet. Implements ``Reader``."""

    def __init__(self, metadata: Reader, timestamp: bytes) -> None:
        self._metadata = metadata
        self._timestamp = timestamp
        self.address = metadata.address

    def read(self, name: str) -> bytes:
        """As ``Reader.read``."""
        return self._timestamp if name == TIMESTAMP_NAME else self._metadata.read(name)

    def exists(self, name: str) -> bool:
        """As ``Reader.exists``."""
        return name == TIMESTAMP_NAME or self._metadata.exists(name)

    def list(self, folder: str = "") -> Iterator[Stored]:
        """As ``Reader.list``."""
        return self._metadata.list(folder)

    def open(self, name: str) -> Opened:
        """As ``Reader.open``."""
        return self._metadata.open(name)

    def here(self, name: str) -> Path | None:
        """As ``Reader.here``."""
        return self._metadata.here(name)

    def fetch(self, name: str, path: Path, sha256: Sha256 | None = None) -> None:
        """As ``Reader.fetch``."""
        self._metadata.fetch(name, path, sha256)


def verify_copy(source: Repository, target: Storage, timestamp: bytes) -> None:
    """Check that everything that ``timestamp`` makes current is at ``target``, as it was signed.

    Raises:
        RepositoryStateError: A file is missing, or was not signed.
    """
    metadata = _WithTimestamp(target.below(METADATA_DIR), timestamp)
    roles = Roles(metadata, source.config.root_sha256)
    listed = (name.removesuffix(".json") for name in roles.snapshot.signed.meta)
    below = (name for name in listed if _is_used(roles, name))
    with ThreadPoolExecutor(max(target.at_once, 1)) as pool:
        first = list(islice(below, 4))
        for name in first:  # the other roles are verified by these
            roles.role(name)
        list(pool.map(roles.read_once, below))
    present = {each.name for kind in (SIMPLE_DIR, PACKAGES_DIR) for each in target.list(kind)}
    for project in source.projects():
        for name in _needed(source, project):
            if name not in present:
                raise RepositoryStateError(
                    f"{source.storage.address}/{name} is missing",
                    meaning="It is signed, and clients would look for it.",
                    remedy="Restore it from a backup, or remove the file or project, and run this "
                    "again. Nothing was moved: what is current is where it was.",
                )


def _is_used(roles: Roles, name: str) -> bool:
    """Whether a role that the snapshot lists is still in use: some role delegates to it."""
    try:
        roles.delegator(name)
    except RepositoryStateError:
        return False
    return True


def _needed(source: Repository, project: NormalizedName) -> Iterator[str]:
    """The names of the files of a project that clients ask this repository for."""
    page = source.page(project)
    sha256 = source.known().page(project)
    if page is None or sha256 is None:
        return
    yield consistent_path(page_target(project), sha256)
    for file in page.files:
        if file.url == relative_file_url(project, file.filename):
            path = file_target(project, file.filename)
            yield consistent_path(path, file.sha256)
            if file.core_metadata is not None:
                yield consistent_path(path + METADATA_SUFFIX, file.core_metadata)
