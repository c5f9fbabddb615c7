"""How the targets are spread over succinct hash bins (TAP 15), and over how many."""

from __future__ import annotations

import math

from tuf.api.metadata import SuccinctRoles

BIN_PREFIX = "bin"
"""What bins are called: ``bin-<hex>``. Another number of bins has to have another prefix, because
a role that was once listed in a snapshot stays listed."""

_SNAPSHOT_BYTES_PER_BIN = 45
_BYTES_PER_TARGET = 180
_BINS_PER_INSTALL = 20
_MIN_BITS, _MAX_BITS = 1, 20


def bin_count(expected_files: int) -> int:
    """The number of bins, a power of two, with which a client downloads least.

    A client fetches the snapshot, which has about 45 bytes for each of the ``b`` bins, and those
    bins that an install looks at: say ``m`` = 20, each with ``n / b`` targets of about 180 bytes.
    The sum ``45·b + m·(n/b)·180`` is smallest where ``b² = 4·m·n``; the power of two nearest to
    that ``b`` (by ratio) is taken. For the 2,273,539 targets of PEP 458 it is 16,384, as there.

    Args:
        expected_files: How many targets, pages and distributions together, there will be.
    """
    best = math.sqrt(
        _BINS_PER_INSTALL * max(expected_files, 1) * _BYTES_PER_TARGET / _SNAPSHOT_BYTES_PER_BIN
    )
    return 1 << min(max(round(math.log2(best)), _MIN_BITS), _MAX_BITS)


def succinct_roles(bins: int, keyid: str) -> SuccinctRoles:
    """The delegation to ``bins`` hash bins (a power of two), each signed by one online key."""
    return SuccinctRoles([keyid], 1, bins.bit_length() - 1, BIN_PREFIX)
