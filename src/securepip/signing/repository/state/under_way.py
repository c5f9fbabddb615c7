"""What was begun and waits for its end: folders of files, on whichever machine it is ended.

Rule: who was killed is followed up by whoever opens the repository next. What these files hold is
signed, or is checked again before it takes effect; no private key is ever among them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from securepip.signing.repository.storage.files import flush


class UnderWay(Protocol):
    """The folders of one repository. The lock must be held but for ``names`` and ``file``."""

    def names(self, folder: str) -> list[str]:
        """The files that are in it, by their paths from there, sorted."""

    def file(self, folder: str, name: str) -> Path | None:
        """One of them, on this machine; None where it is not there."""

    def folder(self, folder: str) -> Path:
        """The folder on this machine, with all of its files; where there are none, it may not be.

        What is changed there is remembered by ``keep``.
        """

    def keep(self, folder: str) -> None:
        """Remember what the folder on this machine has, durably, and nothing else."""

    def put(self, folder: str, files: Iterable[tuple[str, bytes]]) -> None:
        """Remember these files, each with its name, durably, and nothing else."""

    def forget(self, folder: str, name: str = "") -> None:
        """Let the folder be gone, or that file of it."""


class FolderUnderWay:
    """Folders of the one machine that signs. Implements ``UnderWay``.

    Args:
        home: Where they are.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def names(self, folder: str) -> list[str]:
        """As ``UnderWay.names``."""
        path = self._home / folder
        files = (each for each in path.rglob("*") if each.is_file())
        return sorted(each.relative_to(path).as_posix() for each in files)

    def file(self, folder: str, name: str) -> Path | None:
        """As ``UnderWay.file``."""
        path = self._home / folder / name
        return path if path.exists() else None

    def folder(self, folder: str) -> Path:
        """As ``UnderWay.folder``."""
        return self._home / folder

    def keep(self, folder: str) -> None:  # all that was written is waited for
        """As ``UnderWay.keep``."""
        flush()

    def put(self, folder: str, files: Iterable[tuple[str, bytes]]) -> None:
        """As ``UnderWay.put``."""
        others = set(self.names(folder))
        for name, data in files:
            path = self._home / folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(data)
            others.discard(name)
        for name in others:
            self.forget(folder, name)
        flush()

    def forget(self, folder: str, name: str = "") -> None:
        """As ``UnderWay.forget``."""
        path = self._home / folder
        if name:
            (path / name).unlink(missing_ok=True)
        elif path.exists():
            shutil.rmtree(path)
