"""Limits the number of simultaneous uploads, so that no token can take all places.

Rule: a token never has more places than are free. A single busy token gets half of them, and
another one still finds a place.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from securepip.signing.uploads.refusal import UploadRefusedError


class Turns:
    """The places for uploads.

    Args:
        places: How many uploads are read, or wait for their publication, at the same time.
        seconds: How long an upload waits for a place.
    """

    def __init__(self, places: int, seconds: float) -> None:
        self._places = places
        self._seconds = seconds
        self._taken: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, token: str) -> Iterator[None]:
        """Hold a place for an upload with that token.

        Raises:
            UploadRefusedError: No place became free in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_free(token), self._seconds):
                raise UploadRefusedError(
                    HTTPStatus.SERVICE_UNAVAILABLE, "too many uploads come at once: try again later"
                )
            self._taken[token] += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken[token] -= 1
                self._taken += Counter()  # drops the tokens with a count of zero
                self._changed.notify_all()

    def _is_free(self, token: str) -> bool:
        return self._taken[token] < self._places - self._taken.total()
