"""The places of a repository: its location, and mirrors that have the same files.

Rule: no place is trusted more than another; the files of each are verified in the same way. A place
that does not answer, or serves something that was not signed, is passed over for a while, and a
warning names it. If no place serves what was signed, the file is refused.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar
from weakref import WeakSet

from securepip.errors import (
    RepositoryUnavailableError,
    SecurepipError,
    TransportError,
    VerificationError,
)
from securepip.transport import redact

PASSED_OVER_SECONDS = 600.0
"""How long a place is passed over. A gateway runs for weeks, so not forever."""

_NOT_THERE = (403, 404, 410)

_log = logging.getLogger(__name__)
# `installer.sdists` logs errors only while it resolves what a build needs; this warning is shown.
_log.setLevel(logging.WARNING)

_passed_over: dict[str, tuple[float, str]] = {}
"""For each place that was passed over in this process: until when (monotonic seconds), and why."""
_lock = threading.Lock()

T = TypeVar("T")


class PlaceListener(Protocol):
    """Has downloads under way, which are of no use when their place is passed over."""

    def drop(self, place: str) -> None:
        """Give up the downloads from a place, and allow the next place all the time again.

        Called from any thread.
        """


def passed_over() -> list[str]:
    """For each place that is passed over now, a sentence that says why."""
    now = time.monotonic()
    with _lock:
        return [why for until, why in _passed_over.values() if until > now and why]


class Mirrors:
    """Decides which place is asked for a file. Safe to use from any thread.

    A file is named by its URL at the repository's location, whichever place is asked for it.

    Args:
        places: For each repository its location, ending in a slash, and those of its mirrors.
    """

    def __init__(self, places: Iterable[tuple[str, Sequence[str]]] = ()) -> None:
        # The longest first: one repository's location may be below another's.
        known = {first: (first, *mirrors) for first, mirrors in places}
        self._places = dict(sorted(known.items(), key=lambda item: -len(item[0])))
        self._dropped: set[str] = set()
        self._listeners: WeakSet[PlaceListener] = WeakSet()

    def notify(self, listener: PlaceListener) -> None:
        """From now on call ``listener.drop``, once for each place, when a place is passed over."""
        self._listeners.add(listener)

    def at(self, url: str) -> str:
        """The URL at which the file ``url`` is asked for now: ``url`` itself, or a mirror's."""
        return self._in_turn(url)[0][1]

    def try_each(self, url: str, fetch: Callable[[str], T]) -> T:
        """The result of ``fetch`` at the first place where it succeeds.

        Args:
            url: The URL of a repository's file. Any other URL is tried as it is.
            fetch: Fetches and verifies the file at the URL that it is given.

        Raises:
            VerificationError: No place served what was signed, and one served something else.
            TransportError, RepositoryUnavailableError: The error of ``fetch`` at the first place.
        """
        turns = self._in_turn(url)
        errors: list[SecurepipError] = []
        for number, (place, url_here) in enumerate(turns, 1):
            try:
                return fetch(url_here)
            except (TransportError, VerificationError, RepositoryUnavailableError) as error:
                errors.append(error)
                if len(turns) > 1:
                    self._pass_over(place, error, turns[number][0] if number < len(turns) else "")
        raise next((one for one in errors if isinstance(one, VerificationError)), errors[0])

    def _in_turn(self, url: str) -> list[tuple[str, str]]:
        """The places of a file, each with the file's URL there, in the order to ask them.

        Places that are passed over come last, the one that failed longest ago first among them, so
        that a place that failed once comes before a place that always fails.
        """
        for first, places in self._places.items():
            if url.startswith(first):
                rest, now = url.removeprefix(first), time.monotonic()
                order = sorted(places, key=lambda place: max(_until(place), now))
                return [(place, place + rest) for place in order]
        return [(url, url)]

    def _pass_over(self, place: str, error: SecurepipError, following: str) -> None:
        """Ask the other places first from now on, and warn once.

        Args:
            place: The place that failed.
            error: How it failed.
            following: The place that is asked next; "" if there is none.
        """
        if isinstance(error, TransportError) and error.status in _NOT_THERE:
            return  # only this file is missing there
        why = ""
        if following:
            why = f"{redact(place)} is passed over, and {redact(following)} is asked instead: "
            why += error.what
        with _lock:
            now = time.monotonic()
            is_known = _until(place) > now
            _passed_over[place] = now + PASSED_OVER_SECONDS, why
            is_dropped = place in self._dropped
            self._dropped.add(place)
        if not is_dropped:
            for listener in list(self._listeners):
                listener.drop(place)
        if why and not is_known:
            _log.warning("%s", why)


def _until(place: str) -> float:
    return _passed_over.get(place, (0.0, ""))[0]
