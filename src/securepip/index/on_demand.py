"""What a repository that is signed on demand owes to the index that asks it.

Where this machine signs a repository itself, a project's page is not there before somebody asks.
The index therefore says what it is about to look up; the answer is then verified along the whole
chain as any other. Nothing that this interface returns is believed: it returns nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from packaging.utils import NormalizedName


class OnDemand(Protocol):
    """Signs what is about to be looked up. May be called from several threads."""

    def state(self) -> bytes:
        """The current timestamp of the repository: other bytes mean that something was signed."""

    def prepare_pages(self, projects: Iterable[NormalizedName]) -> None:
        """See to it that the pages of ``projects`` are signed as the index shows them now.

        What fails concerns a project, and is raised by ``check``.
        """

    def check(self, project: NormalizedName) -> None:
        """See to it that ``project`` may be looked up after ``prepare_pages``.

        Raises:
            VerificationError: The index shows what must not be: see the message.
            SecurepipError: The index did not answer, or its answer could not be signed.
        """

    def check_file(self, project: NormalizedName, filename: str) -> None:
        """See to it that a file of the project's page may be chosen.

        Raises:
            VerificationError: The index shows another file than was signed before.
        """

    def prepare_files(
        self,
        wanted: Sequence[tuple[NormalizedName, str]],
        likely: Sequence[tuple[NormalizedName, str]] = (),
    ) -> None:
        """See to it that these files (project, file name) have signed targets of their own.

        Args:
            wanted: Those that are about to be fetched.
            likely: Those that may be asked for next. What fails about one of these is not raised.

        Raises:
            VerificationError: One of ``wanted`` is not what was signed before.
            SecurepipError: Nobody says how long one is, or it could not be signed.
        """


Signers = Mapping[str, OnDemand]
"""By the name of the trusted repository that each signs."""
