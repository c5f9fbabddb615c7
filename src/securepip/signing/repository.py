"""A repository on disk, as those who sign see it: opened with its online key, read, and changed.

Rule: ``publish`` is the only way that anything becomes current. It writes files, pages, bins, the
snapshot, and last the timestamp, which is the one step that clients notice. A run that is killed
before it leaves the repository as it was; after it, the next run finishes what plain clients see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.formats.page import ProjectPage
from securepip.signing.ledger import Ledger


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
class Published:
    """What a ``publish`` changed.

    Attributes:
        projects: The projects whose page or files changed.
        signed: Names of the roles that were signed, for example ``bin-3f`` or ``timestamp``;
            empty when nothing had changed.
    """

    projects: tuple[NormalizedName, ...]
    signed: tuple[str, ...]


class Repository:
    """A repository whose everyday roles can be signed here.

    Attributes:
        folder: Where it is (DESIGN §3).
        ledger: Its memory.
    """

    folder: Path
    ledger: Ledger

    @classmethod
    def open(
        cls, folder: Path, *, keys: Path | None = None, passphrase: bytes | None = None
    ) -> Repository:
        """The repository in ``folder``.

        Args:
            folder: Made by ``init``.
            keys: Where the online key is; None for where ``init`` put it.
            passphrase: Of the online key, when it is encrypted. None asks on the terminal.

        Raises:
            RepositoryStateError: No repository there. (Keys are loaded when they are needed.)
        """
        raise NotImplementedError

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Let no other process change the repository meanwhile. May be nested.

        Raises:
            RepositoryStateError: Another process holds it for more than a minute.
        """
        raise NotImplementedError

    def projects(self) -> list[NormalizedName]:
        """All projects that have a page, sorted."""
        raise NotImplementedError

    def page(self, project: NormalizedName) -> ProjectPage | None:
        """The signed page of ``project``, verified, or None when there is none.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        raise NotImplementedError

    def publish(
        self,
        pages: Mapping[NormalizedName, ProjectPage | None],
        files: Sequence[NewFile] = (),
    ) -> Published:
        """Make ``pages`` the current pages of their projects; None removes a project.

        Projects that are not mentioned stay as they are, and so does a page that is equal to the
        current one: it costs no signature. Takes the lock by itself.

        Raises:
            RepositoryStateError: A page offers a file name that was signed before with another
                sha256 (the ledger now holds the refusal), a file that was revoked, or a file of
                this repository that is neither in ``files`` nor there already. Nothing changed.
        """
        raise NotImplementedError
