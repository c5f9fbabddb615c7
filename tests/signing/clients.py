"""Clients that are not ours: python-tuf's updater, and what reads the PEP 503 pages."""

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
    """Reads what a web server would serve from the repository's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield (self._folder / unquote(urlsplit(url).path).lstrip("/")).read_bytes()
        except FileNotFoundError:
            raise DownloadHTTPError(url, 404) from None


def updater(folder: Path, client: Path, url: str | None = None) -> Updater:
    """python-tuf's client of the repository in ``folder``, by HTTP when it has a URL.

    Args:
        folder: The repository; its first root is what the client trusts.
        client: Where the client keeps its state.
        url: Of the served repository, with a slash at the end.
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


def fetch_everything(folder: Path, client: Path, url: str | None = None) -> set[str]:
    """Let python-tuf fetch and verify every target that is signed; return their paths."""
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
        tuf_client.download_target(info)
    return paths


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def read_plainly(folder: Path) -> set[str]:
    """Follow every link from the list of projects, check its hash; return the file names."""
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


def look_as_tuf_client(folder: Path, client: Path) -> set[str]:
    """Let python-tuf, with the state it has, verify all that is signed; return the paths.

    Files that are not in the repository itself (an overlay's) are looked up, not downloaded.
    """
    for name in ("metadata", "targets"):
        (client / name).mkdir(parents=True, exist_ok=True)
    base = "http://packages.example.org/"
    updater = Updater(
        str(client / "metadata"),
        f"{base}metadata/",
        str(client / "targets"),
        base,
        fetcher=FolderFetcher(folder),
        bootstrap=(folder / "metadata" / "1.root.json").read_bytes(),
    )
    updater.refresh()
    with Repository.open(folder) as repository:
        roles = repository.roles()
        paths = {path for name in roles.bin_names() for path in roles.role(name).signed.targets}
    for path in paths:
        info = updater.get_targetinfo(path)
        assert info is not None, path
        if path.startswith("simple/") or (folder / path).parent.exists():
            updater.download_target(info)
    return paths
