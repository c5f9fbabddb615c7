#!/usr/bin/env python3
"""Measures how long first use takes, compared with `pip install`, from an index with long pages.

    python scripts/bench/first_use.py [--files 3000] [--sets small,web] [--rounds 5]

It uses the wheels, the proxy and the rows of `scripts/bench/install.py`, but the server is an index
that does not sign. Its pages are like those of a public index, with as many files (`--files`), the
same fields, an ETag and compression. Only the wheels can be fetched; the other files do not exist.
The third installer is securepip with a repository that somebody else signs (`trusted`): `repo sync`
has signed all files on the same pages there. With warm caches, first use should be as fast as that.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import install as rows
import server
from packaging.utils import canonicalize_name, parse_wheel_filename

JSON_TYPE = "application/vnd.pypi.simple.v1+json"


def main() -> int:
    arguments = parse()
    if arguments.serve is not None:
        return serve(arguments.serve, arguments.files)
    scratch = arguments.scratch.absolute()
    scratch.mkdir(parents=True, exist_ok=True)
    python = server.make_securepip(scratch)
    securepip = [str(python), "-m", "securepip"]
    print(
        f"{datetime.now():%Y-%m-%d}, {platform.platform()}, Python {platform.python_version()}, "
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, "
        f"pages of {arguments.files} files\n\n{rows.HEAD}"
    )
    for name in arguments.sets:
        server.download(scratch, securepip, rows.SETS[name])
    with serving(scratch / "wheels", arguments.files) as url:
        for name in arguments.sets:
            for delay in arguments.delays:
                measure(name, delay, scratch, python, url, arguments)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=lambda text: text.split(","), default=["small", "web"])
    parser.add_argument("--scenarios", type=lambda text: text.split(","), default=["cold", "warm"])
    parser.add_argument(
        "--delays", type=lambda text: [float(one) for one in text.split(",")], default=[0.0, 30.0]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=3000, help="on each page")
    parser.add_argument("--scratch", type=Path, default=server.CHECKOUT / "scratch" / "bench")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(
    name: str,
    delay: float,
    scratch: Path,
    python: Path,
    url: str,
    arguments: argparse.Namespace,
) -> None:
    """Print all rows of one set and one round-trip time."""
    securepip = [str(python), "-m", "securepip"]
    with (
        tempfile.TemporaryDirectory(dir=scratch) as temporary,
        server.proxy(url, delay / 1000) as (slow_url, wire),
    ):
        folder = Path(temporary)
        # The pages contain the proxy's address, so the files are fetched through it, too.
        repository = server.sync(folder, securepip, f"{slow_url}simple/", rows.SETS[name])
        with (
            server.serving(securepip, repository) as signed,
            server.proxy(signed, delay / 1000, wire) as (slow_signed, _),
        ):
            pip, _, first_use, *_ = rows.make_installers(folder, python, slow_url, repository)
            trusted = rows.make_installers(folder, python, slow_signed, repository)[1]
            installers = [pip, first_use, replace(trusted, name="trusted")]
            for _ in range(arguments.rounds):
                rows.one_round(installers, arguments.scenarios, rows.SETS[name], wire)
            rows.report(installers, name, delay)


@contextmanager
def serving(wheels: Path, files: int) -> Iterator[str]:
    """Serve the index in its own process inside the ``with`` block; yields its URL."""
    command = [sys.executable, __file__, "--serve", str(wheels), "--files", str(files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.terminate()


def serve(wheels: Path, files: int) -> int:
    """Serve the index until this process is ended."""
    pages: dict[str, list[Path]] = {}
    for path in sorted(wheels.glob("*.whl")):
        pages.setdefault(canonicalize_name(path.name.split("-")[0]), []).append(path)
    answers: dict[str, tuple[str, bytes]] = {}
    for project, paths in pages.items():
        page = json.dumps(make_page(project, paths, files)).encode()
        answers[f"/simple/{project}/"] = JSON_TYPE, gzip.compress(page, 6)
        for path in paths:
            answers[f"/files/{path.name}"] = "application/octet-stream", path.read_bytes()
            answers[f"/files/{path.name}.metadata"] = "binary/octet-stream", metadata_of(path)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            kind, body = answers.get(self.path, ("", b""))
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            same = self.headers.get("If-None-Match") == tag
            self.send_response(404 if not kind else 304 if same else 200)
            if kind == JSON_TYPE:
                self.send_header("Content-Encoding", "gzip")
                self.send_header("Cache-Control", "max-age=600, public")
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("ETag", tag)
            if not same:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if not same:
                self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Print nothing."""

    index = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{index.server_port}/", flush=True)
    index.serve_forever()
    return 0


def make_page(project: str, wheels: list[Path], files: int) -> dict[str, object]:
    """Make a page as long as that of a project with many releases and many platforms."""
    tags = [
        f"cp3{minor}-cp3{minor}-{system}"
        for minor in range(8, 14)
        for system in ("macosx_11_0_arm64", "manylinux_2_17_x86_64", "musllinux_1_2_x86_64",
                       "win_amd64")
    ]  # fmt: skip
    listed = []
    for number in range(files):
        version = f"0.0.{number // len(tags)}"
        name = f"{project.replace('-', '_')}-{version}-{tags[number % len(tags)]}.whl"
        made_up = hashlib.sha256(name.encode()).hexdigest()
        listed.append(entry(name, made_up, 12345, made_up[::-1]))
    for path in wheels:
        data = path.read_bytes()
        metadata_sha256 = hashlib.sha256(metadata_of(path)).hexdigest()
        listed.append(
            entry(path.name, hashlib.sha256(data).hexdigest(), len(data), metadata_sha256)
        )
    versions = sorted({str(file["filename"]).split("-")[1] for file in listed})
    return {
        "meta": {"_last-serial": 12345678, "api-version": "1.4"},
        "name": project,
        "alternate-locations": [],
        "project-status": {"status": "active"},
        "versions": versions,
        "files": listed,
    }


def entry(name: str, sha256: str, size: int, metadata_sha256: str) -> dict[str, object]:
    """The entry of one file, with the fields that a public index has."""
    metadata = {"sha256": metadata_sha256}
    _, version, *_ = parse_wheel_filename(name)
    return {
        "filename": name,
        "url": f"/files/{name}",
        "hashes": {"sha256": sha256},
        "size": size,
        "requires-python": ">=3.8",
        "upload-time": f"2024-01-{1 + version.release[-1] % 28:02}T12:00:00.123456Z",
        "core-metadata": metadata,
        "data-dist-info-metadata": metadata,
        "yanked": False,
        "provenance": None,
    }


def metadata_of(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        name = next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return archive.read(name)


if __name__ == "__main__":
    sys.exit(main())
