"""The types of the verified index: verified files, the user's own files, and the index itself.

Rule: a ``VerifiedFile`` means that its bytes were verified along timestamp → snapshot → bins →
bin-n → target. Only this room makes one; its ``seal`` makes a mistake elsewhere fail at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.formats.digests import Sha256
from securepip.formats.page import PageFile, ProjectPage

_SEAL = object()


@dataclass(frozen=True)
class VerifiedFile:
    """A distribution in the local store whose bytes are those that a trusted repository signed.

    Attributes:
        project: The project it belongs to, by the target path it was signed under.
        version: The version in its file name.
        filename: Its distribution file name.
        path: Its path in the store, named by its digest. It is hashed again when it is copied.
        sha256: The digest of its signed target.
        size: Its length in bytes.
        repository: The name of the trusted repository that signed it.
        url: The URL that it is fetched from, without credentials.
        seal: Proof that this room made it.
    """

    project: NormalizedName
    version: Version
    filename: str
    path: Path
    sha256: Sha256
    size: int
    repository: str
    url: str
    seal: object = field(repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("only the index makes a VerifiedFile")


@dataclass(frozen=True)
class UserFile:
    """A wheel or sdist on this machine that the user named. Nobody signed it.

    It is named by a path, is in a ``--find-links`` folder, or was fetched from a direct URL and
    has the hash that the user gave. Reports say "local, not signed".

    Attributes:
        path: Where it is. It is hashed again when it is copied.
        filename: Its distribution file name; ``path`` may have another name.
        sha256: The digest of the bytes that were resolved.
        size: Its length in bytes.
        url: As in ``direct_url.json``: ``file:`` or ``https:``, without fragment and password.
        why: How the user named it, for reports: ``named by the user``, ``--find-links DIR``,
            ``index file:…``.
        subdirectory: Where in the archive the project is (``#subdirectory=``); "" is its top.
        url_hash: The hash in the URL's fragment, ``sha512=…``; "" if it has none.
        requires_python: The ``Requires-Python`` on a page of links, perhaps not valid.
        yanked: Why a page of links says that it is yanked, perhaps ""; None if it does not.
    """

    path: Path
    filename: str
    sha256: Sha256
    size: int
    url: str
    why: str
    subdirectory: str = ""
    url_hash: str = ""
    requires_python: str | None = None
    yanked: str | None = None


@dataclass(frozen=True)
class UserDirectory:
    """A project's folder on this machine that the user named: ``.``, ``-e src/lib``. Not signed.

    Attributes:
        path: The folder.
        url: As in ``direct_url.json``: ``file:``.
        why: How the user named it, for reports.
        editable: Whether it is installed in place (``-e``).
        subdirectory: Where in the folder the project is (``#subdirectory=``); "" is the top.
    """

    path: Path
    url: str
    why: str
    editable: bool = False
    subdirectory: str = ""

    @property
    def filename(self) -> str:
        """What it is called in messages: its path."""
        return str(self.path)


AnyFile = PageFile | UserFile | UserDirectory
"""What a plan may install: signed, or the user's own."""


@dataclass(frozen=True)
class Speaker:
    """A repository that is asked for a project, for messages.

    Attributes:
        name: What the user calls it.
        address: Its location, or the index that this machine signs; without credentials.
        is_own: Whether this machine signs it, on first use.
    """

    name: str
    address: str
    is_own: bool


class Index(Protocol):
    """What a resolver and an installer may ask of the verified index.

    Everything that is returned has been verified. One thread makes all calls; the index itself
    fetches in parallel.
    """

    def prefetch_pages(self, projects: Iterable[NormalizedName]) -> None:
        """Begin to fetch what ``page`` will need for each project. A hint: it raises nothing."""

    def page(self, project: NormalizedName) -> ProjectPage | None:
        """The project's verified page; None if no trusted repository knows the project.

        Raises:
            VerificationError: What was served is not what was signed, or has expired; or the
                repository knew the project before and does not know it now.
            RepositoryUnavailableError: The repository did not answer.
            TransportError: The page could not be fetched.
            UntrustedError: This machine trusts no repository yet.
        """

    def prefetch_metadata(self, project: NormalizedName, files: Sequence[PageFile]) -> None:
        """Begin to fetch what ``core_metadata`` will need for each file. It raises nothing."""

    def core_metadata(self, project: NormalizedName, file: PageFile) -> bytes:
        """The METADATA (wheel) or PKG-INFO (sdist) of a file of the project's verified page.

        It comes from the ``.metadata`` file if the page signs its digest (PEP 714), else from the
        verified distribution.

        Raises:
            VerificationError: What was served is not what was signed.
            FormatError: The verified distribution holds no readable metadata.
            TransportError: It could not be fetched.
        """

    def fetch(self, wanted: Sequence[tuple[NormalizedName, PageFile]]) -> list[VerifiedFile]:
        """Fetch distributions in parallel, and verify each against its own signed target.

        Returns:
            The files, in the order of ``wanted``.

        Raises:
            VerificationError: A file that was served is not what was signed.
            TransportError: A file could not be fetched.
        """

    def speakers_for(self, project: NormalizedName) -> tuple[Speaker, ...]:
        """The repositories that may speak for the project, in the order in which they are asked."""

    def origin(self, project: NormalizedName) -> str:
        """The name and location of the repository that speaks for the project, for messages."""
