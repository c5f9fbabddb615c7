"""The status page: written at each publication, escaped, accessible, and never in the way."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, serve
from tests.support.wheels import make_wheel

VOID = {"meta", "rect", "path", "br"}


class Reader(HTMLParser):
    """Every element in order, with its attributes; fails where one is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page(made: MadeRepository, machine: Machine, tmp_path: Path) -> str:
    wheel = make_wheel(tmp_path / "built", "more", "1.0")
    why = "<script>alert(1)</script> & more"
    done = machine.run("repo", "add", made.folder, wheel, "--why", why)
    assert done.code == 0, done.err
    return (made.folder / "status" / "index.html").read_text("utf-8")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_is_whole_needs_nothing_else_and_has_what_a_screen_reader_asks_for(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    tags = [tag for tag, _ in reader.found]
    assert not {"script", "link", "img", "iframe", "object"} & set(tags)
    assert not [attrs for _, attrs in reader.found if {"src", "href", "style"} & attrs.keys()]
    assert ("html", {"lang": "en"}) in reader.found
    assert tags.count("main") == tags.count("h1") == 1
    assert tags.count("caption") == tags.count("table") == 4
    ids = {attrs["id"] for _, attrs in reader.found if "id" in attrs}
    named = [
        attrs["aria-labelledby"] or "" for _, attrs in reader.found if "aria-labelledby" in attrs
    ]
    assert {each for names in named for each in names.split()} <= ids
    assert all(attrs.get("scope") for tag, attrs in reader.found if tag == "th")


def test_its_text_can_be_read_in_light_and_in_dark(page: str) -> None:
    schemes = re.findall(r":root \{([^}]*)\}", page)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", scheme))
        for text in ("text", "quiet", "mark"):
            for back in ("back", "panel"):
                dark, light = sorted(luminance(colours[each]) for each in (text, back))
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, back)


def test_it_says_what_was_published_and_why_and_obeys_none_of_it(
    page: str, made: MadeRepository
) -> None:
    assert "<code>repo add more-1.0-py3-none-any.whl</code>" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert f"trust add NAME ADDRESS --root-sha256 {made.root_sha256}" in page
    assert "This page is not signed" in page
    assert '<th scope="row">root<small>' in page and "<td>2 of 3</td>" in page


def test_it_is_served_and_nothing_else_of_its_folder(page: str, made: MadeRepository) -> None:
    (made.folder / "status" / "other.html").write_text("x")
    with serve(made.folder) as url:
        for address in ("status", "status/", "status/index.html"):
            with urllib.request.urlopen(f"{url.rstrip('/')}/{address}") as answer:  # noqa: S310
                assert answer.read().decode() == page
                assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{url.rstrip('/')}/status/other.html")  # noqa: S310


def test_a_page_that_cannot_be_written_is_a_warning(
    made: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    (made.folder / "status").write_text("a file, where the folder would be")
    done = machine.run("repo", "add", made.folder, make_wheel(tmp_path / "built", "more", "1.0"))
    assert done.code == 0 and "The status page was not written" in done.err
