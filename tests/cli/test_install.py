"""`securepip install`: its arguments, its output, and the installed files."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest

from securepip.formats.digests import sha256_of
from tests.support.hostile import HostileServer
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, serve
from tests.support.wheels import make_sdist, make_wheel


def test_what_is_left_is_what_pip_leaves(
    client: Machine, hostile: HostileServer, tmp_path: Path, empty_environment: Path
) -> None:
    ours = client.install("app>=1")
    assert ours.code == 0, ours.err
    assert ours.out.splitlines()[-1] == "Successfully installed app-2.0 lib-1.0"
    assert client.freeze() == ["app==2.0", "lib==1.0"]

    (tmp_path / "pip").mkdir()
    other = Machine(tmp_path / "pip", empty_environment)
    pip = ("install", "--index-url", f"{hostile.url}simple/", "--no-cache-dir", "app>=1")
    theirs = other.pip(*pip)
    assert theirs.code == 0, theirs.err
    assert list(client.installed()) == list(other.installed())
    for name, data in other.installed().items():
        if ".dist-info/" in name and not name.endswith("/RECORD"):
            assert client.installed()[name] == data
    for project in ("app-2.0", "lib-1.0"):
        record = f"{project}.dist-info/RECORD"
        rows, expected = (
            {row[0] for row in csv.reader((m.site_packages / record).open())}
            for m in (client, other)
        )
        assert rows == expected
        assert any(row.endswith(".pyc") for row in rows)
    assert (client.site_packages / "app-2.0.dist-info" / "REQUESTED").exists()
    assert not (client.site_packages / "lib-1.0.dist-info" / "REQUESTED").exists()
    assert not list(client.site_packages.glob("*.dist-info/direct_url.json"))

    client.remove("app", "lib")
    assert not [name for name in client.installed() if "app" in name or "lib-1" in name]


def test_python_may_be_named_before_or_after_the_command_as_folder_or_interpreter(
    client: Machine,
) -> None:
    for words in (
        ["--python", client.environment, "install", "--dry-run", "app"],
        ["--python", client.python, "install", "--dry-run", "app"],
        ["install", "--python", client.environment, "--dry-run", "app"],
        ["install", "--dry-run", "app", f"--python={client.python}"],
    ):
        done = client.run(*words)
        assert done.code == 0, done.err
        assert done.out.endswith("Would install app-2.0 lib-1.0\n")
    assert client.freeze() == []


def test_a_python_that_is_not_there_is_a_usage_error(client: Machine, tmp_path: Path) -> None:
    done = client.run("install", "--python", tmp_path / "nowhere", "app")
    assert done.code == 2
    assert "nowhere" in done.err


def test_requirements_and_constraints_files_are_honoured(client: Machine, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(
        "app # what we need\nother>=1 ; python_version>'3'\n"
    )
    (tmp_path / "constraints.txt").write_text("app<2\n")
    done = client.install(
        "--dry-run", "-r", tmp_path / "requirements.txt", "-c", tmp_path / "constraints.txt"
    )
    assert done.out.endswith("Would install app-1.0 other-1.0\n"), done.err


def test_upgrade_dry_run_no_deps_and_pre_mean_what_they_mean_in_pip(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    made.add(make_wheel(tmp_path / "new", "app", "3.0rc1", requires=["lib"]))
    machine.trust(made, str(made.folder))
    assert machine.install("--dry-run", "--no-deps", "app").out.endswith("Would install app-2.0\n")
    assert machine.install("--dry-run", "--pre", "app").out.endswith(
        "Would install app-3.0rc1 lib-1.0\n"
    )
    assert machine.install("app==1.0").code == 0
    assert "already satisfied: app in" in machine.install("--dry-run", "app").out
    assert machine.install("--dry-run", "-U", "app").out.endswith("Would install app-2.0 lib-1.0\n")
    assert machine.freeze() == ["app==1.0"]
    assert machine.install("-U", "app").code == 0
    assert machine.freeze() == ["app==2.0", "lib==1.0"]


def test_what_is_satisfied_already_needs_no_network_and_no_trust(
    client: Machine, hostile: HostileServer
) -> None:
    assert client.install("app").code == 0
    hostile.seen.clear()
    hostile.withhold(".*", 500)
    done = client.install("app>=1", "lib")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("Requirement already satisfied: app>=1 in ")
    assert all(line.startswith("Requirement already satisfied: ") for line in lines)
    assert hostile.seen == []
    assert client.run("trust", "remove", "made").code == 0
    assert client.install("app>=1", "lib").code == 0


def test_a_dependency_that_the_repository_lacks_is_named_with_who_wants_it(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    made.add(make_wheel(tmp_path / "new", "needy", "1.0", requires=["Not.There>=2"]))
    machine.trust(made, str(made.folder))
    done = machine.install("needy")
    assert done.code == 1
    assert "(from needy)" in done.err
    assert "securepip repo sync DIR not-there" in done.err
    assert machine.freeze() == []


def test_a_hidden_dependency_leads_no_command_to_an_older_release(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    made.add(
        make_wheel(folder, "needy", "1.0"),
        make_wheel(folder, "needy", "2.0", requires=["hidden>=2"]),
        make_wheel(folder, "above", "1.0", requires=["needy"]),
        make_sdist(folder, "made", "1.0", pyproject='[build-system]\nrequires = ["needy"]\n'),
    )
    machine.trust(made, str(made.folder))
    python, place = ("--python", machine.environment), tmp_path / "pylock.toml"
    told = "needy 2.0 cannot be installed: no trusted repository has signed hidden>=2"
    for words in (
        ("install", *python, "needy"),
        ("install", *python, "made"),
        ("download", *python, "-d", tmp_path / "files", "needy"),
        ("lock", *python, "-o", place, "needy"),
    ):
        done = machine.run(*words)
        assert done.code == 1, words
        assert told in done.err
        assert "--allow-older-releases" in done.err
    assert machine.freeze() == []
    assert not place.exists()
    # The attack: pip takes the older one without a word.
    done = machine.pip("install", "--dry-run", "--no-index", "--find-links", folder, "needy")
    assert done.out.endswith("Would install needy-1.0\n")
    assert "hidden" not in done.err
    done = machine.run("lock", *python, "-o", place, "--allow-older-releases", "needy")
    assert done.code == 0
    assert told in done.err
    done = machine.install("--dry-run", "above")
    assert done.code == 0
    assert told in done.err


def test_who_trusts_nobody_is_told_in_three_lines_how_to_begin(machine: Machine) -> None:
    before = machine.installed()
    done = machine.install("app")
    assert done.code == 1
    lines = done.err.splitlines()
    assert len(lines) == 3, lines
    assert lines[0].startswith("ERROR: this machine trusts no package repository")
    assert "securepip trust add NAME" in lines[2]
    assert "--root-sha256" in lines[2]
    assert machine.installed() == before


def test_a_repository_that_does_not_answer_is_named_with_the_age_of_its_last_state(
    machine: Machine, shared_repository: MadeRepository
) -> None:
    with serve(shared_repository.folder) as url:
        machine.trust(shared_repository, url)
        assert machine.install("--dry-run", "app").code == 0
    done = machine.install("app")
    assert done.code == 1
    assert url in done.err
    assert re.search(r"\d+ seconds? ago", done.err)
    assert "try again" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("quiet", [(), ("-qqq",)])
def test_verification_can_be_switched_off_and_that_is_loud(
    machine: Machine, hostile: HostileServer, quiet: tuple[str, ...]
) -> None:
    words = ("--unsafely-disable-package-verification", "--repository=made", "--debug", *quiet)
    done = machine.process(
        "install", *words, "--python", machine.environment, "--no-compile", "--no-deps", "app",
        PIP_INDEX_URL=f"{hostile.url}simple/",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "WARNING: package verification is switched off" in done.err
    assert "nothing that is installed now was checked" in done.err
    assert machine.version_of("app") == "2.0"


@pytest.mark.parametrize("location", ["directory", "file URL", "http"])
def test_the_same_install_works_from_a_directory_a_file_url_and_http(
    machine: Machine, shared_repository: MadeRepository, location: str
) -> None:
    with serve(shared_repository.folder) as url:
        machine.trust(
            shared_repository,
            {
                "directory": str(shared_repository.folder),
                "file URL": shared_repository.folder.as_uri(),
                "http": url.rstrip("/"),
            }[location],
        )
        done = machine.install("--no-compile", "app")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "Successfully installed app-2.0 lib-1.0"
    assert machine.version_of("app") == "2.0"


def test_a_relative_directory_is_trusted_wherever_one_stands_later(
    machine: Machine, shared_repository: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared_repository.folder.parent)
    machine.trust(shared_repository, shared_repository.folder.name)
    monkeypatch.chdir(machine.folder)
    assert machine.install("--dry-run", "app").code == 0


def test_several_at_the_same_time_share_caches_from_the_first_use_on(
    client: Machine, empty_environment: Path, tmp_path: Path
) -> None:
    targets = [tmp_path / f"environment-{number}" for number in range(4)]
    for target in targets:
        shutil.copytree(empty_environment, target, symlinks=True)
    running = [client.start("install", "--python", target, "app", "other") for target in targets]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "Successfully installed app-2.0 lib-1.0 other-1.0" in out
    left = [sorted(p.name for p in target.rglob("*.dist-info")) for target in targets]
    assert left == [["app-2.0.dist-info", "lib-1.0.dist-info", "other-1.0.dist-info"]] * 4
    assert not list((tmp_path / "cache" / "store" / "incoming").iterdir())


@pytest.mark.parametrize("words", [(), ("--require-hashes",)])
def test_plain_pip_installs_from_the_same_repository(
    machine: Machine, shared_repository: MadeRepository, words: tuple[str, ...], tmp_path: Path
) -> None:
    """By JSON, which `repo serve` gives to those who ask for it."""
    requests: list[str] = []
    wanted = ["app"]
    if words:
        files = shared_repository.folder / "packages"
        lines = [
            f"{name}=={version} --hash=sha256:{digest}"
            for name, version in (("app", "2.0"), ("lib", "1.0"))
            for digest in [_digest(files / name / f"{name}-{version}-py3-none-any.whl")]
        ]
        (tmp_path / "pinned.txt").write_text("\n".join(lines))
        wanted = ["-r", str(tmp_path / "pinned.txt")]
    with serve(shared_repository.folder, requests) as url:
        done = machine.pip_install(f"{url}simple/", *words, *wanted)
    assert done.code == 0, done.err
    assert machine.freeze() == ["app==2.0", "lib==1.0"]
    assert any("/simple/app/" in line for line in requests)
    assert not any("/metadata/" in line for line in requests)


def test_plain_pip_installs_from_the_html_pages_of_any_static_server(
    machine: Machine, hostile: HostileServer
) -> None:
    done = machine.pip_install(f"{hostile.url}simple/", "app")
    assert done.code == 0, done.err
    assert machine.freeze() == ["app==2.0", "lib==1.0"]
    assert "packages/app/app-2.0-py3-none-any.whl.metadata" in hostile.seen


def _digest(path: Path) -> str:
    return sha256_of(path.read_bytes())
