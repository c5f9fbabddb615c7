"""The tools that people upload with, unchanged, against the commands of `securepip repo`."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import uv

from tests.support.machine import Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel
from tests.uploads.sending import Site

_UV = uv.find_uv_bin()


def _started(machine: Machine, made: MadeRepository) -> subprocess.Popen[str]:
    """`repo serve --uploads` as a process of its own."""
    return machine.start(
        *("repo", "serve", made.folder, "--uploads", "--keys", made.online_keys),
        PYTHONUNBUFFERED="1",
    )


def _address(process: subprocess.Popen[str]) -> str:
    """The address in the next line that it says."""
    assert process.stdout is not None
    return process.stdout.readline().strip().rpartition(" ")[2]


@contextmanager
def _served(machine: Machine, made: MadeRepository) -> Iterator[tuple[str, str]]:
    """Where uploads go, and where the repository is served, until the block ends."""
    with _started(machine, made) as process:
        yield _address(process), _address(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def _token(machine: Machine, made: MadeRepository, *words: str) -> str:
    done = machine.run("repo", "token", "create", made.folder, *words)
    assert done.code == 0, done.err
    return done.out.splitlines()[-1]


def _upload(machine: Machine, tool: str, url: str, token: str, *files: Path) -> tuple[int, str]:
    uploading = {
        "twine": (
            *(
                sys.executable,
                "-m",
                "twine",
                "upload",
                "--non-interactive",
                "--disable-progress-bar",
            ),
            *("--repository-url", url, "-u", "__token__", "-p", token),
        ),
        "uv": (_UV, "publish", "--no-config", "--publish-url", url, "--token", token),
    }
    done = machine.command(*uploading[tool], *files, COLUMNS="500")
    return done.code, done.out + done.err


def test_twine_and_uv_publish_and_an_install_right_after_finds_it(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    wheels = make_wheel(tmp_path, "by-twine", "1.0"), make_wheel(tmp_path, "by-uv", "1.0+local.1")
    sdists = make_sdist(tmp_path, "by-twine", "1.0"), make_sdist(tmp_path, "by-uv", "1.0+local.1")
    other = make_wheel(tmp_path / "other", "by-twine", "1.0", files={"evil.py": ""})
    token = _token(machine, made, "by-twine", "By_UV", "--note", "CI")
    with _served(machine, made) as (url, location):
        for tool, wheel, sdist in zip(("twine", "uv"), wheels, sdists, strict=True):
            code, said = _upload(machine, tool, url, token, wheel, sdist)
            assert code == 0, said
        machine.trust(made, location)
        done = machine.install("--only-binary=:all:", "by-twine", "by-uv")
        assert done.code == 0, done.err
        assert machine.freeze() == ["by-twine==1.0", "by-uv==1.0+local.1"]
        # The words of a refusal are what each of them shows.
        for tool in ("twine", "uv"):
            code, said = _upload(machine, tool, url, token, other)
            assert code != 0
            assert "already exists with other bytes" in " ".join(said.split())


def test_what_was_answered_with_200_is_signed_after_the_server_was_killed(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    wheels = [make_wheel(tmp_path, f"app{each}", "1.0") for each in range(24)]
    token = _token(machine, made, "--all-projects")
    enough = threading.Event()
    published: list[Path] = []
    killed: list[Path] = []

    def send(wheel: Path) -> None:
        try:
            if Site(url, token, made, []).send(wheel).status_code == 200:
                published.append(wheel)
        except requests.ConnectionError:
            killed.append(wheel)
        if len(published) >= 5 or killed:
            enough.set()

    with _started(machine, made) as process:
        url = _address(process)
        with ThreadPoolExecutor(4) as pool:
            for wheel in wheels[1:]:
                pool.submit(send, wheel)
            assert enough.wait(60)
            process.kill()
            process.wait()
            pool.submit(send, wheels[0])  # however fast the others were
    assert published
    assert killed
    # The next publication begins where the last timestamp is, whatever was half done.
    made.add(killed[0])
    roles = made.repository.roles()
    for wheel in [*published, killed[0]]:
        target = roles.target(f"packages/{wheel.name.split('-')[0]}/{wheel.name}")
        assert target is not None
        target.verify_length_and_hashes(wheel.read_bytes())


def test_tokens_are_made_listed_and_revoked(machine: Machine, made: MadeRepository) -> None:
    first = _token(machine, made, "Some.Project", "--note", "CI of some project")
    _token(machine, made, "--all-projects")
    name = first.split("-")[1]
    done = machine.run("repo", "token", "list", made.folder)
    scoped, every = done.out.splitlines()
    assert scoped.startswith(name)
    assert scoped.endswith("never used  some-project  CI of some project")
    assert every.endswith("every project")
    assert first not in done.out
    for said in (f"Revoked {name}\n", f"{name} was revoked before\n"):
        assert machine.run("repo", "token", "revoke", made.folder, name).out == said
    assert "revoked 20" in machine.run("repo", "token", "list", made.folder).out
    done = machine.run("repo", "token", "revoke", made.folder, "0123")
    assert done.code == 1
    assert "no token '0123'" in done.err
    assert made.repository.state.tokens.find(first) is None


@pytest.mark.parametrize("words", [[], ["app", "--all-projects"]])
def test_a_token_is_for_some_projects_or_for_all(
    machine: Machine, made: MadeRepository, words: list[str]
) -> None:
    assert machine.run("repo", "token", "create", made.folder, *words).code == 2


def test_uploads_start_with_the_online_key_or_not_at_all(
    machine: Machine, made: MadeRepository
) -> None:
    for key in made.online_keys.iterdir():
        key.unlink()
    done = machine.run("repo", "serve", made.folder, "--uploads")
    assert done.code == 1
    assert "the online key is not here" in done.err
    done = machine.run("repo", "serve", made.folder, "--uploads", "--host", "0.0.0.0")  # noqa: S104
    assert done.code == 2
    assert "without TLS" in done.err
