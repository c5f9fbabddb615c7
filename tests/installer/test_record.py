"""RECORD after files are added to a distribution that pip has installed, or removed from it."""

from __future__ import annotations

import csv
import stat
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from securepip.errors import InstallationError
from securepip.installer.record import amend_record

ROWS = "one.py,sha256=x,1\r\none-1.dist-info/RECORD,,\r\none-1.dist-info/REQUESTED,sha256=y,0\r\n"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The ``.dist-info`` folder of a requested distribution, as pip installs it."""
    folder = tmp_path / "site" / "one-1.dist-info"
    folder.mkdir(parents=True)
    (folder / "RECORD").write_bytes(ROWS.encode())
    (folder / "RECORD").chmod(0o640)
    (folder / "REQUESTED").touch()
    return folder


def rows(installed: Path) -> list[tuple[str, ...]]:
    with (installed / "RECORD").open(newline="") as stream:
        return [tuple(row) for row in csv.reader(stream)]


def names(installed: Path) -> list[str]:
    return [row[0] for row in rows(installed)]


def test_what_is_added_stands_there_as_pip_writes_it(installed: Path) -> None:
    site, data = installed.parent, b'{"url": "x"}'
    compiled = [str(site / "__pycache__" / "one.pyc"), str(site.parent / "bin" / "one.pyc")]
    amend_record(installed, str(site), byte_code=compiled, direct_url=data)
    digest = urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
    assert rows(installed) == [
        ("../bin/one.pyc", "", ""),
        ("__pycache__/one.pyc", "", ""),
        ("one-1.dist-info/RECORD", "", ""),
        ("one-1.dist-info/REQUESTED", "sha256=y", "0"),
        ("one-1.dist-info/direct_url.json", f"sha256={digest}", str(len(data))),
        ("one.py", "sha256=x", "1"),
    ]
    assert (installed / "direct_url.json").read_bytes() == data
    record = installed / "RECORD"
    assert record.read_bytes().count(b"\r\n") == 6
    assert stat.S_IMODE(record.stat().st_mode) == 0o640
    assert sorted(each.name for each in installed.iterdir()) == [
        "RECORD",
        "REQUESTED",
        "direct_url.json",
    ]


def test_what_the_user_did_not_name_is_not_marked_as_named(installed: Path) -> None:
    (installed / "RECORD").write_bytes(f"{ROWS}\r\n".encode())  # an empty line is no row
    amend_record(installed, str(installed.parent), requested=False)
    assert names(installed) == ["one-1.dist-info/RECORD", "one.py"]
    assert not (installed / "REQUESTED").exists()
    amend_record(installed, str(installed.parent), requested=False)  # pip wrote no mark


def test_where_there_is_nothing_to_say_the_file_is_left_alone(installed: Path) -> None:
    before = (installed / "RECORD").stat()
    amend_record(installed, str(installed.parent))
    assert (installed / "RECORD").stat().st_ino == before.st_ino
    assert (installed / "REQUESTED").exists()


@pytest.mark.parametrize(
    "damage", [b"\xff", b'"' + b"x" * 200_000, None], ids=["no text", "no rows", "not there"]
)
@pytest.mark.parametrize("marked", [True, False])
def test_a_record_that_cannot_be_read_stays_and_so_does_the_mark_that_it_names(
    installed: Path, damage: bytes | None, marked: bool
) -> None:
    if not marked:
        (installed / "REQUESTED").unlink()
    if damage is None:
        (installed / "RECORD").unlink()
    else:
        (installed / "RECORD").write_bytes(damage)
    with pytest.raises(InstallationError, match="cannot be read"):
        amend_record(installed, str(installed.parent), requested=False)
    assert (installed / "REQUESTED").exists() == marked
    assert sorted(each.name for each in installed.iterdir()) == [
        *(["RECORD"] if damage is not None else []),
        *(["REQUESTED"] if marked else []),
    ]


def test_a_record_is_whole_where_a_new_one_cannot_be_written(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*paths: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("securepip.installer.record.shutil.copymode", full)
    with pytest.raises(OSError, match="full"):
        amend_record(installed, str(installed.parent), requested=False)
    assert (installed / "RECORD").read_bytes() == ROWS.encode()
    assert sorted(each.name for each in installed.iterdir()) == ["RECORD", "REQUESTED"]
