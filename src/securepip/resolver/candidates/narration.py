"""Logs what is looked at while candidates are found, in pip's words.

Rule: no line is logged twice in a row.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from securepip.resolver.candidates.graph import SpecifierRequirement
from securepip.resolver.candidates.metadata import InconsistentMetadataError, InvalidMetadataError
from securepip.resolver.candidates.places import LocalFile
from securepip.resolver.candidates.ranking import OfferedFile
from securepip.resolver.requirements.links import UserLink
from securepip.resolver.requirements.types import UserRequirement

_log = logging.getLogger(__name__)


class Narrator:
    """Logs what the resolver looks at."""

    def __init__(self) -> None:
        self._said = ""

    def found(self, offered: OfferedFile, asked_by: SpecifierRequirement) -> None:
        """Log that a file that was found by its project's name is looked at."""
        if isinstance(offered.file, LocalFile):
            what = f"Processing {_shown(offered.file.path)}"
        else:
            what = f"Collecting {asked_by.unmarked.strip()}"
        self._say(f"{what} (from {asked_by.comes_from})" if asked_by.comes_from else what)

    def unusable(
        self, offered: OfferedFile, asked_by: SpecifierRequirement, error: InvalidMetadataError
    ) -> None:
        """Log that a file is skipped because of its metadata."""
        if isinstance(error, InconsistentMetadataError):
            url = offered.file.url
            _log.info("Discarding %s: Requested %s from %s %s", url, asked_by.text, url, error)
            return
        _log.warning(
            "Ignoring version %s of %s since it has invalid metadata:\n%s",
            offered.version,
            asked_by.project,
            error,
        )

    def direct(self, asked: UserRequirement, link: UserLink) -> None:
        """Log that a file or folder that the user named by path or URL is looked at."""
        source = f" (from {asked.source})" if asked.source else ""
        if asked.editable:
            self._say(f"Obtaining {link.url}{source}")
        elif link.path is not None:
            self._say(f"Processing {_shown(link.path)}{source if asked.requirement else ''}")
        else:
            self._say(f"Collecting {asked.requirement or link.url}{source}")

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            _log.info("%s", line)


def _shown(path: Path) -> str:
    """A path as pip prints it: below the current folder as ``./…``."""
    here = str(Path.cwd())
    text = str(path)
    return f".{text[len(here) :]}" if text.startswith(here + os.sep) else text
