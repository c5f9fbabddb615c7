"""Limits how much of an index is in memory at the same time.

Rule: many threads read pages, and a hostile index can make each as long as it may be. So a page is
first fetched with a modest limit, and a longer one is fetched again while no other long page is. A
parsed JSON document takes many times the memory of its bytes, so only one exists at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from securepip.errors import TooLargeError
from securepip.formats.page import MAX_PAGE_BYTES
from securepip.transport import Answer, Transport

USUAL_PAGE_BYTES = 8 << 20
"""The length of a page of some 20,000 files. Few projects have a longer one."""

ONE_DOCUMENT = threading.Lock()
"""Held while a page is parsed as JSON. The page has arrived by then: no server can delay that."""

_ONE_LONG_PAGE = threading.Lock()


def get_page(
    transport: Transport,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    accept: Iterable[int] = (200,),
) -> Answer:
    """Fetch a page of at most ``MAX_PAGE_BYTES``.

    Args:
        transport: Fetches it.
        url: Its URL.
        headers: Further headers of the request.
        accept: The statuses that are no error.

    Raises:
        TooLargeError: It is longer.
        TransportError: There was no answer, or one with a status that is not in ``accept``.
    """
    accept = tuple(accept)
    try:
        return transport.get(url, max_bytes=USUAL_PAGE_BYTES, headers=headers, accept=accept)
    except TooLargeError:
        with _ONE_LONG_PAGE:
            return transport.get(url, max_bytes=MAX_PAGE_BYTES, headers=headers, accept=accept)
