"""An index that is opened on first use.

If everything is installed already, nothing is looked up. Then the trusted state is not read, and
the libraries for network and signatures are not imported, which takes longer than all the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from securepip.errors import SecurepipError

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from securepip.formats.page import PageFile, ProjectPage
    from securepip.index.types import Speaker, VerifiedFile
    from securepip.index.verified import VerifiedIndex


class DeferredIndex:
    """Implements ``securepip.index.Index`` with an index that the first call opens.

    Args:
        open_index: Opens the index, given the projects that will be asked for first, as far as
            they are known. The first call raises what it raises.
    """

    def __init__(self, open_index: Callable[[Sequence[NormalizedName]], VerifiedIndex]) -> None:
        self._open_index = open_index
        self._first: tuple[NormalizedName, ...] = ()
        self._beginning: threading.Thread | None = None
        self._failed: Exception | None = None

    def begin(self, projects: Iterable[NormalizedName]) -> None:
        """Open the index, and fetch these projects' pages in a thread.

        The next call of another method raises the error if that fails.
        """
        self._first = tuple(projects)
        try:
            index = self._opened
        except SecurepipError as error:
            self._failed = error
            return

        def prefetch() -> None:
            try:
                index.prefetch_pages(self._first)
            except Exception as error:
                self._failed = error

        self._beginning = threading.Thread(target=prefetch, name="beginning", daemon=True)
        self._beginning.start()

    @cached_property
    def _opened(self) -> VerifiedIndex:
        return self._open_index(self._first)

    @property
    def _index(self) -> VerifiedIndex:
        """The index. One thread at a time may use it, so wait for the one of ``begin``."""
        if self._beginning is not None:
            self._beginning.join()
            self._beginning = None
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        return self._opened

    def opened(self) -> VerifiedIndex:
        """The index itself, opened now if need be."""
        return self._index

    def prefetch_pages(self, projects: Iterable[NormalizedName]) -> None:
        """As ``Index.prefetch_pages``."""
        self._index.prefetch_pages(projects)

    def page(self, project: NormalizedName) -> ProjectPage | None:
        """As ``Index.page``."""
        return self._index.page(project)

    def prefetch_metadata(self, project: NormalizedName, files: Sequence[PageFile]) -> None:
        """As ``Index.prefetch_metadata``."""
        self._index.prefetch_metadata(project, files)

    def core_metadata(self, project: NormalizedName, file: PageFile) -> bytes:
        """As ``Index.core_metadata``."""
        return self._index.core_metadata(project, file)

    def fetch(
        self,
        wanted: Sequence[tuple[NormalizedName, PageFile]],
        arrived: Callable[[VerifiedFile], None] | None = None,
    ) -> list[VerifiedFile]:
        """As ``VerifiedIndex.fetch``."""
        return self._index.fetch(wanted, arrived) if wanted else []

    def speakers_for(self, project: NormalizedName) -> tuple[Speaker, ...]:
        """As ``Index.speakers_for``."""
        return self._index.speakers_for(project)

    def origin(self, project: NormalizedName) -> str:
        """As ``Index.origin``."""
        return self._index.origin(project)

    def signed_by(self, project: NormalizedName, file: PageFile) -> tuple[str, str]:
        """As ``VerifiedIndex.signed_by``."""
        return self._index.signed_by(project, file)
