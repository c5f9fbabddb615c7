"""Completes an installed distribution's RECORD and its other files after pip.

Rule: RECORD has the form that pip writes: sorted rows, lines that end in CR LF, byte code without
digest and length. The file is replaced in one step.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

from securepip.errors import InstallationError


def amend_record(
    dist_info: Path,
    library: str,
    *,
    byte_code: Collection[str] = (),
    direct_url: bytes | None = None,
    requested: bool = True,
    unheld: Collection[str] = (),
) -> None:
    """Complete a distribution that pip has installed.

    Args:
        dist_info: The distribution's ``.dist-info`` folder.
        library: The folder that its paths in RECORD start from.
        byte_code: The paths of its byte code, which are added to RECORD.
        direct_url: The contents of its ``direct_url.json``; None if it has none.
        requested: Whether the user named it. pip marks all that it is given as REQUESTED.
        unheld: Names in the wheel's RECORD that are not its members. They are removed, because an
            uninstall would delete these files of others.

    Raises:
        InstallationError: RECORD cannot be read.
        OSError: A file cannot be written.
    """
    name = dist_info.name
    rows: list[tuple[str, ...]] = [
        (f"{folder}/{file}".replace(os.sep, "/"), "", "")
        for folder, file in _relative(byte_code, library)
    ]
    dropped = set(unheld)
    if direct_url is not None:
        (dist_info / "direct_url.json").write_bytes(direct_url)
        rows.append((f"{name}/direct_url.json", _digest(direct_url), str(len(direct_url))))
    mark = dist_info / "REQUESTED"
    is_unmarked = not requested and mark.exists()
    if not requested:
        mark.unlink(missing_ok=True)
        dropped.add(f"{name}/REQUESTED")
    if rows or dropped:
        try:
            _replace_rows(dist_info / "RECORD", rows, dropped)
        except BaseException:
            if is_unmarked:  # RECORD still names it
                mark.touch()
            raise


def _replace_rows(record: Path, more: Iterable[tuple[str, ...]], dropped: Collection[str]) -> None:
    try:
        with record.open(newline="", encoding="utf-8") as stream:
            rows = [tuple(row) for row in csv.reader(stream) if row and row[0] not in dropped]
    except (OSError, ValueError, csv.Error) as error:
        raise InstallationError(f"{record} cannot be read: {error}") from None
    handle, temporary = tempfile.mkstemp(dir=record.parent, prefix="RECORD")
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(sorted([*rows, *more]))
        shutil.copymode(record, temporary)
        Path(temporary).replace(record)
    except BaseException:
        Path(temporary).unlink()
        raise


def _relative(paths: Iterable[str], library: str) -> Iterable[tuple[str, str]]:
    @cache
    def relative(folder: str) -> str:
        return os.path.relpath(folder, library)

    for path in paths:
        folder, name = os.path.split(path)
        yield relative(folder), name


def _digest(data: bytes) -> str:
    encoded = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={encoded}"
