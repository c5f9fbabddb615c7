"""Pages and distributions on disk, each under its plain name and one that begins with its digest.

Rule: a new file gets a name that nothing current mentions yet; nothing that is current is ever
written over. What was revoked is deleted at once, and what nobody is led to any more by `repo gc`.
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
    """A page on disk is not what was signed: an operator has to look at it."""


@dataclass
class SignedPage:
    """The signed page of a project, read when somebody wants it; in other processes too.

    Attributes:
        project: The project.
        sha256: The digest of the page.
        page: Where it is on this machine, or what was read already.
    """

    project: NormalizedName
    sha256: Sha256
    page: Path | ProjectPage

    def load(self) -> ProjectPage:
        """The page.

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


class Contents:
    """The served files of one repository. The lock must be held to change them.

    Args:
        storage: Where they are.

    Attributes:
        writing: What is being written there. It ends before the lock is given back.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.writing = Writing(storage.at_once)

    def page(self, project: NormalizedName, sha256: Sha256) -> ProjectPage:
        """The page of that digest.

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
        """The page of that digest, which is read later where it is on this machine.

        Raises:
            DamagedPageError: It is elsewhere, and is not what was signed.
            StorageError: It cannot be read just now.
        """
        path = self.storage.here(consistent_path(page_target(project), sha256))
        return SignedPage(project, sha256, path or self.page(project, sha256))

    def ask_for(self, projects: Iterable[NormalizedName], known: Known) -> None:
        """Have the pages of these projects at hand, asked for side by side.

        What is wrong with one is said when it is used.
        """

        def ask(path: str) -> None:
            with suppress(OSError):
                self.storage.read(path)

        if self.storage.at_once > 1:
            digests = [(project, known.page(project)) for project in projects]
            pages = [consistent_path(page_target(each), sha) for each, sha in digests if sha]
            self.writing.each(ask, pages)

    def holds(self, project: NormalizedName, file: PageFile) -> bool:
        """Whether a distribution is here under the name that clients ask for."""
        return self.storage.exists(_twin(project, file))

    def place_page(self, project: NormalizedName, data: bytes) -> Sha256:
        """Write a page under a name that nothing current mentions yet."""
        sha256 = sha256_of(data)
        self.storage.ensure(consistent_path(page_target(project), sha256), data)
        return sha256

    def place(self, new: NewFile, page: ProjectPage | None) -> None:
        """Copy a distribution in, under names that nothing current mentions yet.

        Raises:
            RepositoryStateError: It, or its metadata, is not what the page says.
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
        """See to it that a target is here with its bytes, from the repository ``copy`` if not.

        Args:
            path: Its target path, or that of a ``.metadata`` file beside one.
            sha256: Its digest.
            copy: The folder of another copy of the repository.

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
        """Delete the distributions that the page does not offer: a revoked one is for nobody.

        Args:
            project: Whose.
            sha256: The digest of its page; None for none.
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
    """The distributions that a page offers; of no page, none."""
    return page.files if page else ()
