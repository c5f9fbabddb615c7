"""What lies among installed distributions and belongs to none of them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from securepip.verify import byte_code
from securepip.verify.compare import WRITTEN
from securepip.verify.record import walk
from securepip.verify.types import Finding, Kind

_MAX_ENTRIES = 1_000_000
_NOTED = {
    "_virtualenv.py": "virtualenv and uv write it into every environment; nobody signs it",
    "_virtualenv.pth": "virtualenv and uv write it into every environment; nobody signs it",
    "_securepip_plugin.py": "of the plugin; `securepip plugin status` tries it",
    "_securepip_plugin_start.py": "of the plugin; `securepip plugin status` tries it",
    "securepip-plugin.pth": "of the plugin; `securepip plugin status` tries it",
    "securepip-plugin-start.start": "of the plugin; `securepip plugin status` tries it",
}
"""What tools that are known put there. It runs when Python starts, so that it is said."""
_HARMLESS = frozenset({"README.txt", "README", byte_code.CACHE_FOLDER})


def added_files(folders: Collection[Path], owned: Collection[str]) -> Iterator[Finding]:
    """Files in a distribution's own folders that no RECORD of the environment names.

    Args:
        folders: Its packages, and its ``.dist-info`` folder.
        owned: All paths that any RECORD of the environment names.
    """
    for folder in folders:
        if folder.is_symlink():
            what = f"{folder.name} is a link, and leads elsewhere"
            yield Finding(Kind.ADDED, what, folder)
            continue
        for place in walk(folder, _MAX_ENTRIES):
            if str(place) in owned or _is_written(place):
                continue
            source = byte_code.source_of(place)
            if source is None:
                yield Finding(Kind.ADDED, f"{place.name} belongs to no distribution", place)
            elif not os.path.lexists(source) and str(source) not in owned:
                what = f"{place.name} is byte code without a source"
                yield Finding(Kind.BYTE_CODE, what, place)


def _is_written(place: Path) -> bool:
    """Whether an installer writes it beside the metadata: no RECORD may be left to say so."""
    return place.parent.suffix == ".dist-info" and place.name in WRITTEN


def stray_files(
    library: Path, owned: Collection[str], known: Collection[Path]
) -> Iterator[Finding]:
    """What lies at the top of a library folder and belongs to no distribution.

    Args:
        library: The folder that distributions are installed in.
        owned: All paths that any RECORD of the environment names, and the folders they are in.
        known: The folders of metadata of the distributions that count.
    """
    try:
        entries = sorted(os.scandir(library), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        place = Path(entry.path)
        if entry.name in _HARMLESS or entry.path in owned or place in known:
            continue
        if entry.name in _NOTED:
            yield Finding(Kind.NOTE, f"{entry.name}: {_NOTED[entry.name]}", place, exit_code=0)
        elif entry.name.endswith((".dist-info", ".egg-info")):
            what = f"{entry.name} is a second one of its project, or says no name"
            yield Finding(Kind.ADDED, what, place)
        else:
            yield Finding(Kind.ADDED, f"{entry.name} belongs to no distribution", place)
