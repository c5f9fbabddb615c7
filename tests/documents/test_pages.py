"""The documents as a whole: links, commands, names of files and variables, and the site."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from securepip.cli.main import parse
from tests.support.documents import PAGES, ROOT, blocks
from tests.support.ports import free_port
from tests.support.repositories import make_repository

PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)", text, re.M)
    for link in links:
        if not link.startswith("http"):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.is_file(), link
            assert not anchor or anchor in anchors(target), link


@PAGE
def test_every_command_that_is_shown_can_be_read(page: Path) -> None:
    for block in blocks(page.read_text()):
        for words in block.commands():
            if "…" not in words:
                parse(words)


@PAGE
def test_every_file_of_the_sources_that_is_named_is_there(page: Path) -> None:
    for name in re.findall(r"`((?:src|tests|scripts|docs)/[\w/.\-]+)`", page.read_text()):
        assert (ROOT / name).exists(), name


def test_every_variable_is_explained() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    used = set(re.findall(r"\bSECUREPIP_[A-Z_]+[A-Z]", sources))
    page = (ROOT / "docs" / "reference" / "variables.md").read_text()
    assert used == set(re.findall(r"\bSECUREPIP_[A-Z_]+[A-Z]", page))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("no answer from the server", "offline"),
        ("signatures that have expired", "expired"),
        ("other bytes than were signed", "tampered"),
        ("a project that nobody signs", "unknown_project"),
    ],
)
def test_the_page_of_exit_codes_tells_them_as_the_commands_end(row: str, message: str) -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text()
    said = (ROOT / "tests" / "cli" / "messages" / f"{message}.txt").read_text()
    code = said.removeprefix("exit code ").partition("\n")[0]
    assert f"| {row} | {code} |" in page


_OWN_CODES = {
    ("asking/verify.py", "run"): "`verify` has",
    ("gateway.py", "_command"): "`gateway -- COMMAND` ends",
    ("main.py", "main"): "has 120",
    ("pip_commands/plain.py", "run"): "`--unsafely-disable-package-verification` hands to pip has",
    ("plugin.py", "status"): "`plugin status` has",
    ("repo/audit.py", "_rebuild"): "`--rebuild`",
    ("repo/audit.py", "audit"): "`repo audit` has",
    ("repo/ceremony.py", "sign"): "`repo ceremony sign`",
    ("repo/claims.py", "promote"): "`repo promote`",
    ("repo/everyday.py", "add"): "`repo add`",
    ("repo/everyday.py", "refresh"): "`repo refresh`",
    ("repo/recover.py", "run"): "`repo recover`",
    ("repo/status.py", "show"): "`repo status`",
    ("repo/sync.py", "sync"): "`repo sync`",
}
"""The functions that return a code of their own, with what the page says of each."""


def test_the_page_of_exit_codes_names_each_command_that_chooses_its_own() -> None:
    cli = ROOT / "src" / "securepip" / "cli"
    found = {
        (str(path.relative_to(cli)), function.name)
        for path in cli.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        if function.returns is not None and ast.unparse(function.returns) == "int"
        for each in ast.walk(function)
        if isinstance(each, ast.Return) and _is_no_mere_0(each.value)
    }
    assert found == _OWN_CODES.keys()
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text()
    for phrase in _OWN_CODES.values():
        assert phrase in page


def _is_no_mere_0(value: ast.expr | None) -> bool:
    """Whether a function that returns ``value`` chooses an exit code: no 0, and no call's code."""
    if isinstance(value, ast.IfExp):
        return _is_no_mere_0(value.body) or _is_no_mere_0(value.orelse)
    return not isinstance(value, ast.Call) and ast.unparse(value or ast.Constant(0)) != "0"


def test_the_page_of_all_messages_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "messages.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="it is in the dependency group docs")
    command = [sys.executable, str(ROOT / "scripts" / "docs"), "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    home = (tmp_path / "site" / "index.html").read_text()
    assert "fonts.googleapis" not in home, "nothing is fetched from elsewhere"


@pytest.fixture
def nginx(tmp_path: Path) -> tuple[list[str], int]:
    """The command that runs nginx with the configuration that is shown, and its port."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        pytest.skip("nginx is not here")
    (shown,) = blocks((ROOT / "docs" / "operate.md").read_text(), "nginx")
    port = free_port()
    server = shown.text.replace("/srv/packages", str(tmp_path / "own"))
    server = server.replace("listen 80", f"listen 127.0.0.1:{port}")
    places = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"{user}pid {tmp_path}/pid;\ndaemon off;\nevents {{}}\nhttp {{\naccess_log off;\n{places}"
        f"types {{ application/json json; }}\n{server}\n}}\n"
    )
    return [found, "-e", str(tmp_path / "log"), "-c", str(configuration)], port


def test_nginx_accepts_the_configuration_that_is_shown(nginx: tuple[list[str], int]) -> None:
    done = subprocess.run([*nginx[0], "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nginx_sends_metadata_compressed_and_as_it_is(
    nginx: tuple[list[str], int], tmp_path: Path
) -> None:
    made = make_repository(tmp_path / "own")
    name = f"{made.repository.roles().snapshot.signed.version}.snapshot.json"
    command, port = nginx
    url = f"http://127.0.0.1:{port}/metadata/{name}"
    with subprocess.Popen(command) as server:
        try:
            retry = Retry(connect=10, backoff_factor=0.05)
            with requests.Session() as session:
                session.mount("http://", HTTPAdapter(max_retries=retry))
                answer = session.get(url, headers={"Accept-Encoding": "gzip"}, timeout=60)
        finally:
            server.terminate()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.content == (made.folder / "metadata" / name).read_bytes()
