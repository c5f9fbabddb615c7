"""Compares the files of one installed distribution with a signed wheel, or with its own RECORD."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from securepip.formats.digests import Sha256
from securepip.verify import byte_code
from securepip.verify.record import Area, OutsideError, Row, look
from securepip.verify.scripts import entry_point_of, is_known_script, same_script
from securepip.verify.types import NOT_SIGNED, Finding, Kind
from securepip.verify.wheel import Contents, Member

WRITTEN = frozenset(
    {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json"}
)
"""Files of ``.dist-info`` that installers write and no wheel contains. None of them is code."""


@dataclass(frozen=True)
class Installed:
    """An installed distribution.

    Attributes:
        area: The folders that its files may be in.
        dist_info: Its ``.dist-info`` folder.
        rows: The rows of its RECORD by normalized path; None without a readable RECORD.
        python: The environment's interpreter.
    """

    area: Area
    dist_info: Path
    rows: Mapping[str, Row] | None
    python: Path


def against_wheel(installed: Installed, wheel: Contents) -> tuple[list[Finding], int]:
    """Compare a distribution with a wheel: the differences, and the number of compared files."""
    rows = dict(installed.rows or {})
    findings: list[Finding] = []
    if installed.rows is None:
        findings.append(_no_record(installed))
    for path, member in wheel.members.items():
        findings += _against_member(installed, path, member, rows.pop(path, None))
    for member in wheel.others:
        row = _row_of(rows, member, wheel.dist_info)
        if row is not None:
            del rows[row]
            findings += _against_other(installed, row, member)
        elif installed.rows is not None:
            what = f"{posixpath.basename(member.path)} of the wheel ({member.scheme}) is not there"
            findings.append(Finding(Kind.MISSING, what))
    for path in rows:
        findings += _not_in_wheel(installed, path, wheel)
    return findings, len(wheel.members) + len(wheel.others)


def against_record(installed: Installed) -> tuple[list[Finding], int]:
    """Compare a distribution without a signed wheel with its own RECORD.

    This only finds accidental changes: whoever changes the files can change RECORD, too.

    Returns:
        The differences, and the number of compared files.
    """
    if installed.rows is None:
        return [_no_record(installed)], 0
    findings: list[Finding] = []
    count = 0
    for path, row in installed.rows.items():
        try:
            place = installed.area.locate(row.path)
        except OutsideError:
            findings.append(_outside(installed, row.path))
            continue
        if row.sha256 is None:
            continue
        count += 1
        file = look(place, row.size)
        if file is None:
            findings.append(_missing(place))
        elif file.sha256 != row.sha256:
            findings.append(Finding(Kind.CHANGED, f"{path} is not what RECORD says", place))
    return findings, count


def _against_member(
    installed: Installed, path: str, member: Member, row: Row | None
) -> Iterator[Finding]:
    try:
        place = installed.area.locate(path)
    except OutsideError:
        yield _outside(installed, path)
        return
    file = look(place, member.size)
    if file is None:
        yield _missing(place)
    elif file.sha256 != member.sha256:
        yield _changed(place, path)
    elif row is None and installed.rows is not None:
        yield Finding(Kind.RECORD, f"RECORD does not name {path}", place)
    elif row is not None and row.sha256 is not None and row.sha256 != member.sha256:
        yield Finding(Kind.RECORD, f"RECORD says another digest of {path}", place)


def _against_other(installed: Installed, path: str, member: Member) -> Iterator[Finding]:
    try:
        place = installed.area.locate(path)
    except OutsideError:
        yield _outside(installed, path)
        return
    file = look(place, None if member.is_rewritten else member.size)
    if file is None:
        yield _missing(place)
    elif member.is_rewritten:
        if not same_script(place, member.sha256, member.size, installed.python):
            yield _changed(place, path)
    elif file.sha256 != member.sha256:
        yield _changed(place, path)


def _row_of(rows: Mapping[str, Row], member: Member, dist_info: str) -> str | None:
    """The path in RECORD of a wheel's file that is installed outside of the library folder."""
    ends: tuple[str, ...] = (f"../{member.path}",)
    if member.scheme == "headers":
        project = dist_info.partition("-")[0]
        ends = (f"/{project}/{member.path}", f"/{project.replace('_', '-')}/{member.path}")
    elif member.scheme == "scripts":
        ends = (f"/bin/{member.path}", f"/Scripts/{member.path}")
    return next((path for path in rows if path.startswith("../") and path.endswith(ends)), None)


def _not_in_wheel(installed: Installed, path: str, wheel: Contents) -> Iterator[Finding]:
    """Judge a file that RECORD names and the wheel does not contain.

    An installer may have written it. Otherwise it is a finding: an attacker may have added it.
    """
    try:
        place = installed.area.locate(path)
    except OutsideError:
        yield _outside(installed, path)
        return
    folder, _, name = path.rpartition("/")
    if folder == installed.dist_info.name and name in WRITTEN:
        return
    source = byte_code.source_of(place)
    if source is not None:
        own = os.path.relpath(source, installed.area.library).replace(os.sep, "/")
        if own in wheel.members or not os.path.lexists(place):
            return  # `stale_byte_code` compares it with its source.
        others = (other.path for other in wheel.others if other.path.endswith(".py"))
        if posixpath.basename(own) in others:
            return
    if posixpath.basename(folder) in ("bin", "Scripts"):
        entry = entry_point_of(name, wheel.scripts)
        if entry is not None:
            if not os.path.lexists(place):
                yield _missing(place)
            elif not name.endswith(".exe") and not is_known_script(
                place, entry[1], installed.python
            ):
                what = f"{path} is not the script that an installer writes for {entry[0]}"
                yield Finding(Kind.CHANGED, what, place, NOT_SIGNED)
            return
    what = f"RECORD names {path}, which is not in the signed wheel"
    yield Finding(Kind.ADDED, what, place, NOT_SIGNED)


def stale_byte_code(installed: Installed, sources: Collection[str]) -> Iterator[Finding]:
    """Find byte code of a distribution that does not belong to the present sources.

    Args:
        installed: The distribution.
        sources: The paths of its Python files, relative to the library folder.
    """
    folders: dict[Path, set[str]] = {}
    for path in sources:
        try:
            place = installed.area.locate(path)
        except OutsideError:
            continue
        folders.setdefault(place.parent, set()).add(place.name)
    for folder, names in folders.items():
        cache = folder / byte_code.CACHE_FOLDER
        try:
            installed.area.locate(os.path.relpath(cache / "x", installed.area.library))
            entries = sorted(os.scandir(cache), key=lambda one: one.name)
        except (OSError, OutsideError):
            continue
        for entry in entries:
            place = Path(entry.path)
            source = byte_code.source_of(place)
            if source is not None and source.name in names:
                wrong = byte_code.wrong_with(place, source)
                if wrong is not None:
                    yield wrong


def digests_of(installed: Installed, names: Collection[str]) -> dict[str, Sha256]:
    """The digests of files in the ``.dist-info`` folder, for those names that exist."""
    files = {name: look(installed.dist_info / name, None) for name in names}
    return {name: file.sha256 for name, file in files.items() if file is not None}


def _no_record(installed: Installed) -> Finding:
    return Finding(
        Kind.RECORD,
        "there is no RECORD that can be read",
        installed.dist_info / "RECORD",
        NOT_SIGNED,
    )


def _missing(place: Path) -> Finding:
    return Finding(Kind.MISSING, f"{place.name} is not there, or is not a plain file", place)


def _changed(place: Path, path: str) -> Finding:
    return Finding(Kind.CHANGED, f"{path} is not what was signed", place, NOT_SIGNED)


def _outside(installed: Installed, path: str) -> Finding:
    what = f"RECORD names {path[:200]!r}, which is outside of the environment; it was not opened"
    return Finding(Kind.OUTSIDE, what, installed.dist_info / "RECORD", NOT_SIGNED)
