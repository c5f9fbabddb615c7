"""What an install reads, and what its refusal looks like."""

from __future__ import annotations

import re

from tests.support.hostile import HostileServer
from tests.support.machine import Finished

SERVED = {
    "timestamp": r"metadata/timestamp\.json",
    "snapshot": r"metadata/\d+\.snapshot\.json",
    "targets": r"metadata/\d+\.targets\.json",
    "claimed": r"metadata/\d+\.claimed\.json",
    "recently-claimed": r"metadata/\d+\.recently-claimed\.json",
    "bins": r"metadata/\d+\.bins\.json",
    "bin": r"metadata/\d+\.bin-.*\.json",
    "page": r"simple/app/.*\.json",
    "page-of-a-dependency": r"simple/lib/.*\.json",
    "metadata": r"packages/app/.*\.metadata",
    "wheel": r"packages/app/[^/]*app-2[^/]*\.whl",
    "wheel-of-a-dependency": r"packages/lib/.*\.whl",
}
"""All kinds of files that an install reads, by patterns of their paths."""


def assert_refused(done: Finished, hostile: HostileServer, pattern: str = "") -> None:
    """It failed the way it must: by name, in words, with the exit code of failed verification.

    Args:
        done: What securepip did.
        hostile: The server, whose URL is named.
        pattern: Of the path of the file that is named.
    """
    assert done.code == 3, done
    assert re.search(re.escape(hostile.url) + pattern, done.err), done.err
    assert "Nothing was installed." in done.err
    assert_explained(done)


def assert_explained(done: Finished) -> None:
    """An error in words, and nothing that looks like success."""
    assert done.code in (1, 2, 3), done
    assert "ERROR: " in done.err
    assert "Traceback" not in done.err
    assert "securepip itself failed" not in done.err
    assert "Successfully" not in done.out
