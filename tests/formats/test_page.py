"""A page says the same in both its forms, and nothing but a page is read as one."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from pypi_simple import ProjectPage as ReferencePage

from securepip.errors import FormatError
from securepip.formats.digests import NOT_KNOWN_YET, Sha256
from securepip.formats.page import PageFile, ProjectPage, format_time, parse_page, parse_time

PROJECT = canonicalize_name("alpha-beta")
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)
DIGESTS = st.integers(0, 2**256 - 1).map(lambda number: Sha256(f"{number:064x}"))
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=timezone.utc)
)
FILES = st.builds(
    PageFile,
    filename=st.from_regex(
        r"alpha_beta-[1-9]\.[0-9]{1,3}(-py3-none-any\.whl|\.tar\.gz)", fullmatch=True
    ),
    url=st.from_regex(r"https://packages\.example\.org/[a-z0-9/]{1,20}", fullmatch=True),
    sha256=DIGESTS,
    size=st.integers(0, 2**40),
    requires_python=st.none() | TEXT,
    upload_time=st.none() | TIMES,
    yanked=st.none() | TEXT,
    core_metadata=st.none() | DIGESTS,
    other_hash=st.none(),
)
PAGES = st.builds(
    ProjectPage,
    project=st.just(PROJECT),
    files=st.lists(FILES, max_size=5, unique_by=lambda file: file.filename).map(tuple),
    status=st.sampled_from(["active", "archived", "quarantined", "deprecated"]),
    status_reason=st.none() | TEXT,
)


@given(PAGES)
def test_a_page_survives_being_written_and_read(page: ProjectPage) -> None:
    written = page.to_json()
    assert parse_page(written, PROJECT) == page
    assert json.dumps(json.loads(written), separators=(",", ":")).encode() == written


@given(PAGES)
def test_an_independent_reader_finds_the_same_in_the_json_form(page: ProjectPage) -> None:
    read = ReferencePage.from_json_data(json.loads(page.to_json()))
    assert read.project == page.project
    for file, package in zip(page.files, read.packages, strict=True):
        assert package.filename == file.filename
        assert package.digests == {"sha256": file.sha256}
        assert package.size == file.size
        assert package.requires_python == file.requires_python
        assert package.upload_time == file.upload_time
        assert package.is_yanked == (file.yanked is not None)
        assert (package.yanked_reason or "") == (file.yanked or "")
        assert bool(package.has_metadata) == (file.core_metadata is not None)


@given(PAGES)
def test_an_independent_reader_finds_the_same_in_the_html_form(page: ProjectPage) -> None:
    read = ReferencePage.from_html(page.project, page.to_html())
    for file, package in zip(page.files, read.packages, strict=True):
        assert package.filename == file.filename
        assert package.url == f"{file.url}#sha256={file.sha256}" or package.url == file.url
        assert package.digests == {"sha256": file.sha256}
        assert package.requires_python == file.requires_python
        assert package.is_yanked == (file.yanked is not None)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["meta", "name", "files", "api-version", "filename", "hashes", "size"]),
        inner,
        max_size=4,
    ),
    max_leaves=20,
))  # fmt: skip
def test_json_that_is_no_page_is_a_format_error_and_nothing_else(document: object) -> None:
    with pytest.raises(FormatError):
        parse_page(json.dumps(document).encode(), PROJECT)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_page_are_a_format_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_page(data, PROJECT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filename", "../alpha_beta-1.0.tar.gz"),
        ("filename", "alpha_beta-1.0.tar.gz\0"),
        ("filename", "/etc/alpha_beta-1.0.tar.gz"),
        ("filename", "C:alpha_beta-1.0.tar.gz"),
        ("filename", "-alpha_beta-1.0.tar.gz"),
        ("filename", ".alpha_beta-1.0.tar.gz"),
        ("filename", "alpha\\beta-1.0.tar.gz"),
        ("filename", "a" * 300 + "-1.0.tar.gz"),
        ("filename", None),
        ("url", 5),
        ("size", -1),
        ("size", True),
        ("size", "12"),
        ("size", 1.5),
        ("hashes", {}),
        ("hashes", {"sha256": "abc"}),
        ("hashes", {"md5": "0" * 32}),
        ("core-metadata", True),
        ("upload-time", "yesterday"),
        ("upload-time", "2024-13-01T00:00:00Z"),
        ("yanked", 1),
        ("requires-python", []),
    ],
)
def test_a_file_entry_that_is_not_of_its_form_is_refused(field: str, value: object) -> None:
    entry = {
        "filename": "alpha_beta-1.0.tar.gz",
        "url": "x",
        "hashes": {"sha256": "0" * 64},
        "size": 1,
        field: value,
    }
    page = {"meta": {"api-version": "1.1"}, "name": PROJECT, "files": [entry]}
    with pytest.raises(FormatError):
        parse_page(json.dumps(page).encode(), PROJECT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("files", {}),
        ("files", ""),
        ("files", None),
        ("meta", {"api-version": "2.0"}),
        ("meta", {}),
        ("project-status", {"status": 1}),
        ("project-status", {"status": "active", "reason": 1}),
        ("project-status", "archived"),
        ("name", None),
    ],
)
def test_a_page_that_is_not_of_its_form_is_refused(field: str, value: object) -> None:
    page = {"meta": {"api-version": "1.1"}, "name": PROJECT, "files": []}
    assert parse_page(json.dumps(page).encode(), PROJECT).files == ()
    with pytest.raises(FormatError):
        parse_page(json.dumps({**page, field: value}).encode(), PROJECT)


def test_the_html_says_of_a_file_what_is_known_of_it_and_nothing_else() -> None:
    bare = PageFile("alpha_beta-1.0.tar.gz", "x", Sha256("0" * 64), 1)
    html = ProjectPage(PROJECT, (bare,)).to_html().decode()
    assert f'<a href="x#sha256={"0" * 64}">alpha_beta-1.0.tar.gz</a>' in html
    full = bare._replace(requires_python=">=3", yanked="<broken>", core_metadata=bare.sha256)
    html = ProjectPage(PROJECT, (full,)).to_html().decode()
    assert 'data-requires-python="&gt;=3" data-yanked="&lt;broken&gt;"' in html
    for name in ("data-core-metadata", "data-dist-info-metadata"):
        assert f'{name}="sha256={"0" * 64}"' in html


def test_a_page_of_another_project_or_of_the_same_file_twice_is_refused() -> None:
    page = ProjectPage(PROJECT, (PageFile("alpha_beta-1.0.tar.gz", "x", Sha256("0" * 64), 1),))
    read = parse_page(page.to_json(), PROJECT)
    assert read is parse_page(page.to_json(), PROJECT), "the same bytes are read once"
    with pytest.raises(FormatError, match="says that it is of"):
        parse_page(page.to_json(), canonicalize_name("gamma"))
    with pytest.raises(FormatError, match="twice"):
        ProjectPage(PROJECT, page.files * 2)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2024-01-02T03:04:05Z", 0),
        ("2024-01-02T03:04:05.1Z", 100_000),
        ("2024-01-02T03:04:05.000001Z", 1),
        ("2024-01-02T03:04:05.123456789Z", 123_456),
    ],
)
def test_a_time_may_have_as_many_digits_as_an_index_writes(text: str, microseconds: int) -> None:
    assert parse_time(text) == datetime(2024, 1, 2, 3, 4, 5, microseconds, timezone.utc)


def test_a_file_whose_sha256_nobody_tells_is_known_by_what_is_told_of_it() -> None:
    """Its size is not told either: only a repository that signs on demand may write that."""
    md5 = "a" * 32
    entry = {"filename": "alpha_beta-1.0.tar.gz", "url": "x", "hashes": {"md5": md5}}
    page = {"meta": {"api-version": "1.1"}, "name": PROJECT, "files": [entry]}
    read = parse_page(json.dumps(page).encode(), PROJECT)
    (file,) = read.files
    assert (file.sha256, file.other_hash, file.size) == (NOT_KNOWN_YET, f"md5:{md5}", None)
    assert json.loads(read.to_json())["files"][0]["hashes"] == {"md5": md5}
    assert f"#md5={md5}".encode() in read.to_html()
    entry["hashes"] = {"md5": md5, "sha256": "0" * 64}
    (file,) = parse_page(json.dumps(page).encode(), PROJECT).files
    assert (file.sha256, file.other_hash) == ("0" * 64, None)
    entry["hashes"] = {}
    (file,) = parse_page(json.dumps(page).encode(), PROJECT).files
    assert (file.sha256, file.other_hash) == (NOT_KNOWN_YET, None)


@given(TIMES)
def test_times_survive_being_written_and_read(moment: datetime) -> None:
    assert parse_time(format_time(moment)) == moment
    local = moment.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert format_time(local) == format_time(moment)
