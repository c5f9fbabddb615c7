"""Requirements, constraints and hashes, as a command line and files say them."""

from __future__ import annotations

import codecs
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securepip.errors import (
    RequirementError,
    ResolutionError,
    SecurepipError,
    UsageError,
    VerificationError,
)
from securepip.resolver import ResolveInput, ResolveOptions, parse_requirement, read_requirements
from securepip.resolver import resolve as resolve_requirements
from tests.resolver.fakes import FakeIndex, environment, install, pins

A, B = "a" * 64, "b" * 64


def _read(folder: Path, content: str | bytes, *, constraint: bool = False) -> ResolveInput:
    file = folder / "requirements.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    names = [str(file)]
    if constraint:
        return read_requirements(constraint_files=names)
    return read_requirements(requirement_files=names)


def _texts(given: ResolveInput) -> list[str]:
    return [str(one.requirement) for one in given.requirements]


def test_comments_continuations_and_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_VERSION", "2.0")
    content = (
        "# first\n\nweb==${WEB_VERSION}  # why\nbase>=1,\\\n   <2\n"
        "tools[fast] ; python_version > '3'\n"
        "last\\\n# a comment ends what is continued\n"
    )
    read = _read(tmp_path, content)
    assert _texts(read) == [
        "web==2.0",
        "base<2,>=1",
        'tools[fast]; python_version > "3"',
        "last",
    ]
    assert read.requirements[1].source == f"-r {tmp_path / 'requirements.txt'} (line 4)"
    with pytest.raises(UsageError, match="NOT_SET"):
        _read(tmp_path, "web==${NOT_SET}")


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF8 + "wéb # é".replace("é", "e").encode(),
        codecs.BOM_UTF16_LE + "web # é".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "web # é".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "web # é".encode("utf-32-le"),
        "# -*- coding: latin-1 -*-\nweb # é".encode("latin-1"),
    ],
)
def test_encodings_are_recognized_as_pip_recognizes_them(tmp_path: Path, data: bytes) -> None:
    assert _texts(_read(tmp_path, data)) == ["web"]


@pytest.mark.parametrize(
    "content",
    [
        f"web{' ' * 100_000}x",
        " \\\n" * 100_000,
        f"web {'-r x ' * 100_000}",
        f"web {'a[b,' * 100_000}",
        f"# coding: punycode\nweb-{'b' * 400_000}",
    ],
    ids=["spaces", "continued lines", "options", "extras", "encoding"],
)
def test_a_file_takes_no_longer_than_it_is_long(content: str) -> None:
    began = time.process_time()
    with suppress(RequirementError):
        read_requirements(
            requirement_files=["https://packages.example.org/requirements.txt"],
            read_url=lambda url: content.encode(),
        )
    assert time.process_time() - began < 5


@pytest.mark.parametrize("content", ["# coding: undefined\nweb", "-r http://[", "-c //[/x"])
def test_what_a_server_sends_that_is_no_file_of_requirements_is_refused_in_words(
    content: str,
) -> None:
    with pytest.raises(RequirementError):
        read_requirements(
            requirement_files=["https://packages.example.org/requirements.txt"],
            read_url=lambda url: content.encode(),
        )


def test_files_name_other_files_relative_to_themselves(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "more.txt").write_text("base\n-c ../limits.txt\n--pre\n")
    (tmp_path / "limits.txt").write_text("base<2\n-r deep/last.txt\n")
    (tmp_path / "deep" / "last.txt").write_text("last\n")
    read = _read(tmp_path, "web\n-r deep/more.txt\n--requirement=deep/last.txt\n")
    assert _texts(read) == ["web", "base", "last", "last"]
    assert [str(one.requirement) for one in read.constraints] == ["base<2"]
    assert read.prereleases


def test_a_file_url_is_read(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("base\n")
    assert _texts(_read(tmp_path, f"-r {(tmp_path / 'more.txt').as_uri()}")) == ["base"]


def test_a_file_that_names_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("-r requirements.txt\n")
    with pytest.raises(UsageError, match="recursively references itself"):
        _read(tmp_path, "-r more.txt")


def test_files_that_name_ever_deeper_files_are_refused(tmp_path: Path) -> None:
    for n in range(60):
        (tmp_path / f"{n}.txt").write_text(f"-r {n + 1}.txt\n" if n < 59 else "web\n")
    with pytest.raises(UsageError, match="more files than anybody writes"):
        _read(tmp_path, "-r 0.txt")
    assert _texts(_read(tmp_path, "-r 20.txt")) == ["web"]


def test_a_file_from_elsewhere_that_names_ever_more_files_is_refused() -> None:
    root = "https://packages.example.org/all.txt"

    def read(count: int) -> ResolveInput:
        lines = "".join(f"-r {n}.txt\n" for n in range(count)).encode()
        return read_requirements(
            requirement_files=[root], read_url=lambda url: lines if url == root else b"web\n"
        )

    assert len(read(500).requirements) == 500
    with pytest.raises(UsageError, match="more files than anybody writes"):
        read(501)


def test_a_missing_file_is_named_as_pip_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Could not open requirements file: .*nowhere\.txt"):
        read_requirements(requirement_files=[str(tmp_path / "nowhere.txt")])


@pytest.mark.parametrize(
    "line",
    [
        "--editable=git+https://packages.example.org/web.git",
        "-e https://packages.example.org/web.zip",
        "web --config-settings=a",
        "-r https://packages.example.org/requirements.txt",
        "https://packages.example.org/web-1.0-py3-none-any.whl",
        "https://packages.example.org/web-1.0-py3-none-any.whl#md5=d41d8cd98f00b204e9800998ecf8427e",
        "file://elsewhere.example.org/wheels/web-1.0-py3-none-any.whl",
        "git+https://packages.example.org/web.git@main#egg=web",
        "web @ git+https://packages.example.org/web.git",
        "web @ https://packages.example.org/web-1.0.tar.gz",
        "web@https://packages.example.org/web-1.0.tar.gz",
        "./tests",
        "./tests[extra]",
        "web --hash=md5:d41d8cd98f00b204e9800998ecf8427e",
        "web --hash=sha256:short",
        "web --unknown",
        "--require",
        'web --hash="unclosed',
        "web = 1.0",
        "web==",
    ],
)
def test_what_cannot_be_honoured_is_refused_and_never_passed_over(
    tmp_path: Path, line: str
) -> None:
    with pytest.raises(UsageError) as caught:
        _read(tmp_path, line)
    assert str(caught.value)
    with pytest.raises(UsageError):
        _read(tmp_path, f"base\n{line}\n", constraint=True)


def test_constraints_have_no_extras(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Constraints cannot have extras"):
        _read(tmp_path, "web[fast]<2", constraint=True)


def test_hashes_are_read_and_turn_hash_checking_on(tmp_path: Path) -> None:
    line = f"web==1.0 --hash=sha256:{A} \\\n    --hash sha256:{B.upper()} --hash=sha512:{A}{B}\n"
    read = _read(tmp_path, f"{line}base==1.0")
    assert read.requirements[0].hashes == {f"sha256:{A}", f"sha256:{B}", f"sha512:{A}{B}"}
    assert read.require_hashes
    assert not _read(tmp_path, "web==1.0").require_hashes
    assert _read(tmp_path, "--require-hashes\nweb==1.0").require_hashes


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(SecurepipError):
        parse_requirement(text)


class TestHashChecking:
    """The rules of pip's documentation, "Hash-checking Mode"."""

    def _resolve(
        self, index: FakeIndex, *lines: str, limits: str = "", site: Path | None = None
    ) -> list[str]:
        folder = Path(self.folder)
        (folder / "limits.txt").write_text(limits)
        (folder / "asked.txt").write_text("\n".join(lines))
        asked = read_requirements((), [str(folder / "asked.txt")], [str(folder / "limits.txt")])
        return pins(resolve_requirements(asked, environment(site), index, ResolveOptions()))

    @pytest.fixture(autouse=True)
    def _in_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "files"
        self.folder.mkdir()

    def test_a_file_with_that_hash_is_chosen_even_if_another_is_better(self) -> None:
        index = FakeIndex()
        sdist = index.add("web", "1.0", filename="web-1.0.tar.gz")
        index.add("web", "1.0")
        index.add("web", "1.1")
        assert self._resolve(index, f"web --hash=sha256:{sdist.sha256}") == ["web==1.0"]

    def test_another_hash_is_a_failed_verification_that_names_both(self) -> None:
        index = FakeIndex()
        file = index.add("web", "1.0")
        with pytest.raises(VerificationError) as caught:
            self._resolve(index, f"web==1.0 --hash=sha256:{A}")
        assert f"Expected sha256 {A}" in str(caught.value)
        assert f"Got        {file.sha256}" in str(caught.value)

    def test_a_dependency_needs_a_hash_and_a_pin_too(self) -> None:
        index = FakeIndex()
        web = index.add("web", "1.0", ["base"])
        base = index.add("base", "1.0")
        line = f"web==1.0 --hash=sha256:{web.sha256}"
        with pytest.raises(ResolutionError, match=r"pinned with ==.*\n.*base \(from web==1\.0"):
            self._resolve(index, line)
        with pytest.raises(ResolutionError, match=f"base==1.0 --hash=sha256:{base.sha256}"):
            self._resolve(index, line, "base==1.0")
        both = [line, f"base==1.0 --hash=sha256:{base.sha256}"]
        assert self._resolve(index, *both) == ["base==1.0", "web==1.0"]

    def test_hashes_in_constraints_count(self) -> None:
        index = FakeIndex()
        web = index.add("web", "1.0", ["base"])
        base = index.add("base", "1.0")
        limits = f"web==1.0 --hash=sha256:{web.sha256}\nbase==1.0 --hash=sha256:{base.sha256}"
        assert self._resolve(index, "web", limits=limits) == ["base==1.0", "web==1.0"]

    def test_what_is_installed_needs_none(self, tmp_path: Path) -> None:
        install(tmp_path / "site", "base", "1.0")
        index = FakeIndex()
        web = index.add("web", "1.0", ["base"])
        line = f"web==1.0 --hash=sha256:{web.sha256}"
        assert self._resolve(index, line, site=tmp_path / "site") == ["web==1.0"]
