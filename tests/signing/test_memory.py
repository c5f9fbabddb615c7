"""The memory of a machine with offline keys, and its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from securepip.dirs import data_dir
from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256
from securepip.signing.keys.memory import Remembered, owner, recall, remembering

OURS, OTHER, DIGEST = Sha256("a" * 64), Sha256("b" * 64), Sha256("d" * 64)


def memory() -> Path:
    return data_dir() / "signed-at-ceremonies.json"


def test_what_an_earlier_version_has_remembered_still_counts() -> None:
    memory().write_text(json.dumps({OURS: {"claimed": [4, DIGEST]}}))
    assert recall(OURS) == Remembered(signed={"claimed": (4, DIGEST)})
    with remembering(OTHER) as update:
        update.value = Remembered(keys=("k",), seen={"root": (2, DIGEST)}, root="{}")
    known = recall(OURS)
    assert known is not None
    assert known.newest("claimed") == 4
    assert owner("k") == OTHER
    assert recall(OTHER) == Remembered(keys=("k",), seen={"root": (2, DIGEST)}, root="{}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 3}',
        '{"format": 3, "repositories": {}}',
        '{"format": 2}',
        '{"x": {}}',
    ],
)
def test_a_memory_that_cannot_be_read_is_not_passed_over(text: str) -> None:
    memory().write_text(text)
    with pytest.raises(RepositoryStateError, match="cannot be read"):
        recall(OURS)
    with pytest.raises(RepositoryStateError, match="cannot be read"), remembering(OURS):
        pass
    assert memory().read_text() == text
