"""Pages and files together with their signed targets, before their bytes are fetched.

Rule: every value says which repository signed it. If the trust map has a threshold, a file counts
only if so many repositories have signed the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from packaging.utils import NormalizedName
from tuf.api.metadata import TargetFile

from securepip.errors import FormatError, VerificationError
from securepip.formats.digests import Sha256, parse_sha256
from securepip.formats.layout import consistent_path
from securepip.formats.page import PageFile, ProjectPage
from securepip.trust import TrustedRepository


@dataclass(frozen=True)
class SignedPage:
    """The signed targets of a project's page.

    Attributes:
        project: The project.
        targets: Each repository that speaks for the project, with the target of its page. The
            page of the first is used; the others' pages must agree with it.
        threshold: How many repositories must have signed a file.
    """

    project: NormalizedName
    targets: tuple[tuple[TrustedRepository, TargetFile], ...]
    threshold: int


@dataclass(frozen=True)
class LocatedPage:
    """A project's verified page, and who signed it.

    Attributes:
        repository: The repository whose page it is.
        page: The page, with only those files on which enough repositories agree.
        url: The URL that relative URLs of the page start from. May hold credentials.
        witnesses: The other repositories, which may have signed the same files.
        threshold: How many repositories must have signed a file.
    """

    repository: TrustedRepository
    page: ProjectPage
    url: str
    witnesses: tuple[TrustedRepository, ...] = ()
    threshold: int = 1


@dataclass(frozen=True)
class SignedFile:
    """A file of a page with its own signed target, which agrees with the page.

    Attributes:
        project: The project.
        file: The file, as on the page.
        url: Where it is. May hold credentials.
        repository: The name of the repository that signed it.
        target: Its target.
    """

    project: NormalizedName
    file: PageFile
    url: str
    repository: str
    target: TargetFile


def agreed(found: Sequence[LocatedPage], threshold: int) -> LocatedPage:
    """The first page, with those files that enough of the pages list with the same bytes.

    Args:
        found: The pages of several repositories.
        threshold: How many pages must list a file, the first included.
    """
    first, *others = found
    if threshold == 1:
        return first

    def votes(file: PageFile) -> int:
        same = (other.page.file(file.filename) for other in others)
        return 1 + sum(
            each is not None and (each.sha256, each.size) == (file.sha256, file.size)
            for each in same
        )

    kept = tuple(file for file in first.page.files if votes(file) >= threshold)
    witnesses = tuple(other.repository for other in others)
    page = replace(first.page, files=kept)
    return LocatedPage(first.repository, page, first.url, witnesses, threshold)


def page_url(repository: TrustedRepository, target: TargetFile) -> str:
    """The URL of the page with that target. May hold credentials."""
    _, sha256 = expected(target)
    return repository.location + consistent_path(target.path, sha256)


def expected(target: TargetFile) -> tuple[int, Sha256]:
    """The length (bytes) and sha256 of a signed target.

    Raises:
        VerificationError: It was signed without a sha256.
    """
    try:
        return target.length, parse_sha256(target.hashes.get("sha256"))
    except FormatError:
        raise VerificationError(f"{target.path} was signed without a sha256") from None
