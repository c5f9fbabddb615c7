"""Names from the network: which project and version a file says, and where it may lead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import (
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from securepip.errors import FormatError
from securepip.formats.digests import Sha256, parse_sha256
from securepip.formats.distribution import Kind, _parse_release, _parse_wheel, parse_distribution
from securepip.formats.layout import (
    check_filename,
    consistent_path,
    file_target,
    is_own_url,
    page_target,
    parse_project,
    project_of_role,
    project_of_target,
    relative_file_url,
    shard_names,
)


@pytest.mark.parametrize(
    ("filename", "project", "version"),
    [
        ("Flask_Login-0.6.3-py3-none-any.whl", "flask-login", "0.6.3"),
        ("foo-1.0-1-py3-none-any.whl", "foo", "1.0"),
        ("foo-1!2.0-py2.py3-none-any.whl", "foo", "1!2.0"),
        ("torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl", "torch", "2.13.0+cpu"),
        ("foo-bar-1.0.tar.gz", "foo-bar", "1.0"),
        ("foo.bar-1.0.zip", "foo-bar", "1.0"),
        ("foo-1.0.tar.bz2", "foo", "1.0"),
        ("foo-1.0-1.tar.gz", "foo", "1.0.post1"),
        ("foo-2-3.0.tar.gz", "foo-2", "3.0"),
    ],
)
def test_real_file_names_are_understood(filename: str, project: str, version: str) -> None:
    name = parse_distribution(filename, canonicalize_name(project))
    assert name is not None
    assert name.version == Version(version)
    assert (name.kind is Kind.WHEEL) == filename.endswith(".whl")


@pytest.mark.parametrize(
    "filename",
    [
        "foo-1.0.egg",
        "foo-1.0.win32.exe",
        "foo-1.0-1.noarch.rpm",
        "foo-nonsense.tar.gz",
        "foo-1.0.dev-r12.tar.gz",
        "foo-1.0.whl",
        f"foo-1.0-{'py3.' * 19}py3-{'none.' * 9}none-{'any.' * 9}any.whl",
        "foo-nonsense-py3-none-any.whl",
        "foo.tar.gz",
        "-1.0.tar.gz",
        "",
        "bar-1.0.tar.gz",
        "bar-1.0-py3-none-any.whl",
        "foo-bar-1.0-py3-none-any.whl",
    ],
)
def test_what_is_no_distribution_of_the_project_is_passed_over(filename: str) -> None:
    assert parse_distribution(filename, canonicalize_name("foo")) is None


@given(st.text(max_size=30))
def test_any_text_is_either_understood_as_the_specification_does_or_passed_over(text: str) -> None:
    for filename in (text, f"foo-{text}.tar.gz", f"foo-{text}.whl", f"foo-1.0-{text}.whl"):
        name = parse_distribution(filename, canonicalize_name("foo"))
        if name is not None and name.kind is Kind.WHEEL:
            assert parse_wheel_filename(filename)[:2] == (name.project, name.version)
        if name is not None and filename.endswith(".tar.gz") and text.count("-") == 0:
            assert parse_sdist_filename(filename) == (name.project, name.version)


@given(st.text(max_size=40))
def test_no_name_leads_out_of_its_folder(text: str) -> None:
    try:
        project, filename = parse_project(text), check_filename(text)
    except FormatError:
        return
    for path in (
        page_target(project),
        file_target(project, filename),
        consistent_path(file_target(project, filename), Sha256("0" * 64)),
    ):
        parts = path.split("/")
        assert len(parts) == 3
        assert not {"", ".", ".."} & set(parts)
        assert "\\" not in path
    assert relative_file_url(project, filename).startswith(f"../../packages/{project}/")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "-a", "a-", "ä", "\u212a", "\u017f", "a b", "a\n", "a\0", "a" * 241],
)
def test_what_is_no_project_name_is_refused(name: str) -> None:
    """The sign of Kelvin is no k, though one in small letters is, nor is a long s an s."""
    assert parse_project("a" * 240) == "a" * 240
    with pytest.raises(FormatError):
        parse_project(name)


def test_a_digest_stands_before_the_name_of_a_file_in_its_folder() -> None:
    digest = Sha256("0" * 64)
    assert consistent_path("packages/app/app-1.zip", digest) == f"packages/app/{digest}.app-1.zip"


def test_digests_are_64_hexadecimal_digits() -> None:
    assert parse_sha256("AB" * 32) == "ab" * 32
    for wrong in ("", "ab", "g" * 64, "a" * 65, None, 5, "a" * 63 + "\n"):
        with pytest.raises(FormatError):
            parse_sha256(wrong)


@pytest.mark.parametrize(
    ("path", "project"),
    [
        ("simple/app/index.json", "app"),
        ("packages/app/app-1.0.tar.gz", "app"),
        ("simple/app", None),
        ("packages/app/sub/app-1.0.tar.gz", None),
        ("elsewhere/app/index.json", None),
        ("simple/App/index.json", None),
        ("simple//index.json", None),
        ("", None),
    ],
)
def test_a_path_belongs_to_a_project_only_if_it_is_one_of_ours(
    path: str, project: str | None
) -> None:
    assert project_of_target(path) == project


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("../../packages/app/app-1.0+a.tar.gz", False),
        ("../../packages/app/app-1.0%2Ba.tar.gz", True),
        ("../../packages/app/app-2.0.tar.gz", False),
        ("../../packages/other/app-1.0%2Ba.tar.gz", False),
        ("../../packages/app/../app/app-1.0%2Ba.tar.gz", False),
        ("https://packages.example.org/packages/app/app-1.0%2Ba.tar.gz", False),
    ],
)
def test_a_repositorys_own_file_is_at_one_address_alone(url: str, is_own: bool) -> None:
    assert is_own_url(url, NormalizedName("app"), "app-1.0+a.tar.gz") is is_own


def test_the_shards_of_claims_are_named_as_they_have_always_been() -> None:
    """Clients look there for the role of a project."""
    name = NormalizedName("x" * 30)
    lengths = (1, 2, 3, 4, 6, 8, 11, 14, 18, 22, 28)
    assert shard_names("claimed", name) == [f"claimed.{name[:length]}" for length in lengths]


def test_only_the_role_of_a_normalized_name_is_that_of_a_project() -> None:
    assert project_of_role("project.app") == "app"
    for role in ("app", "project.App", "project.", "project.a.b", "project.project.app"):
        assert project_of_role(role) is None


@given(st.from_regex(r"[A-Za-z0-9._]{1,9}-[0-9.a+!]{1,9}(-[0-9a-z]{1,3})?", fullmatch=True))
def test_a_release_is_what_the_library_says_that_it_is(before: str) -> None:
    assert _parse_release(before) == _parse_wheel(f"{before}-py3-none-any.whl")
