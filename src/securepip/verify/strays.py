"""Finds files among installed distributions that belong to none of them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from securepip.formats.digests import sha256_of
from securepip.verify import byte_code
from securepip.verify.compare import WRITTEN
from securepip.verify.record import TooManyError, read_bounded, walk
from securepip.verify.types import NOT_SIGNED, Finding, Kind

_MAX_ENTRIES = 1_000_000
_VIRTUALENV_LINE = b"import _virtualenv"
_VIRTUALENV = ("_virtualenv.py", "_virtualenv.pth")
_MAX_SMALL_BYTES = 1 << 20
_HARMLESS = frozenset({"README.txt", "README", byte_code.CACHE_FOLDER})


def added_files(folders: Collection[Path], owned: Collection[str]) -> Iterator[Finding]:
    """Find files in a distribution's own folders that belong to no distribution.

    Args:
        folders: The folders of its packages, and its ``.dist-info`` folder.
        owned: The result of ``owned_paths``.
    """
    for folder in folders:
        if folder.is_symlink():
            what = f"{folder.name} is a link, and leads elsewhere"
            yield Finding(Kind.ADDED, what, folder)
            continue
        try:
            yield from _added(folder, owned)
        except TooManyError:
            what = f"{folder.name} holds more files than were looked at"
            yield Finding(Kind.ADDED, what, folder, NOT_SIGNED)


def _added(folder: Path, owned: Collection[str]) -> Iterator[Finding]:
    for place in walk(folder, _MAX_ENTRIES):
        if str(place) in owned or _is_written(place):
            continue
        source = byte_code.source_of(place)
        if source is None:
            yield Finding(Kind.ADDED, f"{place.name} belongs to no distribution", place)
        elif not os.path.lexists(source) and str(source) not in owned:
            yield Finding(Kind.BYTE_CODE, f"{place.name} is byte code without a source", place)


def _is_written(place: Path) -> bool:
    """Whether installers write a file of this name into ``.dist-info``, in RECORD or not."""
    return place.parent.suffix == ".dist-info" and place.name in WRITTEN


def stray_files(
    library: Path,
    owned: Collection[str],
    known: Collection[Path],
    claimed: Mapping[str, str],
    written: Mapping[Path, bytes],
) -> Iterator[Finding]:
    """Find files and folders at the top of a library folder that belong to no distribution.

    Args:
        library: The folder that distributions are installed in.
        owned: The result of ``owned_paths``.
        known: The metadata folders, and other entries, of the installed distributions.
        claimed: Files that run when Python starts and that a RECORD names: the project by path.
        written: The files of securepip's plugin, with their contents.
    """
    try:
        entries = sorted(os.scandir(library), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        place = Path(entry.path)
        if entry.name in _HARMLESS or entry.path in owned or place in known:
            continue
        if place in written:
            yield _of_the_plugin(place, written[place])
        elif entry.name in _VIRTUALENV:
            yield _of_virtualenv(place)
        elif entry.name.endswith((".dist-info", ".egg-info")):
            what = f"{entry.name} is a second one of its project, or says no name"
            yield Finding(Kind.ADDED, what, place)
        elif (project := claimed.get(entry.path)) and _names_folders(place):
            what = f"{entry.name} of {project} leads to a folder, and runs nothing"
            yield Finding(Kind.NOTE, what, place, exit_code=0)
        elif project:
            what = f"{entry.name} runs when Python starts; {project} names it, and nobody signs it"
            yield Finding(Kind.ADDED, what, place)
        else:
            yield Finding(Kind.ADDED, f"{entry.name} belongs to no distribution", place)


def _of_the_plugin(place: Path, contents: bytes) -> Finding:
    if read_bounded(place, _MAX_SMALL_BYTES) == contents:
        what = f"{place.name} is of this securepip's plugin, and as it writes it"
        return Finding(Kind.NOTE, what, place, exit_code=0)
    what = (
        f"{place.name} runs when Python starts, and is not as this securepip writes it for its "
        "plugin: another securepip did, or somebody changed it; `securepip plugin enable` writes "
        "it anew"
    )
    return Finding(Kind.CHANGED, what, place)


def _of_virtualenv(place: Path) -> Finding:
    data = read_bounded(place, _MAX_SMALL_BYTES)
    if data is not None and (place.suffix == ".py" or data.strip() == _VIRTUALENV_LINE):
        what = (
            f"{place.name} runs when Python starts: virtualenv and uv write it into every "
            "environment, and nobody signs it"
        )
        if place.suffix == ".py":
            what += f"; its contents were not judged (sha256 {sha256_of(data)})"
        return Finding(Kind.NOTE, what, place, exit_code=0)
    what = f"{place.name} runs when Python starts, and is not what virtualenv and uv write"
    return Finding(Kind.CHANGED, what, place, NOT_SIGNED)


def _names_folders(place: Path) -> bool:
    """Whether a ``.pth`` file only names folders, as those of editable installs may."""
    data = read_bounded(place, _MAX_SMALL_BYTES) if place.suffix == ".pth" else None
    if data is None:
        return False
    # Split at everything that Python may take for the end of a line, in any encoding: an `import`
    # that is overlooked would run.
    lines = re.split(rb"[\r\n\x0b\x0c\x1c-\x1e\x85]", data.removeprefix(b"\xef\xbb\xbf"))
    return not any(line.lstrip().startswith(b"import") for line in lines) and b"\0" not in data
