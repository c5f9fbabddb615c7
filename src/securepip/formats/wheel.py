"""Checks that pip can install a wheel, and that installing it changes no other project.

Rule: a wheel belongs to one project. Installing it does not make another project look installed,
and neither writes nor later removes a file outside of the folders of the environment.

Source: the binary distribution format specification (PEP 427).
"""

from __future__ import annotations

import csv
import os
import posixpath
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.utils import canonicalize_name

from securepip.errors import FormatError
from securepip.formats.core_metadata import ARCHIVE_ERRORS, open_zip, unreadable

_NEEDED = ("METADATA", "WHEEL", "RECORD")
_SCRIPT_GROUPS = ("console_scripts", "gui_scripts")
_ALL_GROUPS = "DEFAULT"
"""``configparser``, with which Python 3.9 reads entry points, adds these lines to every group."""
_MAX_ENTRY_POINTS_BYTES = 1 << 20
_MAX_RECORD_BYTES, _MAX_ROW_BYTES = 1 << 20, 1_000
"""The longest RECORD, beside so many bytes for each member: a few kB of an archive can hold 64 MB
of lines."""
_OWN, _OLD = ".dist-info", ".egg-info"
_ORIGINS = ("direct_url.json", "provenance_url.json")
"""Files of ``.dist-info`` in which an installer records the URL that it installed from."""
_DISTRIBUTIONS = (_OWN, _OLD, ".egg-link", ".egg")
"""Endings of the files and folders by which Python and pip find installed distributions."""
_OF_THE_PLUGIN = ("securepip-plugin", "_securepip_plugin")
"""The plugin's files in an environment start with one of these."""
_IN_A_LIBRARY = re.compile(
    r"(^|/)(site-packages|dist-packages|python)/"
    rf"([^/]+({'|'.join(map(re.escape, _DISTRIBUTIONS))})|({'|'.join(_OF_THE_PLUGIN)})[^/]*)(/|$)"
)
"""The path of such a file in a library folder, which has one of these names in every scheme."""
_INTERPRETER = re.compile(r"python[\d.]*w?(\.exe)?", re.IGNORECASE)
_OF_THE_ENVIRONMENT = re.compile(rf"pyvenv\.cfg|(.*/)?(bin|scripts)/{_INTERPRETER.pattern}")
"""Paths by which an environment is started."""
_SCRIPT_PYTHON = re.compile(rf"(?<![\w.-]){_INTERPRETER.pattern}\s*=", re.IGNORECASE)


@dataclass(frozen=True)
class Inside:
    """What an installer finds in a wheel.

    Attributes:
        dist_info: The name of its ``.dist-info`` folder.
        scripts: The names of the scripts that an installer makes for it.
        unheld: Names in its RECORD that are not members. pip would remove these files, which belong
            to others, when it uninstalls the wheel.
    """

    dist_info: str
    scripts: tuple[str, ...]
    unheld: frozenset[str]


def look_inside(archive: zipfile.ZipFile, filename: str) -> Inside:
    """Read the parts of a wheel that decide what pip does with it.

    Raises:
        FormatError: It holds or names files that do not belong to its project, or states its own
            origin, or does not have exactly one ``.dist-info`` folder.
        zipfile.BadZipFile: Or another of ``ARCHIVE_ERRORS``: the archive is damaged.
    """
    members = archive.namelist()
    dist_info = dist_info_of(members, filename)
    _check_origin(members, dist_info)
    return Inside(
        dist_info,
        script_names(archive, dist_info),
        _unheld(archive, members, dist_info),
    )


def check_installable(path: Path, filename: str) -> None:
    """Check that pip can install the wheel at ``path``.

    Args:
        path: The wheel.
        filename: Its distribution file name, for messages.

    Raises:
        FormatError: It is not a readable archive, does not have exactly one ``.dist-info`` folder,
            or lacks a file there that every installer needs; or a member would be installed
            outside of its folder, or belongs to another project (``look_inside``).
        SecurepipError: This machine cannot read it now.
    """
    try:
        with open_zip(path) as archive:
            members = set(archive.namelist())
            folder = look_inside(archive, filename).dist_info
    except ARCHIVE_ERRORS as error:
        broken = FormatError(f"{filename} is not a readable archive: {error}")
        raise unreadable(path, error, broken) from None
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


def check_reach(path: Path, filename: str, roots: Mapping[str, str], state: Path) -> None:
    """Check that installing a wheel changes neither other projects nor securepip's state.

    Args:
        path: The wheel.
        filename: Its distribution file name.
        roots: The folders of the scheme that it may be installed with.
        state: The folder of securepip's state.

    Raises:
        FormatError: It would, or it is not a readable archive.
        SecurepipError: This machine cannot read it now.
    """
    try:
        with open_zip(path) as archive:
            look_inside(archive, filename)
            check_apart(archive.namelist(), filename, roots, state)
    except ARCHIVE_ERRORS as error:
        broken = FormatError(f"{filename} is not a readable archive: {error}")
        raise unreadable(path, error, broken) from None


def script_names(archive: zipfile.ZipFile, dist_info: str) -> tuple[str, ...]:
    """The names of the scripts that an installer makes for a wheel.

    Args:
        archive: The wheel.
        dist_info: Its ``.dist-info`` folder.

    Raises:
        FormatError: The file of entry points is larger than any real one. An installer would make
            scripts also from the part that is not read here. Or it names a script in another
            folder, or one that would replace the interpreter.

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
    names, group, may_name_scripts = [], "", False
    for line in map(str.strip, text.splitlines()):
        is_group = line.startswith("[") and line.endswith("]")
        if line.startswith("["):
            # Python 3.9 takes more lines for the beginning of a group.
            has_scripts = any(each in line for each in (*_SCRIPT_GROUPS, _ALL_GROUPS))
            may_name_scripts = has_scripts or (may_name_scripts and not is_group)
        if may_name_scripts and not line.startswith("#") and ("/" in line or "\\" in line):
            # pip parses the whole line again, so a slash after the name counts too.
            raise FormatError(
                f"{dist_info}/entry_points.txt has a script in another folder: {line!r:.200}",
                meaning="An older pip writes it there, wherever that is.",
            )
        if may_name_scripts and _SCRIPT_PYTHON.search(line):
            raise _reaching(dist_info, line)
        if is_group:
            group = line.strip("[]")
        elif group in _SCRIPT_GROUPS and not line.startswith("#"):
            names.append(line.partition("=")[0].strip())
    return tuple(filter(None, names))


def _check_origin(members: Iterable[str], dist_info: str) -> None:
    """Check that a wheel holds no file in which an installer records its origin.

    pip and uv keep such a file of a wheel from an index. ``pip freeze`` then writes the URL in it
    as a requirement, and the next install fetches from there.

    Raises:
        FormatError: It holds one.

    Sources: PEP 610, PEP 710.
    """
    stated = {f"{dist_info}/{name}".lower() for name in _ORIGINS}
    for member in members:
        if member.lower() in stated:
            raise FormatError(
                f"{member:.200} is in the wheel, but only installers write that file.",
                meaning="The wheel would look as if you had installed it from another URL.",
            )


def _unheld(archive: zipfile.ZipFile, members: Collection[str], dist_info: str) -> frozenset[str]:
    """The names in RECORD that are not members of the wheel.

    pip copies these lines as they are, and removes these files when it uninstalls or upgrades.

    Raises:
        FormatError: One leads outside of the wheel's folders, or RECORD cannot be read.
    """
    most = _MAX_RECORD_BYTES + _MAX_ROW_BYTES * len(members)
    try:
        with archive.open(f"{dist_info}/RECORD") as stream:
            data = stream.read(most + 1)
    except KeyError:
        return frozenset()  # pip refuses a wheel without RECORD
    try:
        if len(data) > most:
            raise ValueError(f"it is larger than {most} bytes")
        # The same lines as in pip.
        named = {row[0] for row in csv.reader(data.decode().splitlines()) if row}
    except (ValueError, csv.Error) as error:
        raise FormatError(f"{dist_info}/RECORD cannot be read: {error}") from None
    unheld = named.difference(members)
    if not unheld:
        return frozenset()
    held = {posixpath.normpath(member) for member in members if not member.endswith("/")}
    found = set()
    for name in unheld:
        place = posixpath.normpath(name.replace("\\", "/"))
        if place.startswith(("/", "../")) or place == ".." or place[1:2] == ":":
            raise FormatError(
                f"{dist_info}/RECORD names a file outside of the wheel's folders: {name!r:.200}",
                meaning="An upgrade of the wheel would remove that file.",
            )
        if place not in held and not place.startswith(f"{dist_info}/"):
            found.add(name)
    return frozenset(found)


def check_apart(members: Iterable[str], wheel: str, roots: Mapping[str, str], state: Path) -> None:
    """Check that pip would write no member of a wheel into the folder of securepip's state.

    With ``--user``, pip installs a wheel's data into the folder that this folder is in. A malicious
    wheel could add a repository to those that the user trusts.

    Args:
        members: The names of its members.
        wheel: Its name, for messages.
        roots: The folders of the scheme that it may be installed with.
        state: The folder of securepip's state.

    Raises:
        FormatError: pip would write there.
    """
    real = cache(os.path.realpath)
    top = _folded(real(state))
    for member in members:
        if ".data/" not in member:
            continue
        scheme, inside = place_of(member)
        if scheme in roots:
            # Some wheels have thousands of such files, in a few folders.
            folder, name = os.path.split(os.path.normpath(f"{roots[scheme]}/{inside}"))
            path = _folded(f"{real(folder)}{os.sep}{name}")
            if path == top or path.startswith(top + os.sep):
                raise FormatError(
                    f"{wheel} would write {member!r:.200} into {state}.",
                    meaning="securepip keeps there whom you trust. The wheel could add its author.",
                )


def _folded(path: str) -> str:
    return os.path.normcase(path).casefold()


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
    metadata that was verified. So a file of the folder may have one name only. The wheel could also
    hold metadata of another project, which would then look installed, unsigned.

    Raises:
        FormatError: There is not exactly one such folder, or a file in it has two names; or there
            is metadata of another project, a file of the plugin, or an interpreter.
    """
    folders: set[str] = set()
    seen: dict[str, str] = {}
    project = canonicalize_name(wheel.partition("-")[0])
    for member in members:
        path = member.rstrip("/")
        scheme, inside = place_of(path)
        normal = inside if scheme in ("purelib", "platlib") else posixpath.normpath(path)
        if scheme == "data" and (
            _IN_A_LIBRARY.search(inside.lower()) or _OF_THE_ENVIRONMENT.fullmatch(inside.lower())
        ):
            raise _reaching(wheel, member)
        if scheme == "scripts" and _INTERPRETER.fullmatch(inside):
            raise _reaching(wheel, member)
        folder = normal.partition("/")[0]
        lowered = folder.lower()
        if lowered.startswith(_OF_THE_PLUGIN):
            raise _reaching(wheel, member)
        if not lowered.endswith(_DISTRIBUTIONS):
            continue
        if not lowered.endswith(_OWN):
            # Some builds leave an egg-info of the project itself, which is harmless.
            if not _is_of(lowered, project):
                raise _reaching(wheel, member)
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


def _is_of(name: str, project: str) -> bool:
    stem, kind = posixpath.splitext(name)
    return kind == _OLD and canonicalize_name(stem.partition("-")[0]) == project


def _reaching(wheel: str, member: str) -> FormatError:
    return FormatError(
        f"{wheel} holds {member!r:.200}, which does not belong to its project.",
        meaning="It would make another project look installed, or replace the interpreter or a "
        "file of the plugin through which pip verifies.",
    )
