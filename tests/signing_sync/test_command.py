"""``repo sync`` and ``repo accept-change`` as commands, and what a client makes of the result."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from securepip.cli import main
from securepip.signing.overlay.upstream import fetch
from securepip.signing.repository.repository import Repository
from tests.signing_sync.conftest import Sync
from tests.support.indexes import Index, serve_index
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

pytestmark = pytest.mark.usefixtures("no_configuration")
_SOURCES = Path(__file__).parents[2] / "src"


def test_a_person_sees_what_was_signed_and_what_was_not(
    index: Index, overlay: MadeRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, _ = index.offer(make_wheel(tmp_path, "app", "1.0"), make_wheel(tmp_path, "app", "2.0"))
    bad.url += "?token=1"
    command = ["repo", "sync", str(overlay.folder), "--upstream", index.url]
    assert main([*command, "app", "nonesuch"]) == 1
    printed = capsys.readouterr()
    assert "app: 1 file left out: a URL with a signature" in printed.out
    assert "Signed 1 project: app" in printed.out
    assert "1 project with 1 file" in printed.out
    assert "WARNING: nonesuch: not known to http://127.0.0.1" in printed.err
    assert main(command) == 0
    assert "Nothing had to be signed." in capsys.readouterr().out


def test_what_is_named_by_path_or_address_is_said_to_be_left_out(
    index: Index, overlay: MadeRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    wanted, own = tmp_path / "wanted.txt", make_wheel(tmp_path, "own", "1.0")
    address = f"there @ https://packages.example.org/there.whl#sha256={'0' * 64}"
    wanted.write_text(f"app\n{own}\n{address}\n")
    command = ["repo", "sync", str(overlay.folder), "--upstream", index.url]
    assert main([*command, "-r", str(wanted)]) == 0
    printed = capsys.readouterr()
    assert "Signed 1 project: app" in printed.out
    assert f"{own} is not signed (-r {wanted} (line 2)): it names a path" in printed.err
    assert f"{address} is not signed" in printed.err
    assert main([*command, str(own)]) == 2
    assert "name no project of an index" in capsys.readouterr().err


def test_requirement_files_name_projects_and_pips_constraints_are_honoured(
    index: Index,
    overlay: MadeRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0", requires=["old"]))
    index.offer(make_wheel(tmp_path, "app", "2.0", requires=["new"]))
    index.offer(make_wheel(tmp_path, "old", "1.0"), make_wheel(tmp_path, "new", "1.0"))
    wanted, constraints = tmp_path / "wanted.txt", tmp_path / "constraints.txt"
    wanted.write_text("# ours\napp>=1 ; python_version > '3' # really\n")
    constraints.write_text("app<2\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(constraints))
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    command = ["repo", "sync", str(overlay.folder), "-r", str(wanted), "--with-dependencies"]
    assert main(command) == 0
    assert overlay.repository.projects() == ["app", "old"]


def test_a_changed_file_is_signed_after_the_operator_accepted_it(
    index: Index, overlay: MadeRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.offer(make_wheel(tmp_path / "a", "app", "1.0"))
    command = ["repo", "sync", str(overlay.folder), "--upstream", index.url, "app"]
    assert main(command) == 0
    (changed,) = index.offer(make_wheel(tmp_path / "b", "app", "1.0", requires=["x"]))
    assert main(command) == 1
    advice = f"securepip repo accept-change {overlay.folder} {changed.filename}"
    assert advice in capsys.readouterr().err
    assert main(advice.split()[1:]) == 0
    assert main(command) == 0
    assert main(advice.split()[1:]) == 1


@pytest.mark.parametrize("age", ["7", "d", "-1d", "1y"])
def test_an_age_that_is_none_is_a_usage_error(overlay: MadeRepository, age: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["repo", "sync", str(overlay.folder), f"--min-age={age}"])
    assert ended.value.code == 2


def test_what_was_synced_installs_on_a_machine_that_trusts_it(
    index: Index, overlay: MadeRepository, run: Sync, machine: Machine, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0", requires=["lib"]))
    index.offer(make_wheel(tmp_path, "lib", "1.0"))
    assert run("app", with_dependencies=True).problems == []
    machine.trust(overlay, str(overlay.folder))
    done = machine.install("app")
    assert done.code == 0, done.err
    assert "Successfully installed app-1.0 lib-1.0" in done.out


def test_a_page_without_an_end_is_refused(
    index: Index, run: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "USUAL_PAGE_BYTES", 10_000)
    monkeypatch.setattr(fetch, "MAX_PAGE_BYTES", 100_000)
    index.offer(make_wheel(tmp_path, "lib", "1.0"))
    index.raw["/simple/app/"] = (200, "text/html", b"<a>" * 100_000)
    report = run("app", "lib")
    assert report.signed == ["lib"]
    assert "longer than the 100000 bytes" in str(report.problems[0])


def test_a_sync_killed_at_any_moment_leaves_a_repository_that_the_next_one_completes(
    index: Index, overlay: MadeRepository, tmp_path: Path
) -> None:
    names = [f"app{number}" for number in range(12)]
    for name, needed in zip(names, [*names[1:], names[0]], strict=True):
        index.offer(make_wheel(tmp_path, name, "1.0", requires=[needed]))
    command = [sys.executable, "-m", "securepip", "repo", "sync", str(overlay.folder)]
    command += ["--upstream", index.url, "--publish-projects", "2"]
    every, following = [*command, *names], [*command, names[0], "--with-dependencies"]
    environment = {**os.environ, "PYTHONPATH": str(_SOURCES)}
    for command in (every, following, every, following):
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 20
            while not index.seen and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.6))
            process.send_signal(signal.SIGKILL)
        index.seen.clear()
        for name in Repository.open(overlay.folder).projects():
            Repository.open(overlay.folder).page(canonicalize_name(name))
    assert main(following[3:]) == 0
    for name in names:
        assert overlay.repository.page(canonicalize_name(name)) is not None


@pytest.mark.registry
def test_what_pip_here_is_configured_for_can_be_signed_and_installed(
    overlay: MadeRepository,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    assert main(["repo", "sync", str(overlay.folder), "requests", "--with-dependencies"]) == 0
    assert {"certifi", "idna", "requests", "urllib3"} <= set(overlay.repository.projects())
    machine.trust(overlay, str(overlay.folder))
    done = machine.install("requests")
    assert done.code == 0, done.err


def test_the_named_index_is_remembered_and_a_change_of_it_is_said(
    index: Index, overlay: MadeRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.credentials = "me:secret"
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    command = ["repo", "sync", str(overlay.folder)]
    assert main([*command, "--upstream", index.url, "app"]) == 0
    index.credentials = ""
    index.offer(make_wheel(tmp_path, "app", "1.1"))
    capsys.readouterr()
    # As cron does it: the index is neither named nor what pip is configured for.
    assert main(command) == 0
    out = capsys.readouterr().out
    assert f"Upstream, as the last time: {index.url}" in out
    assert "1 project: app" in out
    assert b"secret" not in (overlay.folder / "state" / "ledger.sqlite3").read_bytes()
    with serve_index() as other:
        other.offer(make_wheel(tmp_path, "app", "1.2"))
        main([*command, "--upstream", other.url])
        out = capsys.readouterr().out
        assert f"came from {index.url}; from now on it comes from {other.url}" in out


def test_what_is_new_because_of_whom_and_what_is_missing_is_said(
    index: Index, overlay: MadeRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.offer(
        make_wheel(tmp_path, "app", "1.0", requires=["idna", "urllib3"]),
        make_wheel(tmp_path, "idna", "1.0"),
        make_wheel(tmp_path, "urllib3", "1.0"),
        make_wheel(tmp_path, "odd", "1.0"),
    )
    index.status["odd"] = "quarantined"
    command = ["repo", "sync", str(overlay.folder), "--upstream", index.url, "app", "odd"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "app requires idna, urllib3, which are not signed here: --with-dependencies" in out
    assert "odd is in quarantine" in out
    assert main([*command, "--with-dependencies"]) == 0
    assert "new because of app: idna, urllib3" in capsys.readouterr().out
