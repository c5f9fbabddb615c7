"""Numbers in sentences, the same everywhere."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 file``, ``2 files``, ``2 entries``: a number and what is counted.

    Args:
        count: How many.
        noun: What, of one.
        plural: What, of several; by default ``noun`` with an s.
    """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"
