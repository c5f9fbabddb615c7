"""What a lock says of each kind of file that a plan may hold."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from securepip.errors import FormatError
from securepip.formats.digests import Sha256
from securepip.formats.page import PageFile
from securepip.index.types import AnyFile, UserDirectory, UserFile
from securepip.lock import make_lock
from securepip.resolver.plan import PlannedFile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DIGEST = Sha256("a" * 64)


def planned(name: str, file: AnyFile, *, is_direct: bool = False) -> PlannedFile:
    return PlannedFile(
        project=canonicalize_name(name),
        version=Version("1.0"),
        file=file,
        requested=True,
        extras=frozenset(),
        required_by=(),
        core_metadata=b"",
        is_direct=is_direct,
    )


def where(project: NormalizedName, file: PageFile) -> str:
    return f"https://packages.example.org/{project}/{file.filename}"


def test_projects_stand_in_the_order_of_their_names(tmp_path: Path) -> None:
    moment = datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    sdist = PageFile("b-1.0.tar.gz", "b-1.0.tar.gz", DIGEST, 7, upload_time=moment)
    wheel = PageFile("a-1.0-py3-none-any.whl", "x", DIGEST, 8)
    plan = [planned("b", sdist), planned("a", wheel)]
    text = make_lock(plan, tmp_path, where)
    assert text == make_lock(plan[::-1], tmp_path, where)
    first, second = tomllib.loads(text)["packages"]
    assert first == {
        "name": "a",
        "version": "1.0",
        "wheels": [
            {
                "name": wheel.filename,
                "url": where(NormalizedName("a"), wheel),
                "size": 8,
                "hashes": {"sha256": DIGEST},
            }
        ],
    }
    assert second["sdist"]["upload-time"] == moment


def test_a_folder_is_named_from_where_the_lock_is(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    for path, editable in ((tmp_path / "locks" / "p", True), (tmp_path / "p", False)):
        folder = UserDirectory(path, path.as_uri(), "named", editable, "sub")
        text = make_lock([planned("p", folder, is_direct=True)], tmp_path / "locks", where)
        (package,) = tomllib.loads(text)["packages"]
        expected = {"path": "p", "editable": True} if editable else {"path": "../p"}
        assert package == {"name": "p", "directory": {**expected, "subdirectory": "sub"}}


def test_what_was_named_by_address_is_an_archive_and_what_was_found_is_not(tmp_path: Path) -> None:
    url = "https://packages.example.org/x.tar.gz"
    file = UserFile(tmp_path / "x", "x-1.0.tar.gz", DIGEST, 9, url, "direct URL", "sub")
    (direct,) = tomllib.loads(make_lock([planned("x", file, is_direct=True)], tmp_path, where))[
        "packages"
    ]
    assert direct == {
        "name": "x",
        "archive": {"url": url, "size": 9, "hashes": {"sha256": DIGEST}, "subdirectory": "sub"},
    }
    (found,) = tomllib.loads(make_lock([planned("x", file)], tmp_path, where))["packages"]
    assert found["sdist"]["name"] == "x-1.0.tar.gz"
    assert found["version"] == "1.0"


def test_a_lock_that_nobody_could_read_is_not_written(tmp_path: Path) -> None:
    sdist = PageFile("x-1.0.tar.bz2", "x-1.0.tar.bz2", DIGEST, 7)
    with pytest.raises(FormatError, match=r"x-1\.0\.tar\.bz2"):
        make_lock([planned("x", sdist)], tmp_path, where)
