"""What this machine has seen at its other indexes: a file name keeps its bytes, whoever shows it.

Each index has a repository of its own. Who can answer in the place of one of them, or has a command
name another mirror, could otherwise show other bytes for a file that was seen long ago.

Rule: only files that are new here are looked for. A digest that any of the others has seen is good:
a person may have accepted a change there.
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
    """The repositories of this machine's own beside one, those that it believes no more included.

    Args:
        folder: The one.
        believed: The folders of all that are believed.
    """
    beside = (each for each in folder.parent.iterdir() if (each / STATE_DIR / CONFIG_NAME).exists())
    return tuple(sorted({*beside, *believed} - {folder}))


def seen_elsewhere(
    folders: Iterable[Path], new: Mapping[NormalizedName, Sequence[PageFile]]
) -> Mapping[tuple[NormalizedName, str], Seen]:
    """The files that other repositories of this machine know, and none with these bytes.

    Args:
        folders: The other repositories.
        new: What the index shows that is new here, by project.

    Returns:
        What was seen, by project and file name.

    Raises:
        RepositoryStateError: One of the others is in an odd state.
    """
    found: dict[tuple[NormalizedName, str], Seen] = {}
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
                    elif sha256 is not None and one not in found:
                        found[one] = Seen(file.filename, sha256, memory.first_seen(*one))
    return {one: seen for one, seen in found.items() if one not in agreed}
