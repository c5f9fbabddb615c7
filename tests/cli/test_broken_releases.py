"""If the newest release contradicts its own metadata, the install stops, as with pip."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.wheels import make_wheel, metadata_text


def _no_archive(wheel: Path) -> None:
    wheel.write_bytes(b"this is no wheel")


def _two_folders(wheel: Path) -> None:
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("broken-1.0.dist-info/METADATA", metadata_text("broken", "1.0"))


def _wrong_checksum(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = archive.getinfo("broken-2.0.dist-info/METADATA")
    at = info.header_offset + 30 + len(info.filename) + info.compress_size // 2
    data = bytearray(wheel.read_bytes())
    data[at] ^= 1
    wheel.write_bytes(data)


@pytest.mark.parametrize("damage", [_no_archive, _two_folders, _wrong_checksum])
def test_no_older_release_is_taken_in_its_place(
    machine: Machine, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "links"
    make_wheel(folder, "broken", "1.0")
    damage(make_wheel(folder, "broken", "2.0"))
    words = ("--no-index", "--find-links", folder, "broken")
    assert machine.pip("install", *words).code != 0
    done = machine.install(*words)
    assert done.code == 1
    assert "An older release is not taken in its place" in done.err
    assert machine.freeze() == []
