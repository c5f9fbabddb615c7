"""Clients other than securepip: python-tuf's updater, and a reader of HTML pages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from securepip.signing.repository.claim_tree import TOPS
from securepip.signing.repository.repository import Repository

_BASE = "http://repository.example.org/"


class FolderFetcher(FetcherInterface):
    """Reads files of the repository's folder, in place of a web server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield (self._folder / unquote(urlsplit(url).path).lstrip("/")).read_bytes()
        except FileNotFoundError:
            raise DownloadHTTPError(url, 404) from None


def updater(folder: Path, client: Path, url: str | None = None) -> Updater:
    """Make python-tuf's client of a repository.

    Args:
        folder: The repository's folder. The client trusts its first root.
        client: The folder of the client's state.
        url: The repository's URL, with a slash at the end. Without it, files are read from the
            folder.
    """
    for name in ("metadata", "targets"):
        (client / name).mkdir(parents=True, exist_ok=True)
    base = url or _BASE
    return Updater(
        str(client / "metadata"),
        f"{base}metadata/",
        str(client / "targets"),
        base,
        fetcher=None if url else FolderFetcher(folder),
        bootstrap=(folder / "metadata" / "1.root.json").read_bytes(),
    )


def fetch_everything(
    folder: Path, client: Path, url: str | None = None, *, overlay: bool = False
) -> set[str]:
    """Let python-tuf fetch and verify each signed target, and return their paths.

    Args:
        folder: The repository's folder.
        client: The folder of the client's state.
        url: As for ``updater``.
        overlay: Whether distributions are on another server. They are looked up and not fetched.
    """
    with Repository.open(folder) as repository:
        roles = repository.roles()
        claimed = [claim.role for top in TOPS for claim in roles.claims_below(top).claims()]
        names = [*roles.bin_names(), *claimed]
        paths = {path for name in names for path in roles.role(name).signed.targets}
    tuf_client = updater(folder, client, url)
    tuf_client.refresh()
    for path in paths:
        info = tuf_client.get_targetinfo(path)
        assert info is not None, path
        if not overlay or path.startswith("simple/") or (folder / path).parent.exists():
            tuf_client.download_target(info)
    return paths


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def read_plainly(folder: Path) -> set[str]:
    """Follow each link from the list of projects, check its hash, and return the file names."""
    found = set()
    for project in _links(folder / "simple" / "index.html"):
        page = folder / "simple" / project / "index.html"
        for link in _links(page):
            url, _, digest = urljoin(f"/simple/{project}", link).partition("#sha256=")
            data = (folder / unquote(url).lstrip("/")).read_bytes()
            assert hashlib.sha256(data).hexdigest() == digest, url
            found.add(url.rpartition("/")[2])
    return found


def _links(page: Path) -> list[str]:
    parser = _Links()
    parser.feed(page.read_text())
    return parser.found
