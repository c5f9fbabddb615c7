"""The parsers, each as a function of bytes: it returns, or raises an error of securepip's.

Everything else is a fault: another error, a hang, unbounded memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import h11
from packaging.utils import canonicalize_name

from securepip.errors import SecurepipError
from securepip.first_use.memory_file import read_memory
from securepip.formats import layout
from securepip.formats.core_metadata import (
    ARCHIVE_ERRORS,
    parse_core_metadata,
    parse_dependency,
    read_core_metadata,
    read_wheel_metadata,
)
from securepip.formats.distribution import parse_distribution
from securepip.formats.page import parse_page
from securepip.formats.wheel import check_installable
from securepip.gateway.answers import Answers
from securepip.gateway.web.app import create_app
from securepip.gateway.web.passing import Passing, named_with_hash, parse_allowed
from securepip.index import Store
from securepip.installer.build import unpack
from securepip.lock.read import read_locks
from securepip.resolver import TargetEnvironment, probe
from securepip.resolver.requirements.files import read_requirements
from securepip.signing.claims.transactions.archive import open_archive
from securepip.signing.offline.bundle import read_bundle
from securepip.signing.overlay.upstream.simple_api import parse_simple_page
from securepip.signing.repository.state.tokens import Token
from securepip.signing.uploads.accept import accept
from securepip.signing.uploads.form import Limits, read_form
from securepip.signing.uploads.refusal import UploadRefusedError
from securepip.transport import Transport, TransportOptions
from securepip.transport.decoding import DecodingError, decoded
from securepip.trust import TrustStore
from tests.support.wheels import make_sdist, make_wheel, metadata_text

PROJECT = canonicalize_name("app")
HERE = "https://packages.example.org/"
_JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        run: Parses the bytes, and raises an error if there is a fault.
        seeds: Valid inputs to start from.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


def _page(data: bytes) -> None:
    with suppress(SecurepipError):
        page = parse_page(data, PROJECT)
        assert parse_page(page.to_json(), PROJECT) == page
        page.to_html()


def _upstream_json(data: bytes) -> None:
    with suppress(SecurepipError):
        parse_simple_page(data, _JSON, f"{HERE}simple/app/", PROJECT)


def _upstream_html(data: bytes) -> None:
    with suppress(SecurepipError):
        parse_simple_page(data, "text/html", f"{HERE}simple/app/", PROJECT)


def _core_metadata(data: bytes) -> None:
    with suppress(SecurepipError):
        read = parse_core_metadata(data)
        assert read.project
        assert read.is_static in (True, False)


def _dependency(data: bytes) -> None:
    with suppress(SecurepipError):
        parse_dependency(data.decode(errors="replace"))


def _names(data: bytes) -> None:
    text = data.decode(errors="replace")
    parse_distribution(text, PROJECT)
    with suppress(SecurepipError):
        layout.check_filename(text)
        assert "/" not in text
        assert text not in ("", ".", "..")
    with suppress(SecurepipError):
        project = layout.parse_project(text)
        assert "/" not in project
        assert ".." not in project
    layout.project_of_role(text)
    layout.project_of_target(text)


def _requirements(data: bytes) -> None:
    with suppress(SecurepipError):
        read_requirements(requirement_files=[f"{HERE}r.txt"], read_url=lambda _: data)


@cache
def _environment() -> TargetEnvironment:
    return probe(sys.executable)


def _pylock(data: bytes) -> None:
    with suppress(SecurepipError):
        read_locks([f"{HERE}pylock.toml"], _environment(), lambda _: data)


def _in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    """Make a function that writes bytes to a file of that name, and lets ``read`` read it."""

    def run(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder, suppress(SecurepipError):
            path = Path(folder) / name
            path.write_bytes(data)
            read(path)

    return run


def _transaction(path: Path) -> None:
    with open_archive(path) as archive:
        assert archive.filenames is not None
        for read in (archive.role, archive.statement, lambda: archive.page(1000)):
            with suppress(SecurepipError):
                read()


def _bundle(path: Path) -> None:
    (path.parent / "bundle").mkdir()
    path.rename(path.parent / "bundle" / path.name)
    read_bundle(path.parent / "bundle")


def _wheel(path: Path) -> None:
    with suppress(SecurepipError):
        read_wheel_metadata(io.BytesIO(path.read_bytes()), path.name)
    check_installable(path, path.name)


def _sdist(path: Path) -> None:
    with suppress(SecurepipError):
        read_core_metadata(path)
    folder = path.parent / "unpacked"
    folder.mkdir()
    names = {"app": "x"}
    try:
        unpack._unpack_tar(path, unpack._Folder(folder))
    except ARCHIVE_ERRORS:
        return
    finally:
        around = {one.name for one in path.parent.iterdir()}
        assert around == {path.name, "unpacked"}, (around, names)


def _encodings(data: bytes) -> None:
    for encoding in ("gzip", "deflate"):
        size = 0
        with suppress(DecodingError):
            for piece in decoded([data], encoding):
                assert len(piece) <= 1 << 20
                size += len(piece)
                if size > 1 << 22:
                    break


def _command_line(data: bytes) -> None:
    words = data.decode(errors="replace").split("\n")
    named_with_hash(words)
    with suppress(SecurepipError):
        parse_allowed(words)


@cache
def _gateway() -> Any:
    folder = Path(tempfile.mkdtemp(prefix="securepip-fuzzing-"))
    trust = TrustStore(folder / "trust")
    transport = Transport(TransportOptions(retries=0, timeout=1))
    answers = Answers(trust.read, transport, Store(folder / "store"))
    hosts = ("127.0.0.1:1",)
    return create_app(answers, token=None, hosts=hosts, by_url=True, passing=Passing())


def _request(data: bytes) -> None:
    """Send a request to the gateway's application, and read the whole answer."""
    connection = h11.Connection(h11.SERVER)
    try:
        connection.receive_data(data + b"\r\n\r\n")
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return
    if not isinstance(event, h11.Request):
        return
    path, _, query = event.target.partition(b"?")
    scope = {
        "type": "http",
        "http_version": event.http_version.decode(),
        "method": event.method.decode("ascii"),
        "scheme": "http",
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(event.headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
        "state": {},
    }
    if event.method == b"CONNECT":
        return  # it opens connections, which a fuzzer must not do
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(_gateway()(scope, receive, send))
    assert sent[0]["status"] < 500 or sent[0]["status"] in (502, 503, 504), sent[0]


def _upload(data: bytes) -> None:
    """Parse an upload: the first byte is the pieces' size, the first line the content type."""
    piece, (kind, _, body) = 1 + (data[0] if data else 0), data[1:].partition(b"\n")
    token = Token("fuzzing", None, "", datetime.now(timezone.utc))
    with tempfile.TemporaryDirectory() as folder, suppress(UploadRefusedError):
        place, rest = Path(folder) / "upload", io.BytesIO(body)
        place.mkdir()
        limits = Limits(file_bytes=1 << 20)
        try:
            form = read_form(
                kind.decode("latin-1"), len(body), lambda most: rest.read(min(most, piece)), place,
                limits,
            )  # fmt: skip
            assert form.path.parent == place
            accept(form, token)
        finally:
            assert [one.name for one in Path(folder).iterdir()] == ["upload"]
            assert len(list(place.iterdir())) <= 1


def _upload_seed(file: bytes) -> bytes:
    fields = {
        ":action": b"file_upload",
        "protocol_version": b"1",
        "filetype": b"bdist_wheel",
        "name": b"app",
        "version": b"1.0",
        "summary": b"x",
        "sha256_digest": hashlib.sha256(file).hexdigest().encode(),
    }
    parts = [
        b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (name.encode(), value)
        for name, value in fields.items()
    ]
    parts.append(
        b'Content-Disposition: form-data; name="content"; filename="app-1.0-py3-none-any.whl"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + file
    )
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return b"\xff" + b"multipart/form-data; boundary=b\n" + body


def _made(make: Callable[[Path], Path]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return make(Path(folder)).read_bytes()


_HTML = (
    b'<!DOCTYPE html><meta name="pypi:repository-version" content="1.1"><base href="../">'
    b'<a href="app-1.0-py3-none-any.whl#sha256=' + b"0" * 64 + b'" data-requires-python="&gt;=3" '
    b'data-yanked="" data-core-metadata="sha256=' + b"1" * 64 + b'">app-1.0-py3-none-any.whl</a>'
)
_PAGE = (
    b'{"meta":{"api-version":"1.1"},"name":"app","files":[{"filename":"app-1.0-py3-none-any.whl",'
    b'"url":"app-1.0-py3-none-any.whl","hashes":{"sha256":"' + b"0" * 64 + b'"},"size":1,'
    b'"requires-python":">=3","yanked":false,"upload-time":"2020-01-01T00:00:00Z"}],"versions":[]}'
)
_LOCK = (
    b'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "app"\nversion = "1.0"\n'
    b'marker = "python_version > \'3\'"\nwheels = [{name = "app-1.0-py3-none-any.whl", '
    b'url = "https://packages.example.org/app-1.0-py3-none-any.whl", hashes = {sha256 = "'
    + b"0" * 64
    + b'"}}]\n'
)

TARGETS = {
    "page": Target(_page, lambda: [_PAGE]),
    "upstream-json": Target(_upstream_json, lambda: [_PAGE]),
    "upstream-html": Target(_upstream_html, lambda: [_HTML]),
    "core-metadata": Target(
        _core_metadata, lambda: [metadata_text("app", "1.0", ["lib>=1; extra=='x'"]).encode()]
    ),
    "dependency": Target(
        _dependency, lambda: [b'lib[x]>=1,<2; python_version > "3" and extra == "a"']
    ),
    "names": Target(_names, lambda: [b"app-1.0-py3-none-any.whl", b"app-1.0.tar.gz", b"App__x"]),
    "requirements": Target(
        _requirements,
        lambda: [b"app[x]>=1 ; python_version>'3' --hash=sha256:" + b"0" * 64, b"-c c.txt\n-e ."],
    ),
    "pylock": Target(_pylock, lambda: [_LOCK]),
    "transaction": Target(
        _in_file("t.zip", _transaction),
        lambda: [_made(lambda folder: make_wheel(folder, "app", "1.0"))],
    ),
    "bundle": Target(
        _in_file("proposal.json", _bundle), lambda: [b'{"why":"x","roles":{},"version":1}']
    ),
    "wheel": Target(
        _in_file("app-1.0-py3-none-any.whl", _wheel),
        lambda: [_made(lambda folder: make_wheel(folder, "app", "1.0"))],
    ),
    "sdist": Target(
        _in_file("app-1.0.tar.gz", _sdist),
        lambda: [_made(lambda folder: make_sdist(folder, "app", "1.0", files={"a.py": "x"}))],
    ),
    "memory-file": Target(
        _in_file("memory", read_memory),
        lambda: [b"app-1.0.tar.gz sha256:" + b"0" * 64 + b" 2026-01-01"],
    ),
    "encodings": Target(
        _encodings, lambda: [b"\x1f\x8b\x08\0\0\0\0\0\0\3\x4b\x04\0\x43\xbe\xb7\xe8\1\0\0\0"]
    ),
    "command-line": Target(
        _command_line, lambda: [b"install\napp @ https://packages.example.org/a.whl#sha256=0\n-r"]
    ),
    "gateway-request": Target(
        _request,
        lambda: [
            b"GET /simple/app/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\nAccept: */*",
            b"GET /by-url?url=https%3A%2F%2Fx&hash=sha256%3D0 HTTP/1.1\r\nHost: 127.0.0.1:1",
            b"HEAD http://127.0.0.1:1/files/app/x.whl HTTP/1.1\r\nHost: 127.0.0.1:1",
        ],
    ),
    "upload": Target(
        _upload,
        lambda: [
            _upload_seed(b"PK"),
            _upload_seed(_made(lambda folder: make_wheel(folder, "app", "1.0"))),
        ],
    ),
}
"""All targets, by name."""
