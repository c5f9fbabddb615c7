"""Numbers in sentences, the same everywhere; and sentences of people, as far as they are kept."""

from __future__ import annotations

from collections.abc import Sequence

from securepip.errors import FormatError
from securepip.redaction import redact_addresses

MAX_REASON = 200
"""The most characters of a reason that somebody gives for what they sign."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 file``, ``2 files``, ``2 entries``: a number and what is counted.

    Args:
        count: How many.
        noun: What, of one.
        plural: What, of several; by default ``noun`` with an s.
    """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def first_of(words: Sequence[str], most: int, between: str = " ") -> str:
    """``a b c and 4 more``: so many of ``words``, and how many there are besides."""
    more = len(words) - most
    return between.join(words[:most]) + (f" and {more} more" if more > 0 else "")


def in_units(size: float) -> str:
    """``60.0 MB``, ``12 kB``, ``1.2 kB``, ``80 bytes``: a size as pip writes it."""
    if size > 1_000_000:
        return f"{size / 1e6:.1f} MB"
    if size > 10_000:
        return f"{int(size / 1000)} kB"
    return f"{size / 1000:.1f} kB" if size > 1000 else f"{int(size)} bytes"


def parse_reason(text: object) -> str:
    """A reason in somebody's words: one line of at most ``MAX_REASON`` characters.

    It is shown in terminals and on pages, where a control character, or one that turns the
    direction of the line, could make it read as another sentence. Addresses in it lose their
    credentials and queries.

    Raises:
        FormatError: It is none.
    """
    if not isinstance(text, str):
        raise FormatError(f"not a reason in words: {text!r:.80}")
    reason = text.strip()
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise FormatError(
            f"not a reason in one line of at most {MAX_REASON} characters: {text!r:.80}"
        )
    return redact_addresses(reason)
