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
from securepip.signing.repository.ledger import Ledger
from securepip.signing.repository.pages.contents import Contents

HTML_NAME = "index.html"


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
        self._simple = contents.folder / SIMPLE_DIR

    def projects(self) -> list[NormalizedName]:
        """All projects that have a page, sorted."""
        return sorted(
            NormalizedName(entry.name)
            for entry in self._simple.iterdir()
            if (entry / PAGE_NAME).exists()
        )

    def follow(self) -> None:
        """Show what is signed, where a run has begun to change it."""
        unfinished = self._ledger.unfinished()
        if not unfinished and (self._simple / HTML_NAME).exists():
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
        self._contents.write_changed(self._simple / HTML_NAME, _to_html(projects))
        self._contents.write_changed(self._simple / PAGE_NAME, _to_json(projects))
        for project in gone:
            (self._simple / project / PAGE_NAME).unlink(missing_ok=True)
            (self._simple / project / HTML_NAME).unlink(missing_ok=True)
        for project in unfinished:
            self._contents.sweep(project, pages.get(project))
        self._ledger.finish()

    def _show(self, page: ProjectPage, sha256: Sha256 | None) -> None:
        target = page_target(page.project)
        plain = self._contents.folder / target
        if sha256 is not None:
            twin = self._contents.folder / consistent_path(target, sha256)
            self._contents.show_plainly(twin, plain, sha256)
        self._contents.write_changed(plain.with_name(HTML_NAME), page.to_html())


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
