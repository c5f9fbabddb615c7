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


def in_units(size: float) -> str:
    """``60.0 MB``, ``12 kB``, ``1.2 kB``, ``80 bytes``: a size as pip writes it."""
    if size > 1_000_000:
        return f"{size / 1e6:.1f} MB"
    if size > 10_000:
        return f"{int(size / 1000)} kB"
    return f"{size / 1000:.1f} kB" if size > 1000 else f"{int(size)} bytes"
