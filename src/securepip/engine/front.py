"""A front end: serves a repository over HTTP, and puts uploads into the queue. Any number may run.

A front end has no key. It also serves health and metrics of the whole. A worker has the online key,
and accepts no connections.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing

from securepip.engine.database import Pool, connect
from securepip.engine.metrics import HEALTH_PATH, METRICS_PATH, Page, health, metrics
from securepip.engine.opened import storing_site
from securepip.engine.queue import WAIT_SECONDS, Queue
from securepip.engine.state import DatabaseSite
from securepip.signing.publish.serve import Handler
from securepip.signing.repository.repository import Repository
from securepip.signing.uploads.form import Limits
from securepip.signing.uploads.server import AT_ONCE, UploadHandler, UploadServer

_PAGES = {HEALTH_PATH: health, METRICS_PATH: metrics}
_UNFINISHED_DIR = "uploads/unfinished"
_FURTHER = 8


class FrontServer(UploadServer):
    """Serves a repository, and hands uploads to the workers. ``server_close`` ends both.

    Args:
        address: The address of the repository.
        url: The address of its database.
        host: As for ``UploadServer``, like the other arguments.
        wait: How many seconds an upload waits for its publication; with 0, it is answered as soon
            as it is stored.

    Raises:
        UsageError: Tokens would cross a network without TLS.
        RepositoryStateError: There is no repository, or the address is not available.
    """

    def __init__(
        self,
        address: str,
        url: str,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Callable[[str], None] = lambda line: None,
        *,
        limits: Limits | None = None,
        insecure: bool = False,
        wait: float = WAIT_SECONDS,
    ) -> None:
        connect(url).close()  # a pool would try for a while, and then give no reason
        self._pool = Pool(url, AT_ONCE + _FURTHER)
        site = DatabaseSite(storing_site(address, _UNFINISHED_DIR), url, self._pool.connect)

        def open_repository() -> Repository:
            return Repository.open(site.anew())

        with ExitStack() as opened:
            opened.callback(self._pool.close)
            queue = opened.enter_context(closing(Queue(open_repository, url, wait)))
            super().__init__(
                site, open_repository, host, port, log,
                limits=limits, insecure=insecure, publisher=queue,
            )  # fmt: skip
            opened.pop_all()  # from now on, ``server_close`` closes them

    @property
    def handler(self) -> type[Handler]:
        """The class that answers requests."""
        return _FrontHandler

    def server_close(self) -> None:
        """End, after all waiting uploads are answered."""
        super().server_close()
        self._pool.close()


class _FrontHandler(UploadHandler):
    server: FrontServer

    def do_GET(self) -> None:  # noqa: N802 # the library's name
        """As ``Handler.do_GET``; also serves health and metrics."""
        page = _PAGES.get(self.path)
        if page is None:
            super().do_GET()
        else:
            self._show(page(self.server.open_repository))

    do_HEAD = do_GET  # noqa: N815 # the library's name

    def _show(self, page: Page) -> None:
        body = page.text.encode()
        self._answer(
            page.status,
            ("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        )
        if self.command != "HEAD":
            self.wfile.write(body)
