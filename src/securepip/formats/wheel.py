"""Checks, by the names of its members alone, that pip can install a wheel, and where it puts them.

Source: the binary distribution format specification (PEP 427).
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterable
from pathlib import Path

from securepip.errors import FormatError
from securepip.formats.core_metadata import ARCHIVE_ERRORS, open_zip, unreadable

_NEEDED = ("METADATA", "WHEEL", "RECORD")
_SCRIPT_GROUPS = ("console_scripts", "gui_scripts")
_MAX_ENTRY_POINTS_BYTES = 1 << 20


def check_installable(path: Path, filename: str) -> None:
    """Check that pip can install the wheel at ``path``.

    Args:
        path: The wheel.
        filename: Its distribution file name, for messages.

    Raises:
        FormatError: It is not a readable archive, does not have exactly one ``.dist-info`` folder,
            or lacks a file there that every installer needs; or a member would be installed
            outside of its folder.
        SecurepipError: This machine cannot read it now.
    """
    try:
        with open_zip(path) as archive:
            members = set(archive.namelist())
    except ARCHIVE_ERRORS as error:
        broken = FormatError(f"{filename} is not a readable archive: {error}")
        raise unreadable(path, error, broken) from None
    folder = dist_info_of(members, filename)
    missing = [name for name in _NEEDED if f"{folder}/{name}" not in members]
    if missing:
        raise FormatError(
            f"{filename} has no {' and no '.join(missing)} in {folder}",
            meaning="No installer can install it.",
            remedy="Build it again, with a build backend.",
        )
    places = {name: place_of(name)[1] for name in members}
    leaving = [name for name in members if places[name].startswith(("/", "../"))]
    if leaving:
        raise FormatError(
            f"{filename} has a member that leads out of its folder: {min(leaving)!r:.200}",
            meaning="pip does not install it.",
            remedy="Build it again, with a build backend.",
        )


def script_names(archive: zipfile.ZipFile, dist_info: str) -> tuple[str, ...]:
    """The names of the scripts that an installer makes for a wheel.

    Args:
        archive: The wheel.
        dist_info: Its ``.dist-info`` folder.

    Raises:
        FormatError: The file of entry points is larger than any real one. An installer would make
            scripts also from the part that is not read here.

    Source: the entry points specification, as ``importlib.metadata`` reads it.
    """
    try:
        with archive.open(f"{dist_info}/entry_points.txt") as stream:
            data = stream.read(_MAX_ENTRY_POINTS_BYTES + 1)
    except KeyError:
        return ()
    if len(data) > _MAX_ENTRY_POINTS_BYTES:
        raise FormatError(
            f"{dist_info}/entry_points.txt is larger than {_MAX_ENTRY_POINTS_BYTES} bytes",
            meaning="What it names after that would become scripts that nobody has looked at.",
        )
    text = data.decode(errors="replace")
    names, group = [], ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]")
        elif group in _SCRIPT_GROUPS and not line.startswith("#"):
            names.append(line.partition("=")[0].strip())
    return tuple(filter(None, names))


def place_of(member: str) -> tuple[str, str]:
    """Where pip installs a member of a wheel: the scheme ("" for the library), and the path there.

    As in pip, the name as written says whether it is in ``.data``; the normalized path has the
    scheme.
    """
    normal = posixpath.normpath(member)
    if not member.partition("/")[0].endswith(".data"):
        return "", normal
    _, _, rest = normal.partition("/")
    scheme, _, inside = rest.partition("/")
    return scheme, inside


def dist_info_of(members: Iterable[str], wheel: str) -> str:
    """The name of the ``.dist-info`` folder of a wheel.

    A malicious wheel could have a second member for the same file, such as
    ``x.dist-info/./METADATA`` or one below ``x.data/purelib``. pip would install it over the
    metadata that was verified. So a file of the folder may have one name only.

    Raises:
        FormatError: There is not exactly one such folder, or a file in it has two names.
    """
    folders: set[str] = set()
    seen: dict[str, str] = {}
    for member in members:
        path = member.rstrip("/")
        scheme, inside = place_of(path)
        normal = inside if scheme in ("purelib", "platlib") else posixpath.normpath(path)
        folder = normal.partition("/")[0]
        if not folder.lower().endswith(".dist-info"):
            continue
        # Two members with exactly the same name are allowed: pip installs the last one.
        if normal != path or seen.get(normal.lower(), member) != member:
            raise FormatError(
                f"{wheel} holds {member!r}, which is not how a wheel writes a file of {folder}.",
                meaning="It would take the place of what was verified.",
            )
        folders.add(folder)
        seen[normal.lower()] = member
    if len(folders) != 1:
        found = f"multiple .dist-info directories found: {', '.join(sorted(folders))}"
        raise FormatError(f"{wheel}: {found if folders else '.dist-info directory not found'}")
    return folders.pop()
