"""Reads and writes pages and distributions. Each has its plain name, and one with its digest.

Rule: a new file gets a name that no current role mentions, and a current file is never overwritten.
Revoked files are deleted at once; `repo gc` deletes files that no client is led to any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import (
    METADATA_SUFFIX,
    PACKAGES_DIR,
    consistent_path,
    file_target,
    page_target,
    relative_file_url,
)
from securepip.formats.page import PageFile, ProjectPage, parse_page
from securepip.signing.repository.pages.writing import Writing
from securepip.signing.repository.state.known import Known
from securepip.signing.repository.storage.files import has_sha256
from securepip.signing.repository.storage.interface import Storage, not_read


class DamagedPageError(RepositoryStateError):
    """A page on disk is not the one that was signed. An operator has to look at it."""


@dataclass
class SignedPage:
    """The signed page of a project, which is read when it is needed, perhaps in another process.

    Attributes:
        project: The project.
        sha256: The digest of the page.
        page: The path of the page on this machine; or the page, once it was read.
    """

    project: NormalizedName
    sha256: Sha256
    page: Path | ProjectPage

    def load(self) -> ProjectPage:
        """Read and verify the page.

        Raises:
            DamagedPageError: What is on disk is not what was signed.
            StorageError: It cannot be read just now.
        """
        if isinstance(self.page, Path):
            try:
                data = self.page.read_bytes()
            except FileNotFoundError as error:
                raise _lost(str(self.page), error) from None
            except OSError as error:
                raise not_read(str(self.page), error) from None
            self.page = _verified(data, self.project, self.sha256, str(self.page))
        return self.page


@dataclass(frozen=True)
class NewFile:
    """A distribution on this machine that is to be copied into the repository.

    Its page must list it under ``layout.relative_file_url`` with the sha256 and size of ``path``.

    Attributes:
        project: The project that it belongs to.
        filename: The name of the distribution.
        path: Where it is now.
        core_metadata: The contents of its ``.metadata`` file, whose sha256 must be the page's
            ``core_metadata``; None if there is to be no such file.
    """

    project: NormalizedName
    filename: str
    path: Path
    core_metadata: bytes | None = None


class Contents:
    """The pages and distributions of one repository. The lock must be held to change them.

    Args:
        storage: Where they are.

    Attributes:
        storage: That storage.
        writing: Writes files in other threads, which end before the lock is released.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.writing = Writing(storage.at_once)

    def page(self, project: NormalizedName, sha256: Sha256) -> ProjectPage:
        """The page of a project with that digest.

        Raises:
            DamagedPageError: What is on disk is not what was signed.
            StorageError: It cannot be read just now.
        """
        path = consistent_path(page_target(project), sha256)
        shown = f"{self.storage.address}/{path}"
        try:
            data = self.storage.read(path)
        except FileNotFoundError as error:
            raise _lost(shown, error) from None
        return _verified(data, project, sha256, shown)

    def signed(self, project: NormalizedName, sha256: Sha256) -> SignedPage:
        """The page of a project with that digest. A page on this machine is read later.

        Raises:
            DamagedPageError: It is on another machine, and is not what was signed.
            StorageError: It cannot be read just now.
        """
        path = self.storage.here(consistent_path(page_target(project), sha256))
        return SignedPage(project, sha256, path or self.page(project, sha256))

    def ask_for(self, projects: Iterable[NormalizedName], known: Known) -> None:
        """Fetch the pages of these projects in parallel, so that they are cached.

        Errors are not raised here, but when a page is used.
        """

        def ask(path: str) -> None:
            with suppress(OSError):
                self.storage.read(path)

        if self.storage.at_once > 1:
            digests = [(project, known.page(project)) for project in projects]
            pages = [consistent_path(page_target(each), sha) for each, sha in digests if sha]
            self.writing.each(ask, pages)

    def holds(self, project: NormalizedName, file: PageFile) -> bool:
        """Whether a distribution is here, under its name with the digest."""
        return self.storage.exists(_twin(project, file))

    def place_page(self, project: NormalizedName, data: bytes) -> Sha256:
        """Write a page under its name with the digest; the digest."""
        sha256 = sha256_of(data)
        self.storage.ensure(consistent_path(page_target(project), sha256), data)
        return sha256

    def place(self, new: NewFile, page: ProjectPage | None) -> None:
        """Copy a distribution and its ``.metadata`` file into the repository.

        Raises:
            RepositoryStateError: The distribution, or its metadata, is not what the page says.
        """
        file = page.file(new.filename) if page else None
        if file is None or file.url != relative_file_url(new.project, new.filename):
            raise RepositoryStateError(f"no page offers {new.filename}")
        if new.path.stat().st_size != file.size:
            raise RepositoryStateError(f"{new.path} is not of {file.size} bytes, as its page says")
        twin, plain = _twin(new.project, file), file_target(new.project, new.filename)
        self.storage.copy(new.path, twin, file.sha256)
        self.storage.link(twin, plain, file.sha256)
        metadata = new.core_metadata
        if (None if metadata is None else sha256_of(metadata)) != file.core_metadata:
            raise RepositoryStateError(f"the metadata of {new.filename} is not that of its page")
        if metadata is None or file.core_metadata is None:
            return
        plain += METADATA_SUFFIX
        twin = consistent_path(plain, file.core_metadata)
        self.storage.ensure(twin, metadata)
        self.storage.link(twin, plain, file.core_metadata)

    def restore(self, path: str, sha256: Sha256, copy: Path) -> bool:
        """Copy a target here from a copy of the repository, unless its bytes are here already.

        Args:
            path: Its target path, or the path of a ``.metadata`` file beside a target.
            sha256: Its digest.
            copy: The folder of the copy.

        Returns:
            Whether it is here now.
        """
        twin = consistent_path(path, sha256)
        if not self.storage.holds(twin, sha256):
            sources = (copy / twin, copy / path)
            source = next((each for each in sources if has_sha256(each, sha256)), None)
            if source is not None:
                self.storage.copy(source, twin, sha256)
            elif self.storage.holds(path, sha256):
                self.storage.link(path, twin, sha256)
            else:
                return False
        self.storage.link(twin, path, sha256)
        return True

    def sweep(self, project: NormalizedName, sha256: Sha256 | None) -> None:
        """Delete the distributions of a project that its page does not list: they were revoked.

        Args:
            project: The project.
            sha256: The digest of its page; None if it has none.
        """
        stored = [each.name for each in self.storage.list(f"{PACKAGES_DIR}/{project}")]
        if not stored:
            return
        offered: set[str] = set()
        for file in self.page(project, sha256).files if sha256 else ():
            offered |= {file.filename, f"{file.sha256}.{file.filename}"}
            if file.core_metadata:
                name = file.filename + METADATA_SUFFIX
                offered |= {name, f"{file.core_metadata}.{name}"}
        self.storage.delete(*(name for name in stored if name.rpartition("/")[2] not in offered))


def _lost(shown: str, error: FileNotFoundError) -> DamagedPageError:
    return DamagedPageError(f"{shown} cannot be read: {error.strerror}")


def _verified(data: bytes, project: NormalizedName, sha256: Sha256, shown: str) -> ProjectPage:
    if sha256_of(data) != sha256:
        raise DamagedPageError(
            f"{shown} is not the page that was signed",
            meaning="Somebody or something changed the repository's files.",
            remedy="Find out who, and restore the file from a backup.",
        )
    return parse_page(data, project)


def _twin(project: NormalizedName, file: PageFile) -> str:
    return consistent_path(file_target(project, file.filename), file.sha256)


def files_of(page: ProjectPage | None) -> Sequence[PageFile]:
    """The distributions on a page; empty if there is no page."""
    return page.files if page else ()
