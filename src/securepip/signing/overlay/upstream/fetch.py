"""How much of an index may be in memory at the same time.

Rule: many threads read pages, and a hostile index makes each as long as it may be. So most pages
have a modest limit; one longer than that is fetched again, alone; and of the documents made of
them, which take many times the memory of their bytes, there is one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from securepip.errors import TooLargeError
from securepip.formats.page import MAX_PAGE_BYTES
from securepip.transport import Answer, Transport

USUAL_PAGE_BYTES = 8 << 20
"""Few projects have a longer page: that of some 20,000 files."""

ONE_DOCUMENT = threading.Lock()
"""Held while a page is a JSON document. Reading it takes no time that an index could draw out."""

_ONE_LONG_PAGE = threading.Lock()


def get_page(
    transport: Transport,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    accept: Iterable[int] = (200,),
) -> Answer:
    """The answer to a GET of a page of at most ``MAX_PAGE_BYTES``.

    Raises:
        TooLargeError: It is longer.
        TransportError: There was no answer, or one with another status than those of ``accept``.
    """
    accept = tuple(accept)
    try:
        return transport.get(url, max_bytes=USUAL_PAGE_BYTES, headers=headers, accept=accept)
    except TooLargeError:
        with _ONE_LONG_PAGE:
            return transport.get(url, max_bytes=MAX_PAGE_BYTES, headers=headers, accept=accept)
