"""The interface by which the index has a repository of this machine's own signed on demand.

In such a repository a project's page does not exist before somebody asks for it. So the index says
what it is about to look up, and then verifies what was signed along the whole chain, as it does for
any repository. The index takes no page, file or digest from this interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from packaging.utils import NormalizedName


class OnDemand(Protocol):
    """Signs what is about to be looked up. Safe to call from several threads."""

    def state(self) -> bytes:
        """The repository's current timestamp metadata. It changes when something is signed."""

    def prepare_pages(self, projects: Iterable[NormalizedName]) -> None:
        """Sign the pages of ``projects`` as the index shows them now.

        It raises nothing. ``check`` raises the error of each project that failed.
        """

    def check(self, project: NormalizedName) -> None:
        """Check, after ``prepare_pages``, that ``project`` may be looked up.

        Raises:
            VerificationError: The index contradicts what was signed before.
            SecurepipError: The index did not answer, or its answer could not be signed.
        """

    def check_file(self, project: NormalizedName, filename: str) -> None:
        """Check that a file of the project's page may be chosen.

        Raises:
            VerificationError: The index shows another file than the one that was signed before.
        """

    def prepare_files(
        self,
        wanted: Sequence[tuple[NormalizedName, str]],
        likely: Sequence[tuple[NormalizedName, str]] = (),
    ) -> None:
        """Sign targets for these files (project, file name).

        Args:
            wanted: The files that are about to be fetched.
            likely: Files that may be asked for next. If one of these fails, nothing is raised.

        Raises:
            VerificationError: A file of ``wanted`` is not the one that was signed before.
            SecurepipError: The length of a wanted file cannot be found out, or the file could not
                be signed.
        """


Signers = Mapping[str, OnDemand]
"""The signer of each repository that this machine signs, by the repository's name."""
