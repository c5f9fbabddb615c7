"""The several places of one repository: its address, and mirrors that have the same files.

Rule: no place is believed more than another. What each serves is verified in the same way, so who
answers decides nothing but whether there is an answer. One that has none, or a wrong one, is passed
over for a while, and named; where no place has what was signed, nothing is taken.
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
"""After that a place is asked in its turn again: a gateway runs for weeks."""

_NOT_THERE = (403, 404, 410)

_log = logging.getLogger(__name__)
# Also of what a build alone needs, of which little else is said.
_log.setLevel(logging.WARNING)

_passed_over: dict[str, tuple[float, str]] = {}
"""Places, until when others are asked first, and why: for all of this process."""
_lock = threading.Lock()

T = TypeVar("T")


class Asks(Protocol):
    """Asks places for files, some of them before they are wanted."""

    def drop(self, place: str) -> None:
        """Give up what was begun at a place; the next one has as much time. From any thread."""


def passed_over() -> list[str]:
    """What there is to say of the places that are passed over now."""
    now = time.monotonic()
    with _lock:
        return [why for until, why in _passed_over.values() if until > now and why]


class Mirrors:
    """Which place is asked for what, by the address that it has at the first one. Any thread.

    Args:
        places: Of each repository its address, ending in a slash, and those of its mirrors.
    """

    def __init__(self, places: Iterable[tuple[str, Sequence[str]]] = ()) -> None:
        # The longest first: one repository may be below the address of another.
        known = {first: (first, *mirrors) for first, mirrors in places}
        self._places = dict(sorted(known.items(), key=lambda item: -len(item[0])))
        self._left: set[str] = set()
        self._asking: WeakSet[Asks] = WeakSet()

    def tell(self, who: Asks) -> None:
        """Have ``who`` drop each place that is passed over from now on, once."""
        self._asking.add(who)

    def at(self, url: str) -> str:
        """Where ``url`` is asked for now: itself, or the same file at a mirror."""
        return self._in_turn(url)[0][1]

    def try_each(self, url: str, fetch: Callable[[str], T]) -> T:
        """What ``fetch`` makes of ``url`` at the first place where it succeeds.

        Args:
            url: Where a file of a repository is, or any other address, which has one place.
            fetch: Fetches and verifies what is at an address.

        Raises:
            VerificationError: No place had what was signed, and one had something else.
            TransportError, RepositoryUnavailableError: As ``fetch``, at the first place.
        """
        turns = self._in_turn(url)
        failed: list[SecurepipError] = []
        for number, (place, there) in enumerate(turns, 1):
            try:
                return fetch(there)
            except (TransportError, VerificationError, RepositoryUnavailableError) as error:
                failed.append(error)
                if len(turns) > 1:
                    self._pass_over(place, error, turns[number][0] if number < len(turns) else "")
        raise next((one for one in failed if isinstance(one, VerificationError)), failed[0])

    def _in_turn(self, url: str) -> list[tuple[str, str]]:
        """The places of a file and its addresses there.

        Those that were passed over come last, and of these first the one that failed longest ago:
        one that had no answer once does not come after one that never has any.
        """
        for first, places in self._places.items():
            if url.startswith(first):
                rest, now = url.removeprefix(first), time.monotonic()
                order = sorted(places, key=lambda place: max(_until(place), now))
                return [(place, place + rest) for place in order]
        return [(url, url)]

    def _pass_over(self, place: str, error: SecurepipError, following: str) -> None:
        """Ask the others first from now on, and say so once."""
        if isinstance(error, TransportError) and error.status in _NOT_THERE:
            return  # it may have everything else
        why = ""
        if following:
            why = f"{redact(place)} is passed over, and {redact(following)} is asked in its place: "
            why += error.what
        with _lock:
            now = time.monotonic()
            is_known = _until(place) > now
            _passed_over[place] = now + PASSED_OVER_SECONDS, why
            is_left = place in self._left
            self._left.add(place)
        if not is_left:
            for who in list(self._asking):
                who.drop(place)
        if why and not is_known:
            _log.warning("%s", why)


def _until(place: str) -> float:
    return _passed_over.get(place, (0.0, ""))[0]
