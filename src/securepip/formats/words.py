"""Writes numbers and sizes in messages, and parses the reasons that people give."""

from __future__ import annotations

from collections.abc import Sequence

from securepip.errors import FormatError
from securepip.redaction import redact_addresses

MAX_REASON = 200
"""The most characters of a reason."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number and what is counted: ``1 file``, ``2 files``, ``2 entries``.

    Args:
        count: The number.
        noun: The singular.
        plural: The plural; by default ``noun`` with an s.
    """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def first_of(words: Sequence[str], most: int, between: str = " ") -> str:
    """The first ``most`` of ``words``, and the number of the others: ``a b c and 4 more``."""
    more = len(words) - most
    return between.join(words[:most]) + (f" and {more} more" if more > 0 else "")


def in_units(size: float) -> str:
    """A size in bytes as pip writes it: ``60.0 MB``, ``12 kB``, ``1.2 kB``, ``80 bytes``."""
    if size > 1_000_000:
        return f"{size / 1e6:.1f} MB"
    if size > 10_000:
        return f"{int(size / 1000)} kB"
    return f"{size / 1000:.1f} kB" if size > 1000 else f"{int(size)} bytes"


def parse_reason(text: object) -> str:
    """Parse the reason that somebody gives for what they sign: one line, without secrets.

    It is shown in terminals and on web pages, where a control character, or one that reverses the
    direction of text, could make it read as another sentence. Credentials and queries of URLs in
    it are removed.

    Raises:
        FormatError: It is not one line of at most ``MAX_REASON`` printable characters.
    """
    if not isinstance(text, str):
        raise FormatError(f"not a reason in words: {text!r:.80}")
    reason = text.strip()
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise FormatError(
            f"not a reason in one line of at most {MAX_REASON} characters: {text!r:.80}"
        )
    return redact_addresses(reason)
