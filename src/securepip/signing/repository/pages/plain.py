"""The plain view, for clients that do not verify: plain file names, HTML and the list of projects.

Rule: the view follows what is signed, never the other way round. If a run ends before the view is
complete, the next run completes it (``Ledger.unfinished``).

Sources: PEP 503 and PEP 691.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.utils import NormalizedName

from securepip.formats.digests import Sha256
from securepip.formats.layout import PAGE_NAME, SIMPLE_DIR, consistent_path, page_target
from securepip.formats.page import API_VERSION, ProjectPage
from securepip.signing.repository.pages.contents import Contents
from securepip.signing.repository.state.known import Known
from securepip.signing.repository.state.ledger import Ledger
from securepip.signing.repository.storage.interface import Storage

HTML_NAME = "index.html"
SHORT_LIST = 5_000
"""A list of up to this many projects takes milliseconds, and is written after every change."""
LIST_SECONDS = 60.0
"""A longer list is written by the first command after this time; `refresh` always writes it."""
_TOGETHER = 2_000
"""The number of projects that are looked up together."""
_AT_A_TIME = 16
"""The number of projects that a thread is given at a time, if writing a file is fast."""
_HTML_LIST = f"{SIMPLE_DIR}/{HTML_NAME}"
_JSON_LIST = f"{SIMPLE_DIR}/{PAGE_NAME}"


class PlainView:
    """The plain view of one repository. The lock must be held to change it.

    Args:
        contents: The repository's files.
        ledger: Remembers the projects whose view is out of date.
        known: Returns the look-up tables of the current state.
    """

    def __init__(
        self,
        contents: Contents,
        ledger: Ledger,
        known: Callable[[], Known],
    ) -> None:
        self._contents = contents
        self._ledger = ledger
        self._known = known
        self._storage = contents.storage
        self._at_a_time = _AT_A_TIME if self._storage.at_once == 1 else 1
        self._is_listed = False

    def follow(self, *, whole: bool = False) -> None:
        """Update the view of all projects that are out of date.

        When a project was added or removed, the list of all projects is updated too: a short list
        at once, a long one only after ``LIST_SECONDS``, or if ``whole`` is true.
        """
        unfinished = self._ledger.unfinished(most=_TOGETHER)
        listed = (self._is_listed and not whole) or self._storage.exists(_HTML_LIST)
        self._is_listed = listed
        if not unfinished and listed and self._ledger.list_due() is None:
            return
        # New files are written before the list names them, and removed files are deleted after the
        # list has stopped naming them.
        known = self._known()
        gone: list[NormalizedName] = []
        while unfinished:
            gone += self._show_some(unfinished, known)
            unfinished = self._ledger.unfinished(unfinished[-1], _TOGETHER)
        self._contents.writing.wait()
        due = self._ledger.list_due()
        if not listed or (due is not None and (whole or self._is_time(known, due))):
            self._write_list(_HTML_LIST, _to_html(known.each_project()))
            self._write_list(_JSON_LIST, _to_json(known.each_project()))
            self._storage.settle()
            self._ledger.list_written()
            self._is_listed = True
        for project in gone:
            self._storage.delete(page_target(project), _html_page(project))
            self._contents.sweep(project, None)
        self._storage.settle()
        self._ledger.finish()

    def _show_some(self, projects: Sequence[NormalizedName], known: Known) -> list[NormalizedName]:
        """Begin to update the view of some projects; those of them that have no page."""
        gone = []
        due = self._ledger.list_due()
        some: list[tuple[NormalizedName, Sha256]] = []
        writing = self._contents.writing
        shown: dict[NormalizedName, bool] = {}
        if due is None and self._storage.at_once > 1:
            asked = writing.each(self._storage.exists, list(map(page_target, projects)))
            shown = dict(zip(projects, asked, strict=True))
        for project in projects:
            sha256 = known.page(project)
            # Recorded before the project is shown: after a kill in between, the next run could not
            # see that the list is out of date.
            if due is None and self._is_shown(project, shown) != (sha256 is not None):
                self._ledger.want_list(time.time())
                due = self._ledger.list_due()
            if sha256 is None:
                gone.append(project)
                continue
            some.append((project, sha256))
            if len(some) == self._at_a_time:
                writing.submit(0, self._show, some)
                some = []
        writing.submit(0, self._show, some)
        return gone

    def _write_list(self, name: str, lines: Iterable[str]) -> None:
        """Write a list by way of a temporary file, since that of a million projects is long."""
        digest = hashlib.sha256()
        with TemporaryDirectory(prefix="securepip-") as folder:
            path = Path(folder, "list")
            with path.open("wb") as stream:
                for line in lines:
                    data = line.encode()
                    digest.update(data)
                    stream.write(data)
            self._storage.copy(path, name, Sha256(digest.hexdigest()))

    def _is_time(self, known: Known, due: float) -> bool:
        waited = time.time() - due
        return not 0 <= waited < LIST_SECONDS or known.counts().projects <= SHORT_LIST

    def _is_shown(self, project: NormalizedName, known: Mapping[NormalizedName, bool]) -> bool:
        """Whether the view shows the project; ``known`` has the answer for some projects."""
        is_shown = known.get(project)
        return self._storage.exists(page_target(project)) if is_shown is None else is_shown

    def _show(self, pages: Sequence[tuple[NormalizedName, Sha256]]) -> None:
        for project, sha256 in pages:
            target = page_target(project)
            self._storage.link(consistent_path(target, sha256), target, sha256)
            if not self._storage.take(_html_key(sha256), _html_page(project)):
                page = self._contents.page(project, sha256)
                self._storage.ensure(_html_page(project), page.to_html())
            self._contents.sweep(project, sha256)


def prepare(storage: Storage, sha256: Sha256, page: ProjectPage) -> None:
    """Write the HTML form of a page aside, while it is in memory. ``PlainView`` shows it later."""
    storage.prepare(_html_key(sha256), page.to_html())


def _html_key(sha256: Sha256) -> str:
    return f"{sha256}.html"


def _html_page(project: NormalizedName) -> str:
    return f"{SIMPLE_DIR}/{project}/{HTML_NAME}"


def _to_html(projects: Iterable[NormalizedName]) -> Iterator[str]:
    yield (
        "<!DOCTYPE html>\n<html>\n<head>\n"
        f'<meta name="pypi:repository-version" content="{API_VERSION}">\n'
        "<title>Simple index</title>\n</head>\n<body>\n"
    )
    for name in projects:
        yield f'<a href="{escape(name)}/">{escape(name)}</a><br>\n'
    yield "</body>\n</html>\n"


def _to_json(projects: Iterable[NormalizedName]) -> Iterator[str]:
    yield f'{{"meta":{{"api-version":"{API_VERSION}"}},"projects":['
    for number, name in enumerate(projects):
        yield ("," if number else "") + json.dumps({"name": name}, separators=(",", ":"))
    yield "]}"
