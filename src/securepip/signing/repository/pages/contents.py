"""Pages and distributions on disk, each under its plain name and one that begins with its digest.

Rule: a new file gets a name that nothing current mentions yet; nothing that is current is ever
written over. What was revoked is deleted at once, and what nobody is led to any more by `repo gc`.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from securepip.signing.repository.files import Writer, has_sha256


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
        folder: The repository.
        writer: Writes its files.
    """

    def __init__(self, folder: Path, writer: Writer) -> None:
        self.folder = folder
        self._writer = writer

    def page(self, project: NormalizedName, sha256: Sha256) -> ProjectPage:
        """The page of that digest.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
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

    def holds(self, project: NormalizedName, file: PageFile) -> bool:
        """Whether a distribution is here under the name that clients ask for."""
        return self._twin(project, file).exists()

    def place_page(self, project: NormalizedName, data: bytes) -> Sha256:
        """Write a page under a name that nothing current mentions yet."""
        sha256 = sha256_of(data)
        self.write_changed(self.folder / consistent_path(page_target(project), sha256), data)
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
        twin = self._twin(new.project, file)
        if not has_sha256(twin, file.sha256):
            self._writer.copy(new.path, twin, file.sha256)
        self.show_plainly(twin, twin.with_name(new.filename), file.sha256)
        metadata = new.core_metadata
        if (None if metadata is None else sha256_of(metadata)) != file.core_metadata:
            raise RepositoryStateError(f"the metadata of {new.filename} is not that of its page")
        if metadata is None or file.core_metadata is None:
            return
        name = new.filename + METADATA_SUFFIX
        twin = twin.with_name(f"{file.core_metadata}.{name}")
        if not has_sha256(twin, file.core_metadata):
            self._writer.write(twin, metadata)
        self.show_plainly(twin, twin.with_name(name), file.core_metadata)

    def restore(self, path: str, sha256: Sha256, copy: Path) -> bool:
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
        self.show_plainly(twin, self.folder / path, sha256)
        return True

    def show_plainly(self, twin: Path, plain: Path, sha256: Sha256) -> None:
        """Give ``twin`` its name without digest too."""
        if not (plain.exists() and plain.samefile(twin)) and not has_sha256(plain, sha256):
            self._writer.link(twin, plain, sha256)

    def write_changed(self, path: Path, data: bytes) -> None:
        """Make ``data`` the contents of ``path``, unless they are."""
        if not has_sha256(path, sha256_of(data)):
            self._writer.write(path, data)

    def sweep(self, project: NormalizedName, page: ProjectPage | None) -> None:
        """Delete the distributions that the page does not offer: a revoked one is for nobody."""
        folder = self.folder / PACKAGES_DIR / project
        if not folder.is_dir():
            return
        offered: set[str] = set()
        for file in files_of(page):
            offered |= {file.filename, f"{file.sha256}.{file.filename}"}
            if file.core_metadata:
                name = file.filename + METADATA_SUFFIX
                offered |= {name, f"{file.core_metadata}.{name}"}
        for path in folder.iterdir():
            if path.name not in offered:
                path.unlink()

    def _twin(self, project: NormalizedName, file: PageFile) -> Path:
        return self.folder / consistent_path(file_target(project, file.filename), file.sha256)


def files_of(page: ProjectPage | None) -> Sequence[PageFile]:
    """The distributions that a page offers; of no page, none."""
    return page.files if page else ()
