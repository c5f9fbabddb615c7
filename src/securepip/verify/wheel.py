"""Reads which files a wheel installs, so that an environment can be compared with it.

Rule: the digests are those of the members' bytes, which were verified as part of the wheel; its
RECORD is not used.

Sources: PyPA specifications "Binary distribution format" and "Entry points".
"""

from __future__ import annotations

import configparser
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from packaging.tags import Tag, parse_tag

from securepip.errors import FormatError
from securepip.formats.core_metadata import ARCHIVE_ERRORS, open_zip, unreadable
from securepip.formats.digests import CHUNK, Sha256, sha256_of_stream
from securepip.formats.wheel import dist_info_of

_MAX_MEMBERS = 500_000
_MAX_TEXT_BYTES = 4 << 20
_PYTHON_LINE = b"#!python"
_OF_INSTALLERS = ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED")
"""Files of ``.dist-info`` that installers write themselves, or leave out.

Some wheels hold one, with contents that installers replace."""


@dataclass(frozen=True)
class Member:
    """A file that a wheel installs.

    Attributes:
        path: Its path relative to the library folder, or to the folder of its scheme.
        scheme: "" for the library folder; otherwise ``scripts``, ``headers`` or ``data``.
        sha256: The digest of its bytes; without the first line if ``is_rewritten``.
        size: Its length in bytes; without the first line if ``is_rewritten``.
        is_rewritten: Whether it is a script whose first line installers replace.
    """

    path: str
    scheme: str
    sha256: Sha256
    size: int
    is_rewritten: bool = False


@dataclass(frozen=True)
class Contents:
    """What a wheel installs.

    Attributes:
        members: Its files for the library folder, by path.
        others: Its files for other folders.
        scripts: The module and attribute of each console or GUI script, by the script's name.
        dist_info: The name of its ``.dist-info`` folder.
    """

    members: Mapping[str, Member]
    others: tuple[Member, ...]
    scripts: Mapping[str, tuple[str, str]]
    dist_info: str


def read_wheel(path: Path, filename: str) -> Contents:
    """Read a wheel, and hash its members.

    Raises:
        FormatError: It is not a valid archive, or has too many members.
        SecurepipError: The file itself cannot be read on this machine.
    """
    members: dict[str, Member] = {}
    others: list[Member] = []
    try:
        with open_zip(path) as archive:
            names = archive.namelist()
            if len(names) > _MAX_MEMBERS:
                raise FormatError(f"{filename} has more than {_MAX_MEMBERS} members")
            dist_info = dist_info_of(names, filename)
            of_installers = {f"{dist_info}/{each}" for each in _OF_INSTALLERS}
            for name in names:
                if name.endswith("/"):
                    continue
                member = _member(archive, name)
                if member.scheme:
                    others.append(member)
                elif member.path not in of_installers:
                    members[member.path] = member
            entry_points = f"{dist_info}/entry_points.txt"
            text = b""
            if entry_points in names:
                with archive.open(entry_points) as stream:
                    text = stream.read(_MAX_TEXT_BYTES)
    except ARCHIVE_ERRORS as error:
        broken = FormatError(f"{filename} is not a readable archive: {error}")
        raise unreadable(path, error, broken) from None
    return Contents(members, tuple(others), dict(_scripts(text)), dist_info)


def tags_of(wheel_text: bytes) -> frozenset[Tag]:
    """The tags in the WHEEL file of an installed distribution."""
    tags: set[Tag] = set()
    for line in wheel_text.decode(errors="replace").splitlines()[:1000]:
        key, _, value = line.partition(":")
        if key.strip().lower() == "tag" and value.count("-") == 2 and value.count(".") < 20:
            tags |= parse_tag(value.strip())
    return frozenset(tags)


def _member(archive: zipfile.ZipFile, name: str) -> Member:
    first, _, rest = name.partition("/")
    scheme, _, inside = rest.partition("/")
    if not first.endswith(".data") or not inside:
        scheme, inside = "", name
    elif scheme in ("purelib", "platlib"):
        scheme = ""
    with archive.open(name) as opened:
        stream = cast(BinaryIO, opened)
        if scheme == "scripts" and stream.read(len(_PYTHON_LINE)) == _PYTHON_LINE:
            stream.readline(CHUNK)
            return Member(inside, scheme, *sha256_of_stream(stream), is_rewritten=True)
        stream.seek(0)
        return Member(inside, scheme, *sha256_of_stream(stream))


def _scripts(text: bytes) -> Iterator[tuple[str, tuple[str, str]]]:
    """The scripts in ``entry_points.txt``: each name, with module and attribute."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # names keep their case
    try:
        parser.read_string(text.decode("utf-8"))
    except (configparser.Error, ValueError):
        return
    for section in ("console_scripts", "gui_scripts"):
        if not parser.has_section(section):
            continue
        for name, value in parser.items(section):
            match = re.fullmatch(r"\s*([\w.]+)\s*:\s*([\w.]+)\s*(\[.*\])?\s*", value)
            if match:
                yield name, (match[1], match[2])
