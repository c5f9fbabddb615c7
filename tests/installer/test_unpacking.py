"""Source distributions are unpacked as by pip, within bounds, and never outside of the folder."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import stat
import tarfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from securepip.errors import FormatError, SecurepipError
from securepip.formats.digests import sha256_of
from securepip.formats.distribution import parse_distribution
from securepip.index.types import UserFile
from securepip.installer.build import unpack
from securepip.installer.build.unpack import unpack_sdist
from securepip.installer.wheels import Copies
from tests.installer.conftest import hand_off
from tests.support.wheels import make_sdist, make_wheel

SYM, HARD, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE
Member = tuple[str, bytes, str]
"""A name, a kind, and what it links to or holds."""


def pack(folder: Path, members: Iterable[Member]) -> UserFile:
    path = folder / "one-1.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, rest in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind in (SYM, HARD):
                info.linkname = rest
                tar.addfile(info)
            else:
                info.size = len(rest)
                tar.addfile(info, io.BytesIO(rest.encode()))
    return named(path)


def named(path: Path) -> UserFile:
    data = path.read_bytes()
    return UserFile(path, path.name, sha256_of(data), len(data), path.as_uri(), "named")


def unpacked(source: UserFile, folder: Path) -> Path:
    place = folder / "unpacked"
    place.mkdir()
    return unpack_sdist(source, place)


@pytest.mark.parametrize(
    "members",
    [
        [("../out", tarfile.REGTYPE, "")],
        [("one-1/../../out", tarfile.REGTYPE, "")],
        [("one-1/link", SYM, "/etc")],
        [("one-1/link", SYM, "../../out")],
        [("one-1/link", SYM, ".."), ("one-1/link/out", tarfile.REGTYPE, "")],
        [("one-1/a", SYM, "."), ("one-1/a/out", tarfile.REGTYPE, "")],
        [("one-1/a/b/l", SYM, "../.."), ("one-1/out", SYM, "a/b/l/../..")],
        [("one-1/l", tarfile.DIRTYPE, ""), ("one-1/x", SYM, "l/.."), ("one-1/l", SYM, "..")],
        [("one-1/a", SYM, "b"), ("one-1/b", SYM, "a"), ("one-1/c", SYM, "a/d")],
        # Inside as long as `l` is a link: a build could put a folder in its place.
        [
            ("one-1/a/b", tarfile.DIRTYPE, ""),
            ("one-1/l", SYM, "a/b"),
            ("one-1/x", SYM, "l/../../.."),
        ],
        [("one-1/out", FIFO, "")],
        [("one-1/out", tarfile.CHRTYPE, "")],
        [("one-1/..", tarfile.REGTYPE, "")],
        [("one-1/..", SYM, "one-1")],
        [("/", tarfile.REGTYPE, "")],
    ],
)
def test_an_sdist_that_leaves_its_folder_is_refused(tmp_path: Path, members: list[Member]) -> None:
    with pytest.raises(FormatError, match=r"one-1\.tar\.gz cannot be unpacked"):
        unpacked(pack(tmp_path, members), tmp_path)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "unpacked" / "out").exists()


def test_an_sdist_is_unpacked_the_same_where_python_has_no_filter_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    top = unpacked(named(make_sdist(tmp_path, "one", "1")), tmp_path)
    assert (top.name, (top / "PKG-INFO").is_file()) == ("one-1", True)


def test_links_and_modes_are_pips(tmp_path: Path) -> None:
    path = tmp_path / "one-1.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, mode in (("setup.py", 0o4755), ("data", 0o600), ("plain", 0o666)):
            info = tarfile.TarInfo(f"one-1/{name}")
            info.mode, info.size, info.mtime = mode, 4, 1_000_000_000
            tar.addfile(info, io.BytesIO(b"text"))
        # A member may be replaced by a later one, and a hard link be written without the top.
        for name, kind, target in (
            ("data", HARD, "one-1/setup.py"),
            ("inside", SYM, "setup.py"),
            ("later", SYM, "made-by-the-build"),
            ("lost", HARD, "setup.py"),
        ):
            link = tarfile.TarInfo(f"one-1/{name}")
            link.type, link.linkname = kind, target
            tar.addfile(link)
    top = unpacked(named(path), tmp_path)
    names = sorted(each.name for each in top.iterdir())
    assert names == ["data", "inside", "later", "plain", "setup.py"]
    assert not (top / "plain").stat().st_mode & 0o111
    assert stat.S_IMODE((top / "setup.py").stat().st_mode) == 0o777 & ~_umask() | 0o111
    assert (top / "setup.py").stat().st_mtime == 1_000_000_000
    assert (top / "data").read_text() == "text"
    assert (top / "data").stat().st_ino != (top / "setup.py").stat().st_ino
    assert (top / "inside").readlink() == Path("setup.py")


@pytest.mark.parametrize(
    ("members", "top", "files"),
    [
        # As pip: an old archive may hold its files without a folder around them.
        ([("a", tarfile.REGTYPE, "1"), ("b", tarfile.REGTYPE, "2")], "source", ["a", "b"]),
        ([("one-1/a", tarfile.REGTYPE, ""), ("two/b", tarfile.REGTYPE, "")], "source", None),
        ([("a", tarfile.REGTYPE, "1")], "source", ["a"]),
        ([("a", SYM, "b")], "source", ["a"]),
        ([("a", SYM, ".")], "source", ["a"]),
        ([("b/c", tarfile.REGTYPE, "1"), ("a", SYM, "b")], "source", ["a", "b"]),
        # A name that starts with a slash counts from the folder, as in every tool that unpacks.
        ([("/one-1/a", tarfile.REGTYPE, "1")], "one-1", ["a"]),
        ([("one-1", tarfile.DIRTYPE, ""), ("one-1/empty", tarfile.DIRTYPE, "")], "one-1", None),
    ],
    ids=[
        "no folder",
        "two folders",
        "a file",
        "a link",
        "a link to the folder",
        "a link and a folder",
        "slash",
        "empty folder",
    ],
)
def test_the_top_folder_is_where_pip_has_it(
    tmp_path: Path, members: list[Member], top: str, files: list[str] | None
) -> None:
    place = unpacked(pack(tmp_path, members), tmp_path)
    assert place.name == top
    found = sorted(each.name for each in place.iterdir())
    assert found == (files or (["one-1", "two"] if top == "source" else ["empty"]))


def test_a_hard_link_to_a_file_that_a_link_has_replaced_is_to_nothing(tmp_path: Path) -> None:
    """It would be read by way of the link, which nobody has looked at yet."""
    secret = tmp_path / "secret"
    secret.write_text("of the user")
    members = [
        ("one-1/a", tarfile.REGTYPE, "1"),
        ("one-1/a", SYM, str(secret)),
        ("one-1/b", HARD, "one-1/a"),
        ("one-1/a", tarfile.REGTYPE, "2"),
    ]
    top = unpacked(pack(tmp_path, members), tmp_path)
    assert [(each.name, each.read_text()) for each in top.iterdir()] == [("a", "2")]


@pytest.mark.parametrize("target", ["missing", "folder", "file"])
def test_a_member_in_the_place_of_a_link_replaces_it(tmp_path: Path, target: str) -> None:
    members = [
        ("one-1/folder", tarfile.DIRTYPE, ""),
        ("one-1/file", tarfile.REGTYPE, "old"),
        ("one-1/link", SYM, target),
        ("one-1/link", tarfile.REGTYPE, "new"),
    ]
    place = unpacked(pack(tmp_path, members), tmp_path)
    assert (place / "link").read_text() == "new"
    assert not (place / "link").is_symlink()
    assert (place / "file").read_text() == "old"


def test_a_hard_link_to_nothing_is_passed_over_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members = [("one-1/file", tarfile.REGTYPE, ""), ("one-1/link", HARD, "one-1/missing")]
    place = unpacked(pack(tmp_path, members), tmp_path)
    assert [each.name for each in place.iterdir()] == ["file"]
    assert ["there is no one-1/missing" in said for said in caplog.messages] == [True]


def test_folders_count_as_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same folder a million times takes as long as a million files."""
    source = pack(tmp_path, [("one-1/a", tarfile.DIRTYPE, "")] * 10)
    monkeypatch.setattr(unpack, "_MAX_MEMBERS", 9)
    with pytest.raises(FormatError, match="more than 9 files"):
        unpacked(source, tmp_path)


def test_links_count_as_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = pack(tmp_path, [(f"one-1/{number}", SYM, "x") for number in range(4)])
    (tmp_path / "fits").mkdir()
    monkeypatch.setattr(unpack, "_MAX_MEMBERS", 5)  # with the folder
    assert unpacked(source, tmp_path / "fits").name == "one-1"
    monkeypatch.setattr(unpack, "_MAX_MEMBERS", 4)
    with pytest.raises(FormatError, match="more than 4 files"):
        unpacked(source, tmp_path)


def test_so_many_links_are_no_archive_that_is_made_to_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pack(tmp_path, [(f"one-1/{number}", SYM, "x") for number in range(4)])
    monkeypatch.setattr(unpack, "_MAX_LINKS", 3)
    with pytest.raises(FormatError, match="more than 3 links"):
        unpacked(source, tmp_path)


def test_only_a_plain_file_of_a_zip_file_is_executable(tmp_path: Path) -> None:
    path = tmp_path / "one-1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in (("plain", stat.S_IFREG | 0o644), ("link", stat.S_IFLNK | 0o777)):
            member = zipfile.ZipInfo(f"one-1/{name}")
            member.external_attr = mode << 16
            archive.writestr(member, "")
    top = unpacked(named(path), tmp_path)
    assert not any(os.access(each, os.X_OK) for each in top.iterdir())


def _umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(("limit", "needed"), [("_MAX_MEMBERS", 5), ("_MAX_UNPACKED_BYTES", 40)])
def test_an_sdist_is_unpacked_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, limit: str, needed: int
) -> None:
    members = [(f"one-1/{number}", tarfile.REGTYPE, "0123456789") for number in range(4)]
    if kind == "tar":
        source = pack(tmp_path, members)
    else:
        with zipfile.ZipFile(tmp_path / "one-1.zip", "w") as archive:
            for name, _, text in members:
                archive.writestr(name, text)
        source = named(tmp_path / "one-1.zip")
    (tmp_path / "fits").mkdir()
    monkeypatch.setattr(unpack, limit, needed)
    assert unpacked(source, tmp_path / "fits").name == "one-1"
    monkeypatch.setattr(unpack, limit, needed - 1)
    with pytest.raises(FormatError, match="more than"):
        unpacked(source, tmp_path)


def test_hard_links_count_with_what_they_link_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pack(
        tmp_path,
        [
            ("one-1/a", tarfile.REGTYPE, "0123456789"),
            *((f"one-1/{n}", HARD, "one-1/a") for n in "bcd"),
        ],
    )
    monkeypatch.setattr(unpack, "_MAX_UNPACKED_BYTES", 30)
    with pytest.raises(FormatError, match="more than 30 bytes"):
        unpacked(source, tmp_path)


@pytest.mark.parametrize(
    "members",
    [
        [
            ("one-1/large", tarfile.REGTYPE, "0" * (20 << 20)),
            ("one-1/a", tarfile.REGTYPE, "0"),
            *((f"one-1/{number}", HARD, "one-1/a") for number in range(300)),
        ],
        [
            *((f"one-1/{number}", SYM, "a") for number in range(2500)),
            *(("one-1/a", tarfile.REGTYPE, "") for _ in range(2500)),
        ],
        [(f"one-1/{'d/' * 900}{number}", tarfile.REGTYPE, "") for number in range(300)],
        [(f"one-1/{number + 1}", SYM, f"{number}/../{number}") for number in range(400)],
    ],
    ids=["hard links", "replaced files", "deep folders", "links to links"],
)
def test_no_member_takes_longer_the_more_there_are(tmp_path: Path, members: list[Member]) -> None:
    """Some kilobytes of an archive kept a command busy for hours."""
    source = pack(tmp_path, members)
    began = time.process_time()
    assert unpacked(source, tmp_path).name == "one-1"
    assert time.process_time() - began < 5


def test_old_sdists_are_zip_files(tmp_path: Path) -> None:
    path = tmp_path / "one-1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one-1/", "")
        archive.writestr("one-1/setup.py", "")
        archive.writestr("one-1/empty/", "")
        script = zipfile.ZipInfo("one-1/configure")
        script.external_attr = (stat.S_IFREG | 0o755) << 16
        archive.writestr(script, "")
    top = unpacked(named(path), tmp_path)
    assert sorted(each.name for each in top.iterdir()) == ["configure", "empty", "setup.py"]
    assert os.access(top / "configure", os.X_OK)
    assert not (top / "setup.py").stat().st_mode & stat.S_IXUSR


def test_a_zip_file_is_one_whatever_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "one-1.tar.gz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one-1/a", "1")
    assert (unpacked(named(path), tmp_path) / "a").read_text() == "1"


def test_a_read_that_fails_is_not_taken_for_the_sign_of_no_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, failures = zipfile.ZipFile, ["File is not a zip file"]
    sdist, wheel = tmp_path / "one-1.zip", hand_off(make_wheel(tmp_path, "one", "1"))
    with zipfile.ZipFile(sdist, "w") as archive:
        archive.writestr("one-1/setup.py", "")

    def sometimes(path: Path) -> zipfile.ZipFile:
        if failures:
            raise zipfile.BadZipFile(failures.pop())  # as `zipfile` says it of a failed read
        return opened(path)

    monkeypatch.setattr(zipfile, "ZipFile", sometimes)
    monkeypatch.setattr(zipfile, "is_zipfile", lambda _: False)  # as it says it of one, too
    assert (unpacked(named(sdist), tmp_path) / "setup.py").is_file()
    failures.append("File is not a zip file")
    (copied,) = Copies(tmp_path / "unpacked").all([wheel])
    assert copied.project == "one"
    assert not failures


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_what_this_machine_cannot_read_just_now_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    sdist, wheel = tmp_path / "one-1.zip", hand_off(make_wheel(tmp_path, "one", "1"))
    sdist.write_bytes(wheel.wheel.path.read_bytes())

    def failing(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")  # as a read says it: without the name

    monkeypatch.setattr(zipfile, "ZipFile", failing)
    with pytest.raises(SecurepipError, match="cannot be used") as raised:
        if kind == "sdist":
            unpacked(named(sdist), tmp_path)
        else:
            Copies(tmp_path / "temporary").all([wheel])
    assert not isinstance(raised.value, FormatError)
    assert "This machine is the reason" in raised.value.meaning


def test_a_zip_file_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one-1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one-1/../../out", "")
    with pytest.raises(FormatError, match="outside"):
        unpacked(named(path), tmp_path)


@pytest.mark.parametrize("suffix", ["tar.lzma", "tlz", "txz"])
def test_sdists_may_be_packed_in_any_way_that_pip_knows(tmp_path: Path, suffix: str) -> None:
    sdist = make_sdist(tmp_path, "one", "1")
    packed = tmp_path / f"one-1.{suffix}"
    form = lzma.FORMAT_XZ if suffix == "txz" else lzma.FORMAT_ALONE
    packed.write_bytes(lzma.compress(gzip.decompress(sdist.read_bytes()), form))
    assert parse_distribution(packed.name, canonicalize_name("one")) is not None
    assert (unpacked(named(packed), tmp_path) / "PKG-INFO").is_file()


def test_an_archive_that_wants_a_large_memory_is_refused(tmp_path: Path) -> None:
    """Some kilobytes took as many gigabytes as the header of an xz file says."""
    packed = tmp_path / "one-1.tar.xz"
    plain = gzip.decompress(make_sdist(tmp_path, "one", "1").read_bytes())
    data = bytearray(lzma.compress(plain, lzma.FORMAT_ALONE))
    data[1:5] = (1 << 29).to_bytes(4, "little")
    packed.write_bytes(data)
    with tarfile.open(packed) as tar:
        assert len(tar.getnames()) > 1, "the library opens it"
    with pytest.raises(FormatError, match="Memory usage limit"):
        unpacked(named(packed), tmp_path)
    packed.write_bytes(lzma.compress(plain[:1000]) + bytes(8) + lzma.compress(plain[1000:]))
    (tmp_path / "again").mkdir()
    assert (unpacked(named(packed), tmp_path / "again") / "PKG-INFO").is_file()
