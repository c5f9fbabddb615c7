"""RECORD: what a distribution has installed, and what is changed of it after pip.

Rule: what stands there afterwards is what pip writes: rows sorted, lines ended by CR LF, byte code
without digest and length. The file is replaced at once.
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
    """Complete what pip has installed.

    Args:
        dist_info: The distribution's ``.dist-info`` folder.
        library: The folder that its paths in RECORD start from.
        byte_code: Paths of byte code that belongs to it.
        direct_url: What its ``direct_url.json`` is to hold.
        requested: Whether the user named it. pip takes all that it is given for named.
        unheld: Names in the wheel's RECORD that are not members: they belong to others.
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
    goes = not requested and mark.exists()
    if not requested:
        mark.unlink(missing_ok=True)
        dropped.add(f"{name}/REQUESTED")
    if rows or dropped:
        try:
            _replace_rows(dist_info / "RECORD", rows, dropped)
        except BaseException:
            if goes:  # RECORD still names it
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
