"""Distributions made to hang, fill or crash whoever only wants to know what they require."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from securepip.errors import BrokenDistributionError, FormatError
from securepip.formats import core_metadata
from securepip.formats.core_metadata import (
    parse_core_metadata,
    read_core_metadata,
    read_wheel_metadata,
)

HEAD = b"Metadata-Version: 2.1\nName: app\nVersion: 1\n"
DIGITS = b"1" * 5000


@pytest.mark.parametrize(
    "data",
    [
        b"Name: app\nVersion: " + DIGITS,
        HEAD + b"Requires-Dist: lib>=" + DIGITS,
        HEAD + b"Requires-Python: >=" + DIGITS,
        HEAD + b"Requires-Dist: lib; python_version >= '" + DIGITS + b"'",
        HEAD + b"Requires-Dist: lib; " + b"(" * 5000 + b"os_name == ''" + b")" * 5000,
        HEAD + b"".join(b"X%d: 1\n" % number for number in range(20_000)),
        HEAD + b"".join(b"X%d: 1\r" % number for number in range(20_000)),
        HEAD + b"Requires-Dist: lib\n" * 500_000,
        HEAD + b"Requires-Dist: lib" + b",".join(b"!=%d" % number for number in range(30_000)),
    ],
)
def test_metadata_that_would_take_for_ever_is_refused_at_once(data: bytes) -> None:
    began = time.process_time()
    with pytest.raises(FormatError):
        parse_core_metadata(data)
    assert time.process_time() - began < 5


def test_as_many_lines_of_one_field_as_a_project_has_are_read() -> None:
    classifiers = b"".join(b"Classifier: Topic :: %d\n" % number for number in range(500))
    assert parse_core_metadata(HEAD + classifiers).name == "app"


def test_a_description_that_is_a_mail_of_mails_does_not_matter() -> None:
    nested = b"".join(
        b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (level, level + 1)
        for level in range(3000)
    )
    data = HEAD + b"Content-Type: multipart/mixed; boundary=b0\n\n" + nested
    assert parse_core_metadata(data).name == "app"


@pytest.mark.parametrize(
    ("offset", "value"), [(10, 97), (10, 14), (8, 0x01)], ids=["method", "lzma", "encrypted"]
)
def test_a_wheel_that_cannot_be_unpacked_is_refused_in_words(
    tmp_path: Path, offset: int, value: int
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app-1.dist-info/METADATA", HEAD)
    data = bytearray(packed.getvalue())
    data[data.rfind(b"PK\1\2") + offset] = value
    data[data.find(b"PK\3\4") + offset - 2] = value
    wheel = tmp_path / "app-1-py3-none-any.whl"
    wheel.write_bytes(data)
    with pytest.raises(FormatError, match=wheel.stem):
        read_core_metadata(wheel)


LARGE = b"\1\0\x08\0" + b"\xff" * 8  # a large number, where 32 bits do not hold it
CONTENTS = 30 + len("app-1.dist-info/METADATA")


@pytest.mark.parametrize(
    ("error", "method", "changes"),
    [
        (zlib.error, zipfile.ZIP_DEFLATED, {("PK\3\4", CONTENTS): b"\xff"}),
        (OSError, zipfile.ZIP_BZIP2, {("PK\3\4", CONTENTS): b"\xff"}),
        (lzma.LZMAError, zipfile.ZIP_LZMA, {("PK\3\4", CONTENTS + 4): b"\xff"}),
        (EOFError, zipfile.ZIP_STORED, {("PK\1\2", 20): struct.pack("<LL", 9000, 9000)}),
        (ValueError, zipfile.ZIP_STORED, {("PK\5\6", 16): struct.pack("<L", 1 << 30)}),
        (OverflowError, zipfile.ZIP_STORED, {("PK\1\2", 42): b"\xff" * 4}),
        (RuntimeError, zipfile.ZIP_STORED, {("PK\1\2", 8): b"\1", ("PK\3\4", 6): b"\1"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_an_archive_is_unreadable_in_words_whatever_its_reader_raises(
    error: type[Exception], method: int, changes: dict[tuple[str, int], bytes]
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        info = zipfile.ZipInfo("app-1.dist-info/METADATA")
        info.compress_type, info.extra = method, LARGE if error is OverflowError else b""
        archive.writestr(info, HEAD)
    data = bytearray(packed.getvalue())
    for (record, at), value in changes.items():
        begin = data.rfind(record.encode()) + at
        data[begin : begin + len(value)] = value
    with pytest.raises(error), zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.open(archive.infolist()[0]).read(1 << 20)
    with pytest.raises(BrokenDistributionError, match="not a readable archive"):
        read_wheel_metadata(io.BytesIO(data), "app-1-py3-none-any.whl")


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.REGTYPE]
)
def test_an_sdist_of_kilobytes_does_not_unpack_to_gigabytes(tmp_path: Path, kind: bytes) -> None:
    bomb = tarfile.TarInfo("app-1/x")
    bomb.type, bomb.size = kind, 3 << 30
    sdist = tmp_path / "app-1.tar.xz"
    zeros = b"\0" * (1 << 20)
    with lzma.open(sdist, "wb", preset=0) as stream:
        stream.write(bomb.tobuf(tarfile.GNU_FORMAT))
        for _ in range(100):  # It need not even be there to be believed.
            stream.write(zeros)
    tracemalloc.start()
    began = time.process_time()
    try:
        # What is only passed over is not even passed over.
        said = "has no PKG-INFO" if kind == tarfile.REGTYPE else "not a readable archive: a header"
        with pytest.raises(FormatError, match=f"{sdist.name} .*{said}"):
            read_core_metadata(sdist)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 5


@pytest.mark.parametrize(("limit", "most"), [("_MAX_PASSED_BYTES", 5000), ("_MAX_MEMBERS", 1)])
def test_what_is_passed_over_on_the_way_to_the_metadata_of_an_sdist_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    sdist = tmp_path / "app-1.tar.xz"
    with tarfile.open(sdist, "w:xz") as tar:
        for name, data in (("a", b"0" * 3000), ("b", b"0" * 3000), ("PKG-INFO", HEAD)):
            info = tarfile.TarInfo(f"app-1/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert read_core_metadata(sdist) == HEAD
    monkeypatch.setattr(core_metadata, limit, most)
    with pytest.raises(FormatError, match="no PKG-INFO"):
        read_core_metadata(sdist)


def test_an_xz_file_of_several_streams_is_read_to_its_end_and_one_that_is_cut_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in (("a", b"0" * 3000), ("PKG-INFO", HEAD)):
            info = tarfile.TarInfo(f"app-1/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    plain = packed.getvalue()
    sdist = tmp_path / "app-1.tar.xz"
    several = lzma.compress(plain[:1000]) + b"\0" * 8 + lzma.compress(plain[1000:]) + b"\0" * 4
    sdist.write_bytes(several)
    assert read_core_metadata(sdist) == HEAD
    for chunk in range(len(several) // 2, 7, -1):  # wherever a piece ends that is read at once
        monkeypatch.setattr(core_metadata, "_CHUNK", chunk)
        assert read_core_metadata(sdist) == HEAD
    sdist.write_bytes(lzma.compress(plain[:1000])[:-40])
    with pytest.raises(BrokenDistributionError, match="before its end"):
        read_core_metadata(sdist)
    sdist.write_bytes(lzma.compress(plain.replace(b"PKG-INFO", b"NO-INFO!")))
    with pytest.raises(FormatError, match="no PKG-INFO"):
        read_core_metadata(sdist)
