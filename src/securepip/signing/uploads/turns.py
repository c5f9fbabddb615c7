"""Places for uploads, shared so that nobody takes them all.

Rule: a token never has more of them than are free. Who has one token and sends much gets half of
them; whoever comes then still finds a place.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from securepip.signing.uploads.refusal import UploadRefusedError


class Turns:
    """The places.

    Args:
        places: How many uploads are read, or wait for their publication, at a time.
        seconds: How long one waits for a place.
    """

    def __init__(self, places: int, seconds: float) -> None:
        self._places = places
        self._seconds = seconds
        self._taken: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, token: str) -> Iterator[None]:
        """Have a place for an upload with that token.

        Raises:
            UploadRefusedError: None became free in time.
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
                self._taken += Counter()  # drop what is zero: tokens come and go
                self._changed.notify_all()

    def _is_free(self, token: str) -> bool:
        return self._taken[token] < self._places - self._taken.total()
