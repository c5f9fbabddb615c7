"""Servers that lie, refuse, or answer with something else: what they say is not signed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from securepip.errors import FormatError
from securepip.formats.digests import sha256_of
from securepip.formats.page import JSON_TYPE
from securepip.signing.overlay.upstream.page import Reason, parse_upload_time
from securepip.signing.overlay.upstream.simple_api import parse_simple_page
from tests.signing_sync.conftest import Sync
from tests.signing_sync.test_sync import page_of, reasons
from tests.support.indexes import Index, OfferedFile
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

OCTETS = "application/octet-stream"


def offer(index: Index, tmp_path: Path, *versions: str) -> list[OfferedFile]:
    return index.offer(*(make_wheel(tmp_path, "cur", version) for version in versions))


@pytest.mark.parametrize(
    "server",
    [
        {},
        {"serves_parts": False},
        {"serves_parts": False, "says_lengths": False},
        {"lie": 7},
        {"lie": -7},
        {"lie": -100_000},
    ],
    ids=str,
)
@pytest.mark.parametrize("page_says", [None, 0])
def test_a_wrong_length_is_never_signed(
    index: Index,
    overlay: MadeRepository,
    run: Sync,
    tmp_path: Path,
    server: dict[str, int],
    page_says: int | None,
) -> None:
    index.says_sizes = False
    vars(index).update(server)
    (file,) = offer(index, tmp_path, "1.0")
    file.fields = {} if page_says is None else {"size": page_says}
    assert run("cur").problems == []
    assert page_of(overlay, "cur").files[0].size == len(file.data)


def test_blocked_files_are_left_out_and_said_and_the_rest_is_signed(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    """A curation proxy refuses the newest releases."""
    index.says_sizes = index.says_metadata = False
    *allowed, first, second, third = offer(
        index, tmp_path, "1.0", "2.0", "2.1", "2.2", "3.0", "3.1", "3.2"
    )
    for file, status in (first, 403), (second, 403), (third, 404):
        index.raw[f"/files/{file.filename}"] = (status, "text/html", b"quarantined")
        index.raw[f"/files/{file.filename}.metadata"] = (status, "text/html", b"quarantined")
    report = run("cur")
    assert reasons(report, "cur") == {
        first.filename: Reason.BLOCKED,
        second.filename: Reason.BLOCKED,
        third.filename: Reason.MISSING,
    }
    page = page_of(overlay, "cur")
    assert [f.filename for f in page.files] == [file.filename for file in allowed]
    assert all(file.core_metadata for file in page.files)
    index.raw.clear()
    assert run("cur").files == 7


@pytest.mark.parametrize("what", ["html", "nothing", "the wheel", "another's"])
@pytest.mark.parametrize("promised", [False, True])
def test_what_is_served_as_metadata_and_is_none_is_not_signed(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path, what: str, promised: bool
) -> None:
    (file,) = offer(index, tmp_path, "1.0")
    body = {
        "html": b"<!DOCTYPE html>\n<title>Log in</title>",
        "nothing": b"",
        "the wheel": file.data,
        "another's": b"Metadata-Version: 2.1\nName: other\nVersion: 1.0\n",
    }[what]
    index.raw[f"/files/{file.filename}.metadata"] = (200, "text/html", body)
    # An index that promises it names the digest of what it serves.
    file.fields = {"core-metadata": {"sha256": sha256_of(body)} if promised else True}
    report = run("cur", with_dependencies=True)
    assert report.problems == []
    signed = page_of(overlay, "cur").files[0]
    assert signed.sha256 == file.sha256
    assert signed.core_metadata is None


def test_a_page_that_gives_the_digest_of_the_wheel_as_that_of_its_metadata_is_not_believed(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    (file,) = offer(index, tmp_path, "1.0")
    file.fields = {"core-metadata": {"sha256": file.sha256}}
    run("cur")
    assert page_of(overlay, "cur").files[0].core_metadata == sha256_of(file.metadata or b"")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05+00:00"),
        ("2020-01-02T03:04:05.123456789Z", "2020-01-02T03:04:05.123456+00:00"),
        ("2020-01-02T03:04:05+00:00", "2020-01-02T03:04:05+00:00"),
        ("2020-01-02 03:04:05.5+02:00", "2020-01-02T03:04:05.500000+02:00"),
        ("2020-01-02T03:04:05-0130", "2020-01-02T03:04:05-01:30"),
        ("2020-13-02T03:04:05Z", None),
        ("2020-01-02T03:04:05", None),
        ("1" * 5000, None),
        (7, None),
    ],
    ids=lambda each: str(each)[:40],
)
def test_upload_times_are_read_with_every_offset(text: object, expected: str | None) -> None:
    moment = parse_upload_time(text)
    assert (None if moment is None else moment.isoformat()) == expected


@pytest.mark.parametrize(
    "piece", ["<a ", "<a x='", "<!--x>", "<![CDATA[", "</a x", "<script>", "<!doctype ["]
)
def test_a_page_that_is_no_html_is_found_out_without_reading_it_again_and_again(
    piece: str,
) -> None:
    """The library's parser takes hours for a megabyte of these."""
    body = (piece * (1_000_000 // len(piece))).encode()
    began = time.process_time()
    with pytest.raises(FormatError, match="a tag, a comment or a script of more than"):
        parse_simple_page(body, "text/html", "http://127.0.0.1/", canonicalize_name("cur"))
    assert time.process_time() - began < 5


def test_a_name_that_stands_for_thousands_of_tags_is_none() -> None:
    """A page of such names took hours to read, and more memory than there is."""
    tags = "-".join(".".join(f"{letter}{n}" for n in range(12)) for letter in "abc")
    link = f"cur-1.0-{tags}.whl#sha256={'0' * 64}"
    body = f'<a href="{link}">x</a>'.encode()
    page = parse_simple_page(body, "text/html", "http://127.0.0.1/", canonicalize_name("cur"))
    assert ([*page.files], [each.reason for each in page.left_out]) == (
        [],
        [Reason.NOT_A_DISTRIBUTION],
    )


@pytest.mark.parametrize("kind", ["text/html", JSON_TYPE, "base"])
def test_short_links_to_a_long_place_do_not_fill_the_memory(kind: str) -> None:
    """50 kB of links and an address of 60 kB would take 120 MB, and a longer page any memory."""
    place = f"https://packages.example.org/{'x' * 60_000}/"
    names = [f"cur-{n}.zip" for n in range(2_000)]
    if kind == JSON_TYPE:
        files = [{"filename": name, "url": name, "hashes": {"sha256": "0" * 64}} for name in names]
        page = {"meta": {"api-version": "1.0"}, "name": "cur", "files": files}
        body = json.dumps(page)
    else:
        body = "".join(f'<a href="{name}">{name}</a>' for name in names)
    if kind == "base":
        kind, body = "text/html", f'<base href="{place}{"x" * 60_000}/">{body}'
    with pytest.raises(FormatError, match=r"URLs of its files are longer|base of more than 65536"):
        parse_simple_page(body.encode(), kind, place, canonicalize_name("cur"))


@pytest.mark.parametrize("base", ["", '<base href="/files/">'])
def test_a_link_that_is_no_address_costs_that_link_and_not_the_page(base: str) -> None:
    good = f"cur-1.0-py3-none-any.whl#sha256={'0' * 64}"
    body = f'{base}<a href="http://[bad/">bad</a><a href="{good}">good</a>'.encode()
    url = "https://packages.example.org/simple/cur/"
    page = parse_simple_page(body, "text/html", url, canonicalize_name("cur"))
    (file,) = page.files
    folder = "files/" if base else "simple/cur/"
    assert file.url == f"https://packages.example.org/{folder}cur-1.0-py3-none-any.whl"
