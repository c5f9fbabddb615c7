"""A local index that keeps what was once read from the index in pip's configuration.

Rule: while it records, everything new that is asked for is fetched and kept. Afterwards only files
are still fetched, and only those whose digest is on a kept page. So all later readers see the same
projects, versions and bytes.

Its pages are those of the original index with two changes: the addresses of files lead to this
index, and each wheel whose ``.metadata`` was asked for while recording has the digest of that
(PEP 714), even where the original index does not give it. While it records, every wheel has the
mark.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from securepip.errors import SecurepipError, TransportError
from securepip.formats.core_metadata import MAX_METADATA_BYTES, read_wheel_metadata
from securepip.formats.digests import parse_sha256, sha256_of, sha256_of_stream
from securepip.formats.layout import METADATA_SUFFIX, check_filename, parse_project
from securepip.formats.page import JSON_TYPE, MAX_PAGE_BYTES
from securepip.transport import Transport, TransportOptions, join_url

MAX_FILE_BYTES = 1 << 30
MAX_TOTAL_BYTES = 8 << 30
"""The limit for everything that is kept, to protect the disk."""

_UNKNOWN = (404, 410)


class FrozenIndex:
    """The pages, metadata and files that are kept in a folder.

    Args:
        folder: The folder; it is made if it does not exist.
        indexes: URLs of simple indexes. They are asked in this order; the first that knows a
            project is used.
        options: How the indexes are reached.
    """

    def __init__(self, folder: Path, indexes: tuple[str, ...], options: TransportOptions) -> None:
        self.recording = False
        self._folder = folder
        self._indexes = [url.rstrip("/") + "/" for url in indexes]
        self._transport = Transport(options)
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._pages: dict[str, dict[str, Any]] = {}
        self._served: dict[str, bytes] = {}
        self._bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        (folder / "pages").mkdir(parents=True, exist_ok=True)

    def projects(self) -> list[str]:
        """The names of all projects that are kept."""
        return sorted(path.stem for path in (self._folder / "pages").iterdir())

    def page(self, project: str) -> bytes | None:
        """The page of a project, as JSON (PEP 691); None if it is not kept or does not exist."""
        if not self.recording and project in self._served:
            return self._served[project]
        page = self._page(project)
        if page is None:
            return None
        entries = [self._entry(project, entry) for entry in page["files"]]
        served = json.dumps({**page, "files": entries}).encode()
        if not self.recording:
            self._served[project] = served
        return served

    def file(self, project: str, sha256: str, filename: str) -> Path | None:
        """A distribution or its ``.metadata``; None if the page does not name it.

        Raises:
            SecurepipError: It cannot be fetched, or has another digest.
        """
        whole = filename.removesuffix(METADATA_SUFFIX)
        page = self._page(project) or {"files": ()}
        for entry in page["files"]:
            if entry["filename"] == whole and entry["hashes"].get("sha256") == sha256:
                if whole == filename:
                    return self._distribution(entry)
                return self._metadata(entry)
        return None

    def _page(self, project: str) -> dict[str, Any] | None:
        path = self._folder / "pages" / f"{parse_project(project)}.json"
        with self._locked(str(path)):
            if project not in self._pages:
                if not path.exists():
                    data = self._fetch_page(project) if self.recording else None
                    if data is None:
                        return None
                    self._keep(path, data)
                self._pages[project] = json.loads(path.read_bytes())
            return self._pages[project]

    def _fetch_page(self, project: str) -> bytes | None:
        for index in self._indexes:
            answer = self._transport.get(
                f"{index}{project}/",
                max_bytes=MAX_PAGE_BYTES,
                headers={"Accept": JSON_TYPE},
                accept=(200, *_UNKNOWN),
            )
            if answer.status in _UNKNOWN:
                continue
            if not answer.headers.get("Content-Type", "").startswith(JSON_TYPE):
                raise SecurepipError("the index does not speak JSON (PEP 691)")
            document = json.loads(answer.body)
            for entry in document["files"]:
                entry["url"] = join_url(answer.url, entry["url"])
            return json.dumps(document).encode()
        return None

    def _entry(self, project: str, entry: dict[str, Any]) -> dict[str, Any]:
        """The entry of a file on the page that this index serves."""
        sha256, filename = entry["hashes"].get("sha256"), entry["filename"]
        served = {**entry, "url": f"../../files/{project}/{sha256}/{filename}"}
        if sha256 is None or not filename.endswith(".whl") or entry.get("core-metadata"):
            return served
        kept = self._path(entry, METADATA_SUFFIX)
        digest = {"sha256": sha256_of(kept.read_bytes())} if kept.exists() else self.recording
        return {**served, "core-metadata": digest}

    def _distribution(self, entry: dict[str, Any]) -> Path:
        path = self._path(entry)
        with self._locked(str(path)):
            if path.exists():
                return path
            partial = path.with_name("partial")
            partial.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("w+b") as stream:
                self._transport.download(entry["url"], stream, max_bytes=MAX_FILE_BYTES)
                stream.seek(0)
                sha256, size = sha256_of_stream(stream)
            if sha256 != entry["hashes"]["sha256"]:
                raise SecurepipError(f"{entry['filename']} is not what the index says")
            self._count(size)
            partial.replace(path)
            return path

    def _metadata(self, entry: dict[str, Any]) -> Path:
        path = self._path(entry, METADATA_SUFFIX)
        with self._locked(str(path)):
            if not path.exists():
                try:
                    url = entry["url"] + METADATA_SUFFIX
                    data = self._transport.get(url, max_bytes=MAX_METADATA_BYTES).body
                except TransportError as error:
                    if error.status not in (403, *_UNKNOWN):
                        raise
                    with self._distribution(entry).open("rb") as wheel:
                        data = read_wheel_metadata(wheel, entry["filename"])
                self._keep(path, data)
            return path

    def _path(self, entry: dict[str, Any], suffix: str = "") -> Path:
        sha256 = parse_sha256(entry["hashes"]["sha256"])
        return self._folder / "files" / sha256 / (check_filename(entry["filename"]) + suffix)

    def _keep(self, path: Path, data: bytes) -> None:
        self._count(len(data))
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name("partial-" + path.name)
        partial.write_bytes(data)
        partial.replace(path)

    def _count(self, size: int) -> None:
        with self._lock:
            self._bytes += size
            if self._bytes > MAX_TOTAL_BYTES:
                raise SecurepipError(f"more than {MAX_TOTAL_BYTES >> 30} GB would be frozen")

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold the lock of one file, so that it is fetched once for several requests."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            yield


@contextmanager
def serving(index: FrozenIndex, port: int) -> Iterator[str]:
    """Serve an index, on ``port`` if that is free; yields the URL of the simple index."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # otherwise answers wait for delayed acknowledgements

        def do_GET(self) -> None:
            parts = [unquote(part) for part in self.path.strip("/").split("/")]
            try:
                if len(parts) == 2 and parts[0] == "simple":
                    self._answer(index.page(parts[1]), JSON_TYPE)
                elif len(parts) == 4 and parts[0] == "files":
                    self._send(index.file(*parts[1:]))
                else:
                    self._answer(None)
            except (SecurepipError, KeyError, ValueError) as error:
                self.send_error(HTTPStatus.BAD_GATEWAY, str(error).splitlines()[0][:200])

        def _answer(self, body: bytes | None, kind: str = "text/plain") -> None:
            self.send_response(HTTPStatus.NOT_FOUND if body is None else HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def _send(self, path: Path | None) -> None:
            if path is None:
                self._answer(None)
                return
            with path.open("rb") as stream:
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Content-Length", str(os.fstat(stream.fileno()).st_size))
                self.end_headers()
                shutil.copyfileobj(stream, self.wfile)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base's name
            """Print nothing: only the report matters."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple/"
    finally:
        server.shutdown()
        server.server_close()
