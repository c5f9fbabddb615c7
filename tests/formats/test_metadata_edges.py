"""Which file of a distribution is its metadata, and how much of it is read."""

from __future__ import annotations

import errno
import io
import lzma
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest

from securepip.errors import BrokenDistributionError, FormatError, SecurepipError
from securepip.formats import core_metadata
from securepip.formats.core_metadata import (
    parse_core_metadata,
    parse_dependency,
    read_core_metadata,
    read_wheel_metadata,
    unreadable,
)

HEAD = b"Metadata-Version: 2.1\nName: app\nVersion: 1\n"
OWN = "app-1.dist-info/METADATA"
WHEEL = "app-1-py3-none-any.whl"


def wheel(*members: tuple[str, bytes]) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some names are there twice
        for name, data in members:
            archive.writestr(name, data)
    return packed


def tar_of(path: Path, *members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), kind
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    "more",
    [
        (),
        (("other-1.dist-info/METADATA", b"another's"),),
        (("app-data/x.dist-info/METADATA", b"deeper"), ("app-1.dist-info/x", b"x")),
        ((OWN, HEAD),) * 9,
    ],
    ids=["alone", "another project's", "deeper", "ten times"],
)
def test_the_metadata_of_a_wheel_is_the_one_of_its_own_folder(
    more: tuple[tuple[str, bytes], ...],
) -> None:
    assert read_wheel_metadata(wheel((OWN, HEAD), *more), WHEEL) == HEAD


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((), "has 0 METADATA"),
        ((("a-1.dist-info/METADATA", b""), ("b-1.dist-info/METADATA", b"")), "has 0 METADATA"),
        ((("other-1.dist-info/METADATA", b""),), "does not start with 'app'"),
        (((OWN, HEAD),) * 11, "has METADATA 11 times"),
        (((OWN, HEAD), (OWN, b"")), "with different contents"),
        (((OWN, HEAD), ("App-1.dist-info/METADATA", HEAD)), "has 2 METADATA"),
    ],
)
def test_a_wheel_with_no_or_several_metadata_is_broken(
    members: tuple[tuple[str, bytes], ...], said: str
) -> None:
    with pytest.raises(BrokenDistributionError, match=said):
        read_wheel_metadata(wheel(*members), WHEEL)


def test_metadata_is_read_up_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_metadata, "MAX_METADATA_BYTES", len(HEAD))
    assert read_wheel_metadata(wheel((OWN, HEAD)), WHEEL) == HEAD
    with pytest.raises(FormatError, match="larger"):
        read_wheel_metadata(wheel((OWN, HEAD + b"x")), WHEEL)


def test_a_stream_that_is_no_archive_is_broken() -> None:
    with pytest.raises(BrokenDistributionError, match="not a readable archive"):
        read_wheel_metadata(io.BytesIO(b"no archive"), WHEEL)


def test_an_error_of_ours_or_of_another_file_stays_what_it_is(tmp_path: Path) -> None:
    path, broken = tmp_path / WHEEL, BrokenDistributionError("broken")
    ours = SecurepipError("a password is wanted")
    assert unreadable(path, ours, broken) is ours
    for name, said in (("elsewhere", "elsewhere"), (None, str(path))):
        failed = OSError(errno.EIO, "Input/output error", name)
        assert str(unreadable(path, failed, broken)).startswith(f"{said} cannot be used")
    assert unreadable(path, zipfile.BadZipFile(), broken) is broken


def test_a_wheel_that_fails_while_it_is_read_once_more_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    (tmp_path / WHEEL).write_bytes(b"no archive")
    monkeypatch.setattr(Path, "open", lambda *args: Failing())
    with pytest.raises(SecurepipError, match=f"{WHEEL} cannot be used"):
        read_core_metadata(tmp_path / WHEEL)


@pytest.mark.parametrize("name", ["app-1/PKG-INFO", "./app-1/PKG-INFO"])
def test_the_metadata_of_an_sdist_is_in_its_top_folder(tmp_path: Path, name: str) -> None:
    others = (
        ("PKG-INFO", b"no"),
        ("app-1/x", b"x" * ((1 << 20) + 1)),
        ("app-1/src/PKG-INFO", b"no"),
        (f"app-1/{'long' * 50}", b"no"),
    )
    assert read_core_metadata(tar_of(tmp_path / "app-1.tar.gz", *others, (name, HEAD))) == HEAD
    packed = tmp_path / "app-1.zip"
    packed.write_bytes(wheel(*others, (name, HEAD)).getvalue())
    assert read_core_metadata(packed) == HEAD
    assert read_core_metadata(packed.rename(tmp_path / "stored"), "app-1.zip") == HEAD


def test_an_sdist_that_is_large_before_its_metadata_or_sparse_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = ("app-1/x", b"x" * 6000), ("app-1/PKG-INFO", HEAD)
    path = tar_of(tmp_path / "app-1.tar.gz", *members)
    assert read_core_metadata(path) == HEAD
    monkeypatch.setattr(core_metadata, "_MAX_PASSED_BYTES", 5000)
    with pytest.raises(FormatError, match="no PKG-INFO"):
        read_core_metadata(path)
    with pytest.raises(BrokenDistributionError, match="not a readable archive"):
        read_core_metadata(tar_of(path, ("app-1/x", b""), kind=tarfile.GNUTYPE_SPARSE))


def test_the_metadata_of_an_sdist_ends_where_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tar_of(tmp_path / "app-1.tar.gz", ("app-1/PKG-INFO", HEAD))
    monkeypatch.setattr(core_metadata, "_MAX_PASSED_BYTES", tarfile.BLOCKSIZE + len(HEAD))
    assert read_core_metadata(path) == HEAD
    monkeypatch.setattr(core_metadata, "_MAX_PASSED_BYTES", tarfile.BLOCKSIZE + len(HEAD) - 1)
    with pytest.raises(FormatError, match="no PKG-INFO"):
        read_core_metadata(path)


def test_what_an_xz_file_holds_is_read_as_far_as_it_is_asked_for() -> None:
    """Little that is packed stands for much: it has to be asked for more than once."""
    whole = b"x" * 200_000 + b"y" * 200_000
    packed = lzma.compress(whole[:250_000]) + lzma.compress(whole[250_000:])
    stream = core_metadata._Xz(io.BytesIO(packed))
    pieces = list(iter(lambda: stream.read(30_000), b""))
    assert {len(piece) for piece in pieces[:-1]} == {30_000}
    assert b"".join(pieces) == whole


def test_a_requirement_and_the_fields_are_as_many_as_they_may_be() -> None:
    parse_dependency("lib".ljust(20_000))
    with pytest.raises(FormatError):
        parse_dependency("lib".ljust(20_001))
    with pytest.raises(FormatError, match="thousand digits"):
        parse_dependency(f"lib=={'1' * 1000}")
    with pytest.raises(FormatError, match="nested") as raised:
        parse_dependency(f"lib; {'(' * 9000}")
    assert len(str(raised.value)) < 1000
    with pytest.raises(FormatError, match="Expected"):
        parse_dependency("lib of something")
    with pytest.raises(FormatError, match=r"^core metadata of app 1: .*Expected"):
        parse_core_metadata(HEAD + b"Requires-Dist: lib of something\n")
    names = b"".join(b"x%d: y\n" % number for number in range(196))
    lines = b" goes on %d\n"
    more = b"".join(lines % number for number in range(300))
    more += b"".join(b"Classifier: A :: %d: x\n" % number for number in range(300))
    assert parse_core_metadata(HEAD + names + more).name == "app"
    with pytest.raises(FormatError, match="more fields"):
        parse_core_metadata(HEAD + names + more + b"another: y\n")
    line = b" goes on\n"
    assert core_metadata._fields(HEAD + line * 99_997)
    with pytest.raises(FormatError, match="more fields"):
        core_metadata._fields(HEAD + line * 99_998)


@pytest.mark.parametrize(
    "kind", [b"multipart/x; boundary*=x\0y'en'z", b"multipart/x", b"text/html"]
)
def test_a_field_of_mail_that_is_none_of_metadata_does_not_matter(kind: bytes) -> None:
    assert parse_core_metadata(HEAD + b"Content-Type: " + kind + b"\n").name == "app"


@pytest.mark.parametrize("said", [b"", b"Metadata-Version: new\n"])
def test_metadata_of_no_known_version_is_of_the_first(said: bytes) -> None:
    assert parse_core_metadata(said + b"Name: app\nVersion: 1\n").metadata_version == (1, 0)
