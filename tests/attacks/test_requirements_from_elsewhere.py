"""A requirements file from a server cannot choose files that nobody signed."""

from __future__ import annotations

from pathlib import Path

import pytest

from securepip.formats.digests import sha256_of
from tests.attacks.refusals import assert_explained
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.machine import Machine
from tests.support.wheels import make_wheel


def serve_lines(server: HostileServer, name: str, *lines: str) -> str:
    (server.folder / name).write_text("".join(f"{line}\n" for line in lines))
    return f"{server.url}{name}"


def test_it_may_name_projects_and_their_hashes(client: Machine, tmp_path: Path) -> None:
    with serve_hostile(tmp_path) as server:
        serve_lines(server, "more.txt", "lib")
        url = serve_lines(server, "requirements.txt", "other==1.0", "-r more.txt")
        assert client.install("-r", url).code == 0
    assert {"lib==1.0", "other==1.0"} <= set(client.freeze())


@pytest.mark.parametrize(
    "line",
    [
        "evil @ {url}{wheel}#sha256={sha256}",
        "{url}{wheel}#sha256={sha256}",
        "evil @ {url}{wheel} --hash=sha256:{sha256}",
        "evil @ file://{folder}/{wheel}",
        "{folder}/{wheel}",
        "file://{folder}/{wheel}",
        "-e {folder}",
        "--find-links {folder}",
        "--index-url file://{folder}",
        "--extra-index-url {folder}",
        "--trusted-host packages.example.org",
        "-c file:///etc/hosts",
        "-r http://localhost:9/more.txt",
        # Options that choose the index, the release, or the settings of a build.
        "--index-url https://packages.example.org/simple/",
        "--no-index",
        "evil --config-settings=cmake.define.CMAKE_C_COMPILER_LAUNCHER=/bin/sh",
        "--no-binary :all:",
        "--only-final :all:",
        "--pre",
        "--no-require-hashes",
    ],
)
def test_it_may_name_nothing_else(client: Machine, tmp_path: Path, line: str) -> None:
    folder = tmp_path / "served"
    wheel = make_wheel(folder, "evil", "1.0")
    before = client.installed()
    with serve_hostile(folder) as server:
        written = line.format(
            url=server.url,
            folder=folder,
            wheel=wheel.name,
            sha256=sha256_of(wheel.read_bytes()),
        )
        url = serve_lines(server, "requirements.txt", written, "evil")
        done = client.install("-r", url)
        assert_explained(done)
        assert "not on this machine" in done.err
        assert server.seen == ["requirements.txt"]
    assert client.installed() == before


def test_it_learns_no_secrets_of_the_environment(client: Machine, tmp_path: Path) -> None:
    with serve_hostile(tmp_path) as server:
        url = serve_lines(server, "requirements.txt", "-r ${SECRET}.txt")
        assert client.install("-r", url, SECRET="hidden").code == 1
        assert "hidden" not in " ".join(server.seen)


def test_a_lock_from_elsewhere_may_not_name_an_archive_at_an_address(
    client: Machine, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, "evil", "1.0")
    with serve_hostile(tmp_path) as server:
        url = serve_lines(
            server,
            "pylock.toml",
            'lock-version = "1.0"',
            'created-by = "somebody"',
            "[[packages]]",
            'name = "evil"',
            f'archive = {{ url = "{server.url}{wheel.name}", hashes = {{ sha256 = '
            f'"{sha256_of(wheel.read_bytes())}" }} }}',
        )
        done = client.install("-r", url)
        assert_explained(done)
        assert "no repository signs it" in done.err
        assert server.seen == ["pylock.toml"]
