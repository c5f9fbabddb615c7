"""What people have names projects: each kind of file, as the tools themselves wrote it.

The files in ``made`` are of one project. It requires iniconfig, colorama on Windows and a folder,
and has an extra with click and a group with pluggy. Only the addresses in them were changed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from virtualenv.seed.wheels.embed import BUNDLE_SUPPORT

from securepip.cli import main
from securepip.errors import RequirementError, SecurepipError
from securepip.wanted import TOOLS, fetched_by, read_groups, split_files
from tests.support.indexes import serve_index
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

pytestmark = pytest.mark.usefixtures("no_configuration")
MADE = Path(__file__).parent / "made"
LOCKED = {"click", "colorama", "iniconfig", "pluggy"}


@pytest.fixture
def overlay(tmp_path: Path) -> MadeRepository:
    return make_repository(tmp_path / "overlay")


def named(path: Path) -> dict[str, str]:
    """What a file names: the projects of an index, each with the versions it asks for."""
    plain, wanted = split_files([str(path)])
    assert not plain
    return {
        str(one.project): str(one.requirement.specifier)
        for one in wanted
        if one.requirement is not None and one.link is None
    }


@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock", "pdm.lock", "pylock.toml"])
@pytest.mark.parametrize("called", ["as tools call it", "otherwise"])
def test_a_lock_names_its_projects_in_their_versions(
    name: str, called: str, tmp_path: Path
) -> None:
    path = MADE / name
    if called == "otherwise":
        path = tmp_path / "versions"
        path.write_bytes((MADE / name).read_bytes())
    found = named(path)
    assert found.keys() == LOCKED, "and neither the project itself nor the folder"
    assert found["iniconfig"] == "==2.3.1"


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("uv.lock", '[[package]]\nname = "x"\nsource = {git = "https://git.example.org/x"}'),
        ("poetry.lock", '[[package]]\nname="x"\n[package.source]\ntype="git"\nurl="https://a/x"'),
        ("pdm.lock", '[[package]]\nname = "x"\ngit = "https://git.example.org/x"\n'),
        ("pylock.toml", '[[packages]]\nname="x"\nvcs={type="git",url="https://a/x",commit-id="1"}'),
    ],
)
def test_what_a_lock_has_from_elsewhere_is_told_apart(
    name: str, table: str, tmp_path: Path
) -> None:
    lock, version = tmp_path / name, (MADE / name).read_text().replace("\r", "")
    head = version if name != "uv.lock" else version + "\n"
    lock.write_text(f"{head}\n{table}\n")
    _, wanted = split_files([str(lock)])
    (elsewhere,) = [one for one in wanted if str(one.project) == "x"]
    assert elsewhere.link is not None
    assert "'x'" in elsewhere.source


def test_a_project_names_its_dependencies_its_extras_and_what_a_build_needs() -> None:
    found = named(MADE / "pyproject.toml")
    assert found.keys() == {"iniconfig", "colorama", "local-thing", "click", "hatchling"}
    assert found["click"] == ">=8"


def test_a_script_names_what_its_metadata_requires(tmp_path: Path) -> None:
    text = "#!/usr/bin/env python\n# /// script\n# dependencies = ['rich>13']\n# ///\nprint()\n"
    for name in ("run.py", "run"):
        (tmp_path / name).write_text(text)
        assert named(tmp_path / name) == {"rich": ">13"}


def test_a_pipe_is_left_unread_for_who_reads_requirements_files() -> None:
    """As ``-r <(pip freeze)`` makes one: what is read once is gone."""
    reading, writing = os.pipe()
    os.write(writing, b"flask\n")
    os.close(writing)
    try:
        assert split_files([f"/dev/fd/{reading}"]) == ([f"/dev/fd/{reading}"], [])
        assert os.read(reading, 100) == b"flask\n"
    finally:
        os.close(reading)


@pytest.mark.parametrize("text", ["", "# no\n", "flask\n", "-r more.txt\nflask==3 --hash=x:1\n"])
def test_everything_else_is_a_requirements_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(text)
    assert split_files([str(path), "https://packages.example.org/r.txt"]) == (
        [str(path), "https://packages.example.org/r.txt"],
        [],
    )


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("uv.lock", "version = 2\n[[package]]\n", "uv.lock: version is not 1"),
        ("uv.lock", "version = 1\npackage = [{name = 3}]", "package number 1: name"),
        (
            "uv.lock",
            "version = 1\npackage = [{name = 'a', source = {x = ''}}]",
            "package 'a', sour",
        ),
        ("uv.lock", "[project]\nname = 'a'", "not that of a uv.lock"),
        ("uv.lock", f"x = {'[' * 5000}{']' * 5000}", "Failed to parse TOML"),
        ("uv.lock", f"version = {'9' * 5000}", "Failed to parse TOML"),
        ("poetry.lock", "[metadata]\nlock-version = '9.0'\n", "lock-version '9.0'"),
        ("poetry.lock", "package = 1\n[metadata]\nlock-version = '2.1'\n", "package is not a list"),
        ("pdm.lock", "[metadata]\nlock_version = 4\n", "lock_version is not a text"),
        ("pdm.lock", "package = [{name='-'}]\n[metadata]\nlock_version = '4.5'\n", "package '-'"),
        ("pylock.toml", "lock-version = '1.0'\npackages = 3\n", "Invalid pylock file"),
        ("pyproject.toml", "[project]\ndependencies = ['a b']", "pyproject.toml, project"),
        ("pyproject.toml", "[project]\ndynamic = ['dependencies']", "leaves its dependencies to"),
        ("pyproject.toml", "[tool.poetry.dependencies]\na='*'\n[build-system]", "of Poetry's own"),
        ("run.py", "import os\n", "does not contain 'script' metadata"),
        ("uv.lock", "#" * ((16 << 20) + 1), "larger than 16 MB"),
    ],
)
def test_a_hostile_or_broken_file_is_an_error_that_names_the_file_and_the_entry(
    name: str, text: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(RequirementError) as raised:
        split_files([str(path)])
    assert str(path) in str(raised.value)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("#" * ((16 << 20) + 1), "larger than 16 MB"),
        (f"x = {'[' * 5000}", "Failed to parse TOML"),
        ("[dependency-groups]\n" + "".join(
            f"g{n} = [{{include-group = 'g{n + 1}'}}]\n" for n in range(3000)
        ) + "g3000 = ['a']", "includes others too deeply"),
    ],
    ids=["long", "deep tables", "deep groups"],
)  # fmt: skip
def test_hostile_dependency_groups_are_an_error_that_names_the_file(
    text: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(text)
    with pytest.raises(SecurepipError) as raised:
        read_groups([(str(path), "g0")])
    assert str(path) in str(raised.value)
    assert says in str(raised.value)


def test_a_sync_signs_what_files_groups_and_tools_name_and_says_what_it_leaves_out(
    overlay: MadeRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(
        "--extra-index-url https://other.example.org/simple\nattrs\n"
        "there @ git+https://git.example.org/there\n"
    )
    names = {*LOCKED, "attrs", *fetched_by(["virtualenv"])}
    with serve_index() as index:
        index.offer(*(make_wheel(tmp_path, name, "9.0") for name in sorted(names)))
        command = ["repo", "sync", str(overlay.folder), "--upstream", index.url]
        lock = MADE / "uv.lock"
        group = f"{MADE / 'pyproject.toml'}:lint"
        files = ["-r", str(lock), "-r", str(wanted), "--group", group, "--tools", "virtualenv"]
        assert main([*command, *files]) == 0
    assert set(overlay.repository.projects()) == names
    said = capsys.readouterr().err
    assert "there @ git+https://git.example.org/there is not signed" in said
    assert "names the index https://other.example.org/simple, which is not asked" in said


def test_an_unknown_tool_is_a_usage_error_that_says_which_are_known(
    overlay: MadeRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["repo", "sync", str(overlay.folder), "--tools", "tox,toxx"]) == 2
    assert "'toxx' is not known" in capsys.readouterr().err


def test_what_virtualenv_seeds_is_what_the_table_says() -> None:
    seeded = {project for by_project in BUNDLE_SUPPORT.values() for project in by_project}
    for tool in ("virtualenv", "tox", "nox", "poetry", "pdm", "pre-commit"):
        assert seeded <= set(TOOLS[tool]), tool
