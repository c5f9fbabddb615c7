"""Small readers and writers: headers, links of a page, numbers and reasons in words."""

from __future__ import annotations

import io
from hashlib import md5, sha256

import pytest

from securepip.errors import FormatError
from securepip.formats.digests import hashes_of_stream, other_hash_of
from securepip.formats.links import Links, decode_page
from securepip.formats.negotiation import PLAIN_HTML, negotiate, weight
from securepip.formats.page import HTML_TYPE, JSON_TYPE
from securepip.formats.words import MAX_REASON, counted, first_of, in_units, parse_reason

LATEST = "application/vnd.pypi.simple.latest"


@pytest.mark.parametrize(
    ("accept", "sent"),
    [
        ("", PLAIN_HTML),
        ("*/*", PLAIN_HTML),
        (JSON_TYPE, JSON_TYPE),
        (f"{LATEST}+json", JSON_TYPE),
        (f"{JSON_TYPE}, {HTML_TYPE}, text/html", JSON_TYPE),
        (f"{JSON_TYPE};q=0", PLAIN_HTML),
        (f"{JSON_TYPE};q=0.1, text/html;q=0.2", PLAIN_HTML),
        (f"{JSON_TYPE};q=0.1, {LATEST}+html;q=0.2", HTML_TYPE),
        (f"{HTML_TYPE};q=0.1, text/html;q=0.2", PLAIN_HTML),
        (HTML_TYPE, HTML_TYPE),
    ],
)
def test_json_is_sent_to_who_asks_for_it_by_name(accept: str, sent: str) -> None:
    assert negotiate(accept) == sent


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip", 1.0),
        ("br, GZIP ; q=0.5", 0.5),
        ("gzip;level=1;Q=0.25", 0.25),
        ("gzip;q=much", 0.0),
        ("gzip;q=1", 1.0),
        ("br", 0.0),
    ],
)
def test_the_weight_of_a_name_is_what_the_header_gives_it(header: str, expected: float) -> None:
    assert weight(header, "gzip") == expected


def test_the_links_of_a_page_are_those_that_have_an_address() -> None:
    page = Links(
        '<meta name="pypi:repository-version" content="1.1"><meta name="pypi:x">'
        '<meta name="pypi:repository-version" content="9"><meta name="other" content="y">'
        '<base href="/one/"><base href="/two/">'
        '<a href="x-1.tar.gz#sha256=0" data-yanked>x</a><a>no</a><a href="">no</a><b href="z">'
        '<meta charset="utf-8"><b name="pypi:z" content="no">'
    )
    assert page.anchors == [{"href": "x-1.tar.gz#sha256=0", "data-yanked": None}]
    assert page.base == "/one/"
    assert page.meta == {"repository-version": "1.1", "x": ""}


def test_a_long_page_is_read_and_a_tag_that_never_ends_is_none() -> None:
    link = '<a href="x-1.tar.gz">x</a>\n'
    assert len(Links(link * 20_000).anchors) == 20_000
    with pytest.raises(FormatError, match="more than"):
        Links(link + "<!-- " + "-" * 400_000)
    with pytest.raises(FormatError):
        Links("<![bad[")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        (None, "é"),
        ("utf-8", "é"),
        ("UTF8", "é"),
        ("latin-1", "Ã©"),
        ("nobody-has-this", "é"),
        ("utf-7", "é"),
        ("idna", "é"),
    ],
)
def test_a_page_is_decoded_as_one_of_the_usual_encodings(encoding: str | None, text: str) -> None:
    assert decode_page("é".encode(), encoding) == text


def test_numbers_are_said_as_people_say_them() -> None:
    assert [counted(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert [counted(n, "entry", "entries") for n in (1, 2)] == ["1 entry", "2 entries"]
    assert first_of(["a", "b", "c"], 3) == "a b c"
    assert first_of(["a", "b", "c"], 2, ", ") == "a, b and 1 more"
    sizes = [80, 1000, 1200, 10_000, 12_345, 1_000_000, 60_040_000]
    assert [in_units(size) for size in sizes] == [
        "80 bytes",
        "1000 bytes",
        "1.2 kB",
        "10.0 kB",
        "12 kB",
        "1000 kB",
        "60.0 MB",
    ]


@pytest.mark.parametrize(
    "text", ["", "  ", "two\nlines", "\x1b[31m", "right \u202e to left", "x" * (MAX_REASON + 1), 5]
)
def test_a_reason_is_one_line_that_a_terminal_can_show(text: object) -> None:
    assert parse_reason(" because ") == "because"
    assert parse_reason("x" * MAX_REASON)
    with pytest.raises(FormatError):
        parse_reason(text)


def test_the_strongest_hash_that_pip_compares_counts_where_no_sha256_is_told() -> None:
    md5sum, sha512 = "A" * 32, "b" * 128
    assert other_hash_of({"md5": md5sum}) == f"md5:{md5sum.lower()}"
    assert other_hash_of({"md5": md5sum, "sha512": sha512}) == f"sha512:{sha512}"
    assert other_hash_of({"md5": "no digest"}) == "md5:unreadable"
    assert other_hash_of({"md5": 5}) is None
    assert other_hash_of({"unknown": md5sum}) is None


def test_all_hashes_of_a_stream_are_of_all_of_it() -> None:
    data = b"x" * 600_000
    expected = {
        f"sha256:{sha256(data).hexdigest()}",
        f"md5:{md5(data, usedforsecurity=False).hexdigest()}",
    }
    found, length = hashes_of_stream(io.BytesIO(data), ("sha256", "md5"))
    assert (set(found), length) == (expected, len(data))
