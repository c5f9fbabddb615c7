"""What clients see that do not verify: plain file names, ``index.html``, and the list of projects.

Rule: it follows what is signed, never the other way round. A run that ends before it is done is
made up for by the next one (``Ledger.unfinished``).

Sources: PEP 503 and PEP 691.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html import escape

from packaging.utils import NormalizedName

from securepip.formats.digests import Sha256
from securepip.formats.layout import PAGE_NAME, SIMPLE_DIR, consistent_path, page_target
from securepip.formats.page import API_VERSION, ProjectPage
from securepip.signing.repository.pages.contents import Contents
from securepip.signing.repository.state.ledger import Ledger

HTML_NAME = "index.html"
_HTML_LIST = f"{SIMPLE_DIR}/{HTML_NAME}"
_JSON_LIST = f"{SIMPLE_DIR}/{PAGE_NAME}"


class PlainView:
    """The plain view of one repository. The lock must be held to change it.

    Args:
        contents: Its files.
        ledger: Remembers of which projects the view is to follow.
        signed: The digest of the signed page of a project; None where there is none.
    """

    def __init__(
        self,
        contents: Contents,
        ledger: Ledger,
        signed: Callable[[NormalizedName], Sha256 | None],
    ) -> None:
        self._contents = contents
        self._ledger = ledger
        self._signed = signed
        self._storage = contents.storage

    def projects(self) -> list[NormalizedName]:
        """All projects that have a page, sorted."""
        pages = (each.name.split("/") for each in self._storage.list(SIMPLE_DIR))
        return sorted(
            NormalizedName(parts[1]) for parts in pages if len(parts) == 3 and parts[2] == PAGE_NAME
        )

    def follow(self) -> None:
        """Show what is signed, where a run has begun to change it."""
        unfinished = self._ledger.unfinished()
        if not unfinished and self._storage.exists(_HTML_LIST):
            return
        # First what is new, then what names it; what is gone goes when nothing names it any more.
        signed = {project: self._signed(project) for project in unfinished}
        pages = {
            project: self._contents.page(project, sha256)
            for project, sha256 in signed.items()
            if sha256 is not None
        }
        for project, page in pages.items():
            self._show(page, signed[project])
        gone = signed.keys() - pages.keys()
        projects = [project for project in self.projects() if project not in gone]
        self._contents.write_changed(_HTML_LIST, _to_html(projects))
        self._contents.write_changed(_JSON_LIST, _to_json(projects))
        for project in gone:
            self._storage.delete(page_target(project))
            self._storage.delete(_html_page(project))
        for project in unfinished:
            self._contents.sweep(project, pages.get(project))
        self._ledger.finish()

    def _show(self, page: ProjectPage, sha256: Sha256 | None) -> None:
        target = page_target(page.project)
        if sha256 is not None:
            self._storage.link(consistent_path(target, sha256), target, sha256)
        self._contents.write_changed(_html_page(page.project), page.to_html())


def _html_page(project: NormalizedName) -> str:
    return f"{SIMPLE_DIR}/{project}/{HTML_NAME}"


def _to_html(projects: Sequence[NormalizedName]) -> bytes:
    links = "".join(f'<a href="{escape(name)}/">{escape(name)}</a><br>\n' for name in projects)
    return (
        "<!DOCTYPE html>\n<html>\n<head>\n"
        f'<meta name="pypi:repository-version" content="{API_VERSION}">\n'
        f"<title>Simple index</title>\n</head>\n<body>\n{links}</body>\n</html>\n"
    ).encode()


def _to_json(projects: Sequence[NormalizedName]) -> bytes:
    document = {
        "meta": {"api-version": API_VERSION},
        "projects": [{"name": name} for name in projects],
    }
    return json.dumps(document, separators=(",", ":")).encode()
