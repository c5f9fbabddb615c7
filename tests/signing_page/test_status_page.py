"""The status page: written at each publication, escaped, accessible, and never in the way."""

from __future__ import annotations

import re
import shlex
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from securepip.signing.page import status_page
from securepip.signing.page.status_page import write
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.lines import FileLines
from securepip.signing.repository.state.log import Reason, SignedRole, anchor_of
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


def text_of(made: MadeRepository) -> str:
    write(made.repository)
    return (made.folder / "status" / "index.html").read_text("utf-8")


def bars(page: str) -> list[str]:
    return re.findall("<rect [^>]*>", page)


def publications(made: MadeRepository) -> list[int]:
    """How many there were in each week that the page has in its table."""
    found = re.findall(r'<th scope="row">\d{4}-\d\d-\d\d</th><td>(\d+)</td>', text_of(made))
    return [int(each) for each in found]


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
    assert f"trust add NAME ADDRESS \\\n  --root-sha256 {made.root_sha256}" in page
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


def test_its_line_can_be_copied_once_the_repository_has_a_name_and_an_address(
    made: MadeRepository, machine: Machine
) -> None:
    where = ("--name", "team", "--url", "https://me:secret@packages.example.org/a'b")
    done = machine.run("repo", "settings", made.folder, *where)
    assert done.code == 0, done.err
    page = text_of(made)
    address = shlex.quote("https://packages.example.org/a'b/")
    line = f"securepip trust add team {address} \\\n"
    assert escape(line) in page and "ADDRESS" not in page and "secret" not in page
    assert "<title>team</title>" in page
    made.add(make_wheel(made.folder.parent / "built", "more", "1.0"))
    assert made.repository.state.settings().name == "team"
    assert machine.run("repo", "settings", made.folder, "--url", "").code == 0
    assert "trust add team ADDRESS" in text_of(made)


@pytest.mark.parametrize(
    "wrong", [("--name", "Not A Name"), ("--url", "packages"), ("--url", "https://x.example/?a=b")]
)
def test_a_name_or_an_address_that_nobody_could_type_is_refused(
    wrong: tuple[str, str], made: MadeRepository, machine: Machine
) -> None:
    assert machine.run("repo", "settings", made.folder, *wrong).code == 2


def test_a_new_repository_was_made_once(machine: Machine, tmp_path: Path) -> None:
    keys = ("--keys", tmp_path / "online", "--offline-keys", tmp_path / "offline")
    done = machine.run("repo", "init", tmp_path / "new", "--expected-files", "1", *keys)
    assert done.code == 0, done.err
    page = (tmp_path / "new" / "status" / "index.html").read_text("utf-8")
    assert page.count("<code>repo init</code></td>") == 1


def test_a_decision_that_signs_nothing_is_on_the_page_at_once(
    page: str, made: MadeRepository, machine: Machine
) -> None:
    done = machine.run("repo", "freeze", made.folder, "app", "--why", "its laptop is gone")
    assert done.code == 0, done.err
    now = text_of(made)
    assert "its laptop is gone" not in page
    assert "<code>repo freeze app</code><p>its laptop is gone</p>" in now
    assert bars(now) == bars(page), "and is no publication"


def test_entries_of_any_size_and_number_are_counted(made: MadeRepository) -> None:
    log, anchor = made.repository.log, anchor_of(made.repository.roles().timestamp.signed)
    bins = [SignedRole(f"bin-{n:04x}", n, None, ("0" * 64,)) for n in range(16_384)]
    log.reason = Reason("repo sync", "a big one")
    anchor = log.append([*bins, SignedRole("timestamp", 2, None, ())], anchor)
    for number in range(20):
        log.reason = Reason(f"repo add {number}", "")
        for _ in range(2):
            anchor = log.append([SignedRole("timestamp", 3, None, ())], anchor)
    before = publications(made)
    assert before[-1] >= 41, "in the chart"
    shown = re.findall(r"<code>(repo add \d+)</code> <small>2 publications</small>", text_of(made))
    assert shown == [f"repo add {number}" for number in range(19, 7, -1)]
    assert publications(made) == before, "nothing is counted twice"
    log.set_aside()
    log.reason = Reason("repo recover", "")
    log.append([SignedRole("timestamp", 4, None, ())], None)
    assert publications(made) == [1], "and a new log is read from its beginning"
    assert "repo sync" not in text_of(made)


def test_a_log_of_many_years_is_not_read_again(
    made: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(made.repository)
    read: list[int] = []
    after = FileLines.after

    def counted(lines: FileLines, offset: int) -> Iterator[tuple[bytes, int]]:
        for line, following in after(lines, offset):
            read.append(len(line))
            yield line, following

    monkeypatch.setattr(FileLines, "after", counted)
    made.add(make_wheel(made.folder.parent / "built", "more", "1.0"))
    read.clear()
    write(made.repository)
    assert len(read) == 2, "the new entry: looked at, and read"


@pytest.mark.parametrize(
    "failure", [KeyError("x"), sqlite3.OperationalError("disk I/O error"), OSError(28, "full")]
)
def test_a_page_that_cannot_be_written_is_a_warning(
    failure: Exception,
    made: MadeRepository,
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_arguments: object) -> str:
        raise failure

    monkeypatch.setattr(status_page, "role_statuses", fail)
    done = machine.run("repo", "add", made.folder, make_wheel(tmp_path / "built", "more", "1.0"))
    assert done.code == 0 and "The status page was not written" in done.err
    assert "Published: more" in done.out


def test_of_two_commands_that_end_together_the_newer_state_is_shown(
    made: MadeRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rendered, render = threading.Event(), status_page.render

    def slowly(repository: Repository, moment: datetime) -> str:
        page = render(repository, moment)
        if threading.current_thread() is not threading.main_thread():
            rendered.set()
            time.sleep(0.5)
        return page

    def other() -> None:
        with Repository.open(made.folder) as repository:
            write(repository)

    monkeypatch.setattr(status_page, "render", slowly)
    thread = threading.Thread(target=other)
    thread.start()
    assert rendered.wait(60)
    made.repository.log.reason = Reason("repo add newer", "")
    made.add(make_wheel(tmp_path / "built", "newer", "1.0"))
    write(made.repository)
    thread.join()
    page = (made.folder / "status" / "index.html").read_text("utf-8")
    assert "repo add newer" in page
