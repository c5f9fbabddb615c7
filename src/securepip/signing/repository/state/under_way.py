"""Keeps the files of work that was begun and not finished, so that any machine can finish it.

Rule: if a process is killed, the next one that opens the repository goes on. These files are signed
or checked again before they take effect, and never hold a private key.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from securepip.signing.repository.storage.files import flush


class UnderWay(Protocol):
    """Folders of files. The lock must be held, except for ``names`` and ``file``."""

    def names(self, folder: str) -> list[str]:
        """The paths of the files in a folder, relative to it, sorted."""

    def file(self, folder: str, name: str) -> Path | None:
        """A file of a folder, on this machine; None if there is no such file."""

    def folder(self, folder: str) -> Path:
        """A folder on this machine, with all of its files. It may not exist if there are none.

        Changes to it are remembered by ``keep``.
        """

    def keep(self, folder: str) -> None:
        """Remember the present files of the folder on this machine, durably."""

    def put(self, folder: str, files: Iterable[tuple[str, bytes]]) -> None:
        """Replace the files of a folder with these (name and contents), durably."""

    def forget(self, folder: str, name: str = "") -> None:
        """Delete a file of a folder; without ``name``, the whole folder."""


class FolderUnderWay:
    """Folders on the one machine that signs. Implements ``UnderWay``.

    Args:
        home: The folder that they are in.
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

    def keep(self, folder: str) -> None:
        """As ``UnderWay.keep``."""
        flush()  # waits for all files of the system

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
