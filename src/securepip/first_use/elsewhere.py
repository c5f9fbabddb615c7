"""What this machine has seen at its other indexes: a file name keeps its bytes, whoever shows it.

Each index has a repository of its own. Who can answer in the place of one of them, or has a command
name another mirror, could otherwise show other bytes for a file that was seen long ago.

Rule: only files that are new here are looked for. A digest that any of the others has seen is good:
a person may have accepted a change there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
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
    folders: Iterable[Path], project: NormalizedName, new: Sequence[PageFile]
) -> Mapping[str, Seen]:
    """The files, by name, that other repositories of this machine know, and none with these bytes.

    Args:
        folders: The other repositories.
        project: Whose files they are.
        new: What the index shows that is new here.

    Raises:
        RepositoryStateError: One of the others is in an odd state.
    """
    found: dict[str, Seen] = {}
    agreed: set[str] = set()
    with ExitStack() as stack:
        for folder in folders:
            ledger = stack.enter_context(Repository.open(folder)).ledger
            known = ledger.known(project)
            memory = Memory(ledger.connection, time.time())
            for file in new:
                sha256 = known.get(file.filename)
                if sha256 == file.sha256:
                    agreed.add(file.filename)
                elif sha256 is not None and file.filename not in found:
                    seen = memory.first_seen(project, file.filename)
                    found[file.filename] = Seen(file.filename, sha256, seen)
    return {name: seen for name, seen in found.items() if name not in agreed}
