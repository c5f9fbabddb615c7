"""An index without signatures, on loopback, with the parts of the simple API that a test wants.

with serve_index() as index:
    index.offer(make_wheel(tmp_path, "flask", "3.0"))
    index.url  # http://127.0.0.1:…/simple/
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import NormalizedName, canonicalize_name

from securepip.formats.core_metadata import read_core_metadata
from tests.support.hostile import running
from tests.support.wheels import make_wheel

_JSON = "application/vnd.pypi.simple.v1+json"


@dataclass
class OfferedFile:
    """A file of the index. A test may change its fields."""

    filename: str
    data: bytes
    metadata: bytes | None
    sha256: str
    url: str
    upload_time: str = "2020-01-01T00:00:00.000000Z"
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Index:
    """An index. A test may change its fields while it is served.

    Attributes:
        host: ``127.0.0.1:PORT``.
        scheme: ``http`` or ``https``.
        speaks_json: Whether it has JSON pages (PEP 691).
        says_sizes: Whether its JSON pages have lengths and upload times (PEP 700).
        says_metadata: Whether its pages name ``.metadata`` files (PEP 714).
        says_sha256: Whether its pages have digests.
        serves_metadata: Whether it serves ``.metadata`` files.
        has_api: Whether it has PyPI's JSON API.
        serves_parts: Whether it answers range requests.
        says_lengths: Whether its answers have a ``Content-Length``.
        lie: How many bytes it adds to a file's length in a ``Content-Range``.
        credentials: ``user:password``, which every request needs.
        etags: Whether it sends ETags and answers them with 304.
        delay: Seconds before each answer.
        status: The status of projects (PEP 792).
        raw: Answers (status, content type, body) by path, in place of its own.
        moved: Redirects: the new location by path.
        serials: The last serial of projects, for ``X-PyPI-Last-Serial``.
        seen: ``METHOD /path`` of all requests.
        anew: The paths of requests that no cache on the way may answer.
        sent: The bytes of all bodies that it has sent.
    """

    host: str = ""
    scheme: str = "http"
    speaks_json: bool = True
    says_sizes: bool = True
    says_metadata: bool = True
    says_sha256: bool = True
    serves_metadata: bool = True
    has_api: bool = False
    serves_parts: bool = True
    says_lengths: bool = True
    lie: int = 0
    credentials: str = ""
    etags: bool = False
    delay: float = 0.0
    status: dict[str, str] = field(default_factory=dict)
    raw: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    projects: dict[str, dict[str, OfferedFile]] = field(default_factory=dict)
    serials: dict[str, int] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    anew: list[str] = field(default_factory=list)
    sent: int = 0

    @property
    def url(self) -> str:
        """The URL of the simple index, with its credentials."""
        login = f"{self.credentials}@" if self.credentials else ""
        return f"{self.scheme}://{login}{self.host}/simple/"

    def offer(self, *paths: Path) -> list[OfferedFile]:
        """Publish wheels and sdists."""
        offered = []
        for path in paths:
            is_wheel = path.name.endswith(".whl")
            stem = path.name if is_wheel else path.name.removesuffix(".tar.gz")
            name = stem.split("-")[0] if is_wheel else stem.rpartition("-")[0]
            data = path.read_bytes()
            file = OfferedFile(
                path.name,
                data,
                read_core_metadata(path) if is_wheel else None,
                sha256(data).hexdigest(),
                f"../../files/{path.name}",
            )
            self.projects.setdefault(canonicalize_name(name), {})[path.name] = file
            offered.append(file)
        return offered

    def withdraw(self, project: str, *filenames: str) -> None:
        """Remove files; without names, the project."""
        if not filenames:
            del self.projects[project]
        for filename in filenames:
            del self.projects[project][filename]

    def answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        """The status, content type and body for a path."""
        if path in self.raw:
            return self.raw[path]
        parts = path.strip("/").split("/")
        if parts == ["simple"] and self.serials:
            listed = [{"name": name, "_last-serial": n} for name, n in self.serials.items()]
            return 200, _JSON, json.dumps({"projects": listed}).encode()
        if parts[0] == "simple" and len(parts) == 2 and parts[1] in self.projects:
            if self.speaks_json and _JSON in accept:
                return 200, _JSON, json.dumps(self._page(parts[1])).encode()
            return 200, "text/html; charset=utf-8", self._html(parts[1]).encode()
        if parts[0] == "pypi" and self.has_api and len(parts) == 3 and parts[1] in self.projects:
            return 200, "application/json", json.dumps(self._api(parts[1])).encode()
        if parts[0] == "files":
            for files in self.projects.values():
                if parts[1] in files:
                    return 200, "application/octet-stream", files[parts[1]].data
                file = files.get(parts[1].removesuffix(".metadata"))
                if file is not None and file.metadata is not None and self.serves_metadata:
                    return 200, "application/octet-stream", file.metadata
        return 404, "text/plain", b"no"

    def _page(self, project: str) -> dict[str, Any]:
        files = []
        for file in self.projects[project].values():
            entry: dict[str, Any] = {"filename": file.filename, "url": file.url}
            entry["hashes"] = {"sha256": file.sha256} if self.says_sha256 else {}
            if self.says_sizes:
                entry |= {"size": len(file.data), "upload-time": file.upload_time}
            if self.says_metadata:
                entry["core-metadata"] = _digest(file.metadata)
            files.append(entry | file.fields)
        return {
            "meta": {"api-version": "1.1"},
            "name": project,
            "project-status": {"status": self.status.get(project, "active")},
            "files": files,
        }

    def _html(self, project: str) -> str:
        links = ""
        for file in self.projects[project].values():
            fragment = f"#sha256={file.sha256}" if self.says_sha256 else ""
            extra = "".join(
                f' data-{key}="{escape(str(value))}"' for key, value in file.fields.items()
            )
            if self.says_metadata and file.metadata is not None:
                extra += f' data-core-metadata="sha256={sha256(file.metadata).hexdigest()}"'
            links += f'<a href="{escape(file.url)}{fragment}"{extra}>{file.filename}</a>\n'
        status = self.status.get(project, "active")
        return f'<meta name="pypi:project-status" content="{status}">\n{links}'

    def _api(self, project: str) -> dict[str, Any]:
        return {
            "releases": {
                "any": [
                    {
                        "filename": file.filename,
                        "digests": {"sha256": file.sha256},
                        "size": len(file.data),
                        "upload_time_iso_8601": file.upload_time,
                        "core-metadata": _digest(file.metadata),
                    }
                    for file in self.projects[project].values()
                ]
            }
        }


def _digest(metadata: bytes | None) -> dict[str, str] | bool:
    return {"sha256": sha256(metadata).hexdigest()} if metadata is not None else False


def project(name: str) -> NormalizedName:
    """The normalized form of a project's name."""
    return canonicalize_name(name)


def offer_flask(index: Index, folder: Path, text: str) -> None:
    """Publish flask 3.1.3, whose code says ``text`` as its version."""
    code = {"flask/__init__.py": f"VERSION = '{text}'\n"}
    index.offer(make_wheel(folder / text, "flask", "3.1.3", requires=["blinker>=1.9"], files=code))


@contextmanager
def serve_flask(folder: Path) -> Iterator[Index]:
    """Serve flask 3.1.3 and blinker, which it requires: the example of the documents."""
    with serve_index() as index:
        offer_flask(index, folder, "good")
        index.offer(make_wheel(folder, "blinker", "1.9.0"))
        yield index


@contextmanager
def serve_index(certificate: Path | None = None) -> Iterator[Index]:
    """Serve an ``Index`` for as long as the ``with`` lasts; with a certificate, over TLS."""
    index = Index()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._reply(send_body=True)

        def do_HEAD(self) -> None:
            self._reply(send_body=False)

        def _reply(self, *, send_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            index.seen.append(f"{self.command} {path}")
            if self.headers.get("Cache-Control") == "max-age=0":
                index.anew.append(path)
            time.sleep(index.delay)
            status, kind, body = index.answer(path, self.headers.get("Accept", ""))
            expected = base64.b64encode(index.credentials.encode()).decode()
            if index.credentials and self.headers.get("Authorization") != f"Basic {expected}":
                status, body = 401, b"who are you?"
            etag = f'"{sha256(body).hexdigest()}"'
            if index.etags and self.headers.get("If-None-Match") == etag:
                status, body = 304, b""
            part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            whole, first = len(body), int(part[1]) if part else 0
            if part and status == 200 and index.serves_parts:
                status, body = 206, body[first : int(part[2]) + 1]
                if not body:
                    status = 416
            if path in index.moved:
                status, body = 302, b""
            self.send_response(status)
            if path in index.moved:
                self.send_header("Location", index.moved[path])
            if serial := index.serials.get(path.strip("/").rpartition("/")[2]):
                self.send_header("X-PyPI-Last-Serial", str(serial))
            self.send_header("Content-Type", kind)
            if status == 206:
                told = f"bytes {first}-{first + len(body) - 1}/{whole + index.lie}"
                self.send_header("Content-Range", told)
            if index.says_lengths:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
            if index.etags:
                self.send_header("ETag", etag)
            self.end_headers()
            if send_body:
                index.sent += len(body)
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 64  # a client waits a second if the queue is full

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Print nothing about a client that closed its connection: tests read the output."""
            if not isinstance(sys.exc_info()[1], OSError):
                super().handle_error(request, client_address)

    with Server(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            index.scheme = "https"
        index.host = f"127.0.0.1:{server.server_port}"
        with running(server):
            yield index
