"""What is fetched before anybody asks for it, and held until somebody does.

Rule: it is bounded as a whole, whatever a repository leads to: so many files, and so many bytes
that are held or on their way at a time. What finds no room is not fetched early; who needs it
fetches it then. Only the early answer is lost, never a check.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from securepip.errors import TooLargeError, TransportError
from securepip.transport import Transport

EARLY_FILES = 1024
"""The most files that are held or on their way."""

EARLY_BYTES = 64 << 20
"""The most bytes of them all, counted as announced while they are on their way."""

K = TypeVar("K", bound=Hashable)


class Early(Generic[K]):
    """Files that are fetched in parallel, each under a key by which it is asked for.

    Use from one thread; the transport's threads do the fetching.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._files: dict[K, Future[bytes | None]] = {}
        self._held = 0
        self._lock = threading.Lock()

    def __contains__(self, key: K) -> bool:
        return key in self._files

    def begin(self, key: K, url: str, max_bytes: int) -> None:
        """Begin to fetch at most ``max_bytes`` from ``url``, if there is room."""
        if key not in self._files and len(self._files) < EARLY_FILES:
            self._files[key] = self._transport.submit(lambda u: self._get(u, max_bytes), url)

    def look(self, key: K) -> bytes | None:
        """What was fetched, which stays here; None where there was no room, or more of it.

        Raises:
            TransportError: It could not be fetched.
        """
        future = self._files.get(key)
        return None if future is None else future.result()

    def take(self, key: K) -> bytes | None:
        """As ``look``; it is held no longer."""
        try:
            data = self.look(key)
        except TransportError:
            del self._files[key]
            raise
        # Not before: a transport may say that it is not there yet, and is then asked again.
        self._files.pop(key, None)
        if data is not None:
            self._keep(-len(data))
        return data

    def _get(self, url: str, max_bytes: int) -> bytes | None:
        if not self._keep(max_bytes):
            return None
        kept = 0
        try:
            data = self._transport.get(url, max_bytes=max_bytes).body
            kept = len(data)
        except TooLargeError:
            return None  # who asks for it knows how long it may be
        finally:
            self._keep(kept - max_bytes)
        return data

    def _keep(self, size: int) -> bool:
        """Count ``size`` more bytes as held, if there is room."""
        with self._lock:
            if size > 0 and self._held + size > EARLY_BYTES:
                return False
            self._held += size
            return True
