"""The files that an install reads, and checks of its refusals."""

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
"""Patterns for the paths of all kinds of files that an install reads."""


def assert_refused(done: Finished, hostile: HostileServer, pattern: str = "") -> None:
    """Check that verification failed, with an error that names the file and its URL.

    Args:
        done: The command that has ended.
        hostile: The server, whose URL the error names.
        pattern: The pattern of the named file's path.
    """
    assert done.code == 3, done
    assert re.search(re.escape(hostile.url) + pattern, done.err), done.err
    assert "Nothing was installed." in done.err
    assert_explained(done)


def assert_explained(done: Finished) -> None:
    """Check that the error is no traceback, and that nothing looks like success."""
    assert done.code in (1, 2, 3), done
    assert "ERROR: " in done.err
    assert "Traceback" not in done.err
    assert "securepip itself failed" not in done.err
    assert "Successfully" not in done.out
