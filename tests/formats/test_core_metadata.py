"""Core metadata is read from archives without surprises, and parsed where it decides."""

from __future__ import annotations

import builtins
import errno
import io
import os
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from securepip.errors import BrokenDistributionError, FormatError, SecurepipError
from securepip.formats import core_metadata
from securepip.formats.core_metadata import parse_core_metadata, read_core_metadata
from securepip.formats.wheel import check_installable
from securepip.verify.wheel import read_wheel
from tests.support.wheels import make_sdist, make_wheel, metadata_text


def test_a_wheel_and_an_sdist_give_their_metadata(tmp_path: Path) -> None:
    for path in (
        make_wheel(tmp_path, "Alpha.Beta", "1.0", requires=["gamma>=1"]),
        make_sdist(tmp_path, "Alpha.Beta", "1.0", requires=["gamma>=1"]),
    ):
        metadata = parse_core_metadata(read_core_metadata(path))
        assert metadata.project == "alpha-beta"
        assert metadata.version == Version("1.0")
        assert [str(one) for one in metadata.requires_dist] == ["gamma>=1"]


@pytest.mark.parametrize(
    "fields",
    [
        b"Provides-Extra: X.Y\nprovides-extra: z\nDynamic: Version\nAuthor: f\xc3\xbcr\n",
        b"Requires-Dist: base ; python_version > '3'\r\nRequires-Python: f\xc3\xbcr\r\n",
        b"Provides-Extra: \xff\nDynamic: \xff\nAuthor: \xff\n\nRequires-Dist: text\n",
        b"Metadata-Version: 2.1\nMetadata-Version: 2.2\nno field\nRequires-Dist: text\n",
        b"Summary: a\n Requires-Dist: b\rRequires-Python: >=3\x0b\rDescription: c\n",
        b"Requires-Python: \xff\n",
        b"Requires-Dist: \xff\n",
        b"Version: 1.0\n",
        b"name: alpha\n",
    ],
)
def test_fields_are_what_the_reference_reader_reads(fields: bytes) -> None:
    data = b"Name: alpha\nVersion: 1.0\n" + fields
    raw, unreadable = parse_email(data)
    if {"name", "version", "requires-dist", "requires-python"} & unreadable.keys():
        with pytest.raises(FormatError, match="unreadable field"):
            parse_core_metadata(data)
        return
    read = parse_core_metadata(data)
    assert [str(one) for one in read.requires_dist] == [
        str(Requirement(line)) for line in raw.get("requires_dist", ())
    ]
    assert read.requires_python == raw.get("requires_python")
    assert read.extras == {canonicalize_name(one) for one in raw.get("provides_extra", ())}
    assert read.dynamic == {one.lower() for one in raw.get("dynamic", ())}
    assert read.metadata_version == (1, 0)


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5"])
def test_every_version_of_the_specification_is_read(version: str) -> None:
    text = metadata_text("alpha", "1.0", ["gamma"], metadata_version=version)
    metadata = parse_core_metadata(text.encode())
    assert metadata.metadata_version == tuple(int(part) for part in version.split("."))
    assert metadata.is_static == (version >= "2.2")


def test_what_may_differ_in_a_wheel_is_not_static() -> None:
    text = metadata_text("alpha", "1.0", dynamic=["Requires-Dist", "License"])
    assert not parse_core_metadata(text.encode()).is_static
    text = metadata_text("alpha", "1.0", dynamic=["License"])
    assert parse_core_metadata(text.encode()).is_static


def test_an_odd_description_or_unknown_field_does_not_matter() -> None:
    text = "X-Odd: 1\n" + metadata_text("alpha", "1.0") + "\xe9\n"
    assert parse_core_metadata(text.encode("latin-1")).name == "alpha"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Metadata-Version: 2.1\nName: alpha\n\n",
        "Metadata-Version: 2.1\nVersion: 1\n\n",
        "Metadata-Version: 2.1\nName: alpha\nVersion: nonsense\n\n",
        "Metadata-Version: 2.1\nName: alpha\nName: beta\nVersion: 1\n\n",
        "Metadata-Version: 2.1\nName: alpha\nVersion: 1\nVersion: 2\n\n",
        "Metadata-Version: 2.1\nName: alpha\nVersion: 1\nRequires-Dist: >nonsense\n\n",
    ],
)
def test_metadata_that_does_not_say_what_decides_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_core_metadata(text.encode())


@given(st.binary(max_size=300))
def test_bytes_that_are_no_metadata_are_a_format_error_and_nothing_else(data: bytes) -> None:
    with suppress(FormatError):
        parse_core_metadata(data)


@pytest.mark.parametrize("name", ["a-1-py3-none-any.whl", "a-1.tar.gz", "a-1.zip"])
@given(data=st.binary(max_size=300))
def test_bytes_that_are_no_archive_are_a_format_error_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("archive") / name
    path.write_bytes(data)
    with pytest.raises(FormatError):
        read_core_metadata(path)


def test_a_wheel_with_two_metadata_files_of_its_own_is_refused(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "alpha", "1.0")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("Alpha-2.0.dist-info/METADATA", metadata_text("alpha", "2.0"))
    with pytest.raises(FormatError, match="2 METADATA files"):
        read_core_metadata(path)


def test_metadata_beyond_the_limit_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_metadata, "MAX_METADATA_BYTES", 1000)
    long = metadata_text("alpha", "1.0") + "x" * 2000
    for path in (
        make_wheel(tmp_path, "alpha", "1.0", metadata=long),
        make_sdist(tmp_path, "alpha", "1.0", metadata=long),
    ):
        with pytest.raises(FormatError, match="larger"):
            read_core_metadata(path)


def test_a_link_in_an_sdist_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "alpha-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("alpha-1.0/PKG-INFO")
        link.type = tarfile.SYMTYPE
        link.linkname = "/etc/passwd"
        tar.addfile(link)
        deep = tarfile.TarInfo("alpha-1.0/alpha.egg-info/PKG-INFO")
        tar.addfile(deep, io.BytesIO())
    with pytest.raises(FormatError, match="no PKG-INFO"):
        read_core_metadata(path)


def test_a_wheel_that_was_renamed_says_whose_metadata_it_has(tmp_path: Path) -> None:
    made = make_wheel(tmp_path, "simple", "0.1")
    renamed = made.rename(tmp_path / "unrelated-2.0-py3-none-any.whl")
    with pytest.raises(FormatError, match=r"'simple-0.1.dist-info' does not start with 'unrelat"):
        read_core_metadata(renamed)


def test_a_dist_info_folder_with_dashes_in_its_name_is_known_as_pip_knows_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "two_words-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("two-words-1.0.dist-info/METADATA", metadata_text("two-words", "1.0"))
    assert parse_core_metadata(read_core_metadata(path)).project == "two-words"


@pytest.mark.parametrize("kind", ["wheel", "sdist", "installable", "installed"])
@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ENOMEM])
def test_an_archive_that_this_machine_cannot_read_just_now_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: int
) -> None:
    path = (make_sdist if kind == "sdist" else make_wheel)(tmp_path, "alpha", "1.0")

    def failing(*args: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))  # as a read says it: without the name

    monkeypatch.setattr(zipfile, "ZipFile", failing)
    monkeypatch.setattr(core_metadata, "open_tar", failing)
    with pytest.raises(SecurepipError, match=f"{path.name} cannot be used") as raised:
        if kind == "installable":
            check_installable(path, path.name)
        elif kind == "installed":
            read_wheel(path, path.name)
        else:
            read_core_metadata(path)
    assert not isinstance(raised.value, FormatError)
    assert "This machine is the reason" in raised.value.meaning


def test_a_read_that_fails_is_not_taken_for_the_sign_of_no_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_wheel(tmp_path, "alpha", "1.0")
    opened, failures = zipfile.ZipFile, ["File is not a zip file"]

    def sometimes(one: Path) -> zipfile.ZipFile:
        if failures:
            raise zipfile.BadZipFile(failures.pop())  # as `zipfile` says it of a failed read
        return opened(one)

    monkeypatch.setattr(zipfile, "ZipFile", sometimes)
    assert b"Name: alpha" in read_core_metadata(path)


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("number", [0, 1])
def test_a_read_that_fails_in_an_archive_of_tar_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, for_good: bool
) -> None:
    path = make_sdist(tmp_path, "alpha", "1.0")
    opened, count = io.open, 0

    class Failing(io.FileIO):
        def readinto(self, buffer: bytearray) -> int | None:  # type: ignore[override] # any buffer
            nonlocal count
            count += 1
            if count == number + 1 or (for_good and count > number):
                raise OSError(errno.EIO, os.strerror(errno.EIO))  # as a read says it
            return super().readinto(buffer)

    def opening(file: Path | str, mode: str = "r", *rest: object, **options: object) -> object:
        if Path(file) == path:
            return io.BufferedReader(Failing(file))  # type: ignore[type-var] # a file like any
        return opened(file, mode, *rest, **options)  # type: ignore[call-overload] # as it was called

    monkeypatch.setattr(builtins, "open", opening)
    monkeypatch.setattr(io, "open", opening)
    try:
        assert b"Name: alpha" in read_core_metadata(path)
        assert not for_good
    except SecurepipError as error:
        assert f"{path.name} cannot be used: Input/output error" in error.what
    assert count > number


@pytest.mark.parametrize("fits", [True, False])
def test_an_archive_that_lists_more_than_fits_in_memory_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: bool
) -> None:
    """A wheel of 512 MB that holds a list alone takes 5 GB of whoever looks into it."""
    wheel = make_wheel(tmp_path, "app", "1.0")
    with zipfile.ZipFile(wheel) as archive:
        start, end = archive.start_dir, wheel.stat().st_size - 22
    monkeypatch.setattr(core_metadata, "_MAX_DIRECTORY_BYTES", end - start - (not fits))
    if fits:
        assert read_core_metadata(wheel)
        return
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("it is opened"))
    with pytest.raises(BrokenDistributionError, match="lists more members than any real archive"):
        read_core_metadata(wheel)
