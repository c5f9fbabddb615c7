"""The number of succinct hash bins (TAP 15) for a number of targets, and the delegation to them."""

from __future__ import annotations

import math

from tuf.api.metadata import SuccinctRoles

BIN_PREFIX = "bin"
"""The prefix of the names of bins, ``bin-<hex>``. Another number of bins needs another prefix,
because a role that was once listed in a snapshot stays listed."""

_SNAPSHOT_BYTES_PER_BIN = 45
_BYTES_PER_TARGET = 180
_BINS_PER_INSTALL = 20
_MIN_BITS, _MAX_BITS = 1, 20


def bin_count(expected_files: int) -> int:
    """The number of bins, a power of two, with which a client downloads the fewest bytes.

    A client fetches the snapshot, with about 45 bytes for each of the ``b`` bins, and the bins that
    an install needs: about ``m`` = 20, each with ``n / b`` targets of about 180 bytes. The sum
    ``45·b + m·(n/b)·180`` is smallest for ``b² = 4·m·n``. The result is the power of two that is
    nearest to that ``b`` by ratio. For the 2,273,539 targets of PEP 458 it is 16,384, as there.

    Args:
        expected_files: The expected number of targets (``n``), pages and distributions together.
    """
    best = math.sqrt(
        _BINS_PER_INSTALL * max(expected_files, 1) * _BYTES_PER_TARGET / _SNAPSHOT_BYTES_PER_BIN
    )
    return 1 << min(max(round(math.log2(best)), _MIN_BITS), _MAX_BITS)


def succinct_roles(bins: int, keyid: str) -> SuccinctRoles:
    """The delegation to ``bins`` hash bins (a power of two), each signed by one online key."""
    return SuccinctRoles([keyid], 1, bins.bit_length() - 1, BIN_PREFIX)
