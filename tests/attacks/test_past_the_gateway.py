"""A command inside a gateway asks only the gateway, whatever pip's configuration says."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pip
import pytest

from tests.gateway.test_command import started
from tests.support.indexes import Index, serve_index
from tests.support.machine import Finished, Machine
from tests.support.wheels import make_wheel

_PIP = Path(pip.__file__).with_name("__pip-runner__.py")


def download(client: Machine, **variables: str) -> Finished:
    """Run ``pip download evil``, which nobody has signed, inside a gateway."""
    return client.process(
        "gateway", "--", client.python, _PIP, "download", "--no-deps", "--no-cache-dir",
        "--disable-pip-version-check", "-d", client.folder / "downloaded", "evil", **variables,
    )  # fmt: skip


def assert_nothing_came(client: Machine, done: Finished) -> None:
    """Check that pip got no file."""
    assert done.code == 1, done
    assert "No matching distribution found for evil" in done.err
    assert not list(client.folder.glob("downloaded/*"))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An index without signatures that has ``evil``."""
    with serve_index() as index:
        index.offer(make_wheel(tmp_path, "evil", "1.0"))
        yield index


@contextmanager
def serve_proxy(index: Index) -> Iterator[tuple[str, list[str]]]:
    """Run a proxy that answers requests for ``evil`` from an index, and passes on all others.

    Yields:
        Its URL, and the list of the requests.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            url = self.path
            if "/evil/" in url:
                url = f"{index.url}evil/"
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                answer = opener.open(url, timeout=60)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                body = answer.read()
                self.send_response(answer.status or 502)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "text/html"))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("by_file", [True, False])
def test_a_proxy_of_pips_does_not_stand_between_pip_and_the_gateway(
    client: Machine, index: Index, tmp_path: Path, by_file: bool
) -> None:
    # The gateway's answers have no signatures: a proxy could answer in its place, and would see
    # its token.
    with serve_proxy(index) as (address, asked):
        file = tmp_path / "pip.conf"
        file.write_text(f"[global]\nproxy = {address}\n")
        setting = {"PIP_CONFIG_FILE": str(file)} if by_file else {"PIP_PROXY": address}
        assert_nothing_came(client, download(client, **setting))
        assert any("metadata" in url for url in asked)  # the gateway itself uses it
        assert not any("/simple/evil/" in url for url in asked)


@pytest.mark.parametrize(("place", "section"), [("named", "download"), ("environment", "global")])
def test_no_file_of_pips_adds_an_index(
    client: Machine, index: Index, tmp_path: Path, place: str, section: str
) -> None:
    file = tmp_path / "pip.conf" if place == "named" else client.environment / "pip.conf"
    file.write_text(f"[{section}]\nextra-index-url = {index.url}\n")
    with_file = {"PIP_CONFIG_FILE": str(file if place == "named" else tmp_path / "no.conf")}
    assert_nothing_came(client, download(client, **with_file))
    assert not index.seen


@pytest.mark.parametrize("name", ["PIP_PYPI_URL", "PIP_Extra-Index_Url"])
def test_no_other_spelling_of_a_variable_adds_an_index(
    client: Machine, index: Index, name: str
) -> None:
    done = download(client, PIP_INDEX_URL="https://packages.example.org/simple/",
                    **{name: index.url})  # fmt: skip
    assert_nothing_came(client, done)
    assert not index.seen


def test_who_has_the_port_of_a_gateway_that_was_killed_is_no_gateway(
    client: Machine, index: Index
) -> None:
    # Any user of the machine can wait for the port, and then answer with other files.
    url = f"http://{index.host}/token/"
    index.raw["/token/"] = (200, "text/html", b"")
    left = client.folder / "data" / "gateway" / "1.json"
    left.parent.mkdir(mode=0o700)
    left.write_text(json.dumps({"url": url, "pid": 1}))
    with started(client, "--print-env") as (_, line):
        assert line.startswith("export PIP_INDEX_URL=")
        assert url not in line
        assert not index.seen
        assert not left.exists()
