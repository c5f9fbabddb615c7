"""What a source of files owes its reader.

A *source* answers for one project at a time with a ``Reading``: a fingerprint that stays the same
as long as nothing the page depends on has changed, and the page itself, which is only parsed when
somebody asks for it.
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
    """What a source answered for a project.

    Attributes:
        source: The source's ``location``.
        fingerprint: Changes when the page or the local files it names change; ``ABSENT`` when the
            source does not know the project.
        validator: The ``ETag`` to ask with the next time; "" for none.
        load: Makes the page; None when the source does not know the project. Raises
            ``FormatError`` for what is no page, and ``TransportError``.
        serial: The number of the project's last change, where the index counts them; else 0.
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
        """What the source says of ``project`` now. Called from several threads.

        Args:
            project: Whose files are asked for.
            known: What it answered before (without ``load``), so that an unchanged page need not
                be sent again.

        Raises:
            TransportError: It did not answer.
            FormatError: Its answer cannot be a page.
        """
