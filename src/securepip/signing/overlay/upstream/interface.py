"""The interface of a source: an index, or another place that offers files.

A *source* answers for one project at a time with a ``Reading``. That holds a fingerprint, which
stays the same until something that the page depends on changes, and a function that parses the
page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from packaging.utils import NormalizedName

from securepip.signing.overlay.upstream.page import UpstreamPage

ABSENT = ""
"""The fingerprint of a project that the source does not know."""


def _no_page() -> UpstreamPage | None:
    return None


@dataclass(frozen=True)
class Reading:
    """The answer of a source for a project.

    Attributes:
        source: The source's ``location``.
        fingerprint: Changes when the page or a local file on it changes; ``ABSENT`` if the source
            does not know the project.
        validator: The ``ETag`` for the next request; "" if there is none.
        load: Parses the page; None if the source does not know the project. It raises
            ``FormatError`` if the answer is no page, and ``TransportError``.
        serial: The number of the project's last change, if the index counts changes; else 0.
    """

    source: str
    fingerprint: str
    validator: str = ""
    load: Callable[[], UpstreamPage | None] = _no_page
    serial: int = 0


class Source(Protocol):
    """An index or a place of links."""

    @property
    def location(self) -> str:
        """Its address as it may be shown and stored: without credentials."""

    def read(self, project: NormalizedName, known: Reading | None) -> Reading:
        """Ask the source about ``project``. Called from several threads.

        Args:
            project: The project.
            known: The source's last answer (without ``load``), so that an unchanged page need not
                be sent again; None if there is none.

        Raises:
            TransportError: The source did not answer.
            FormatError: The answer cannot be a page.
        """
