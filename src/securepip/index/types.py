"""The nouns of the verified index: what a page, a candidate's file and a verified file are.

Rule: ``VerifiedFile`` says that bytes were checked along timestamp → snapshot → bins → bin-n →
target. Only this room makes one; the seal is how a slip elsewhere shows itself at once.
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
        version: The version its name says.
        filename: Its distribution name.
        path: Where the store keeps it (under its digest, not its name). Hashed again when copied.
        sha256: Digest of its signed target.
        size: Bytes.
        repository: Name of the trusted repository that signed it.
        url: Where it was, or would be, fetched from. Without credentials.
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

    It is a path, a file of a ``--find-links`` folder, or what a direct URL delivered after its
    hash was compared with the one that the user gave. Reports say "local, not signed".

    Attributes:
        path: Where it is. Hashed again when copied.
        filename: Its distribution name; ``path`` may have another.
        sha256: Digest of the bytes that were resolved.
        size: Bytes.
        url: As ``direct_url.json`` says it: ``file:`` or ``https:``, without fragment and password.
        why: How the user named it, for reports: ``named by the user``, ``--find-links DIR``,
            ``index file:…``.
        subdirectory: Where in the archive the project is (``#subdirectory=``); "" is its top.
        url_hash: The hash in the URL's fragment, ``sha512=…``, or "" when it has none.
        requires_python: As a page of links says it, perhaps not valid.
        yanked: Why a page of links yanks it (perhaps ""), or None when it does not.
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
        url: As ``direct_url.json`` says it, ``file:``.
        why: How the user named it, for reports.
        editable: ``-e``.
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
        address: Where it is, without credentials; of a repository of this machine's own, its index.
        is_own: Whether this machine signs for it, at first use.
    """

    name: str
    address: str
    is_own: bool


class Index(Protocol):
    """What a resolver and an installer may ask of the verified index.

    Every answer was verified before it is returned. Calls are made from one thread; the index
    itself fetches in parallel.
    """

    def prefetch_pages(self, projects: Iterable[NormalizedName]) -> None:
        """Start to fetch what ``page`` of each project will need. A hint: raises nothing."""

    def page(self, project: NormalizedName) -> ProjectPage | None:
        """The project's verified page, or None when no trusted repository knows the project.

        Raises:
            VerificationError: What was served is not what was signed.
            RepositoryUnavailableError: The repository did not answer, or is expired.
            UntrustedError: This machine believes nobody yet.
        """

    def prefetch_metadata(self, project: NormalizedName, files: Sequence[PageFile]) -> None:
        """Start to fetch what ``core_metadata`` of each file will need. A hint: raises nothing."""

    def core_metadata(self, project: NormalizedName, file: PageFile) -> bytes:
        """The METADATA (wheel) or PKG-INFO (sdist) of one file of the project's verified page.

        From the ``.metadata`` file whose digest the page signs where there is one, else from the
        verified distribution.

        Raises:
            VerificationError: What was served is not what was signed.
            FormatError: The verified distribution holds no readable metadata.
            TransportError: It could not be fetched.
        """

    def fetch(self, wanted: Sequence[tuple[NormalizedName, PageFile]]) -> list[VerifiedFile]:
        """Fetch distributions, in parallel, and verify each against its own signed target.

        Raises:
            VerificationError: What was served is not what was signed; nothing is returned.
            TransportError: One could not be fetched.
        """

    def speakers_for(self, project: NormalizedName) -> tuple[Speaker, ...]:
        """Those that may speak for the project, in the order in which they are asked."""

    def origin(self, project: NormalizedName) -> str:
        """Name and location of the repository that answers for the project, for messages."""
