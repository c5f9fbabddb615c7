"""Compares new files with those that this machine has seen at other indexes.

Each index has its own repository. Without this comparison, an attacker who can answer in the place
of one index, or who gets a command to use another mirror, could show other bytes for a file that
was seen long ago.

Rule: only files that are new to this repository are compared. It is enough that one of the other
repositories has seen the same digest, because a person may have accepted a change there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.first_use.memory import Memory
from securepip.first_use.memory_file import Seen
from securepip.formats.page import PageFile
from securepip.signing.repository.config import CONFIG_NAME, STATE_DIR
from securepip.signing.repository.repository import Repository


def other_repositories(folder: Path, believed: Iterable[Path]) -> tuple[Path, ...]:
    """The folders of the other first-use repositories, trusted or no longer trusted.

    Args:
        folder: The folder of this repository.
        believed: The folders of all first-use repositories that are trusted.
    """
    beside = (each for each in folder.parent.iterdir() if (each / STATE_DIR / CONFIG_NAME).exists())
    return tuple(sorted({*beside, *believed} - {folder}))


def seen_elsewhere(
    folders: Iterable[Path], new: Mapping[NormalizedName, Sequence[PageFile]]
) -> Mapping[tuple[NormalizedName, str], Seen]:
    """The files that other repositories have seen, but always with other bytes.

    Args:
        folders: The folders of the other repositories.
        new: The files that are new to this repository, by project.

    Returns:
        What was seen, by project and file name.

    Raises:
        RepositoryStateError: What is on disk in one of the others is not what was signed.
    """
    differing: dict[tuple[NormalizedName, str], Seen] = {}
    agreed: set[tuple[NormalizedName, str]] = set()
    for folder in folders:
        with Repository.open(folder) as repository:
            memory = Memory(repository.ledger.connection, time.time())
            for project, files in new.items():
                known = repository.ledger.known(project)
                for file in files:
                    one, sha256 = (project, file.filename), known.get(file.filename)
                    if sha256 == file.sha256:
                        agreed.add(one)
                    elif sha256 is not None and one not in differing:
                        differing[one] = Seen(file.filename, sha256, memory.first_seen(*one))
    return {one: seen for one, seen in differing.items() if one not in agreed}
