"""The effect of options of install and download: reports, downloads, groups, scripts, targets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from pip._internal.models.target_python import TargetPython

from securepip.formats.digests import sha256_of
from securepip.resolver import probe
from securepip.resolver.environment.override import overridden
from tests.support.hostile import HostileServer, flip_byte
from tests.support.machine import Machine
from tests.support.wheels import make_wheel


def test_a_report_on_standard_output_is_nothing_but_json(
    client: Machine, hostile: HostileServer
) -> None:
    done = client.install("app[x]", "--dry-run", "--quiet", "--report", "-")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["version"] == "1"
    assert report["environment"]["implementation_name"] == "cpython"
    app, lib = report["install"]
    assert [each["metadata"]["name"] for each in (app, lib)] == ["app", "lib"]
    assert app["metadata"]["requires_dist"] == ["lib"]
    assert (app["requested"], lib["requested"]) == (True, False)
    assert app["requested_extras"] == ["x"]
    assert app["download_info"]["url"].startswith(hostile.url)
    assert set(app["download_info"]["archive_info"]["hashes"]) == {"sha256"}
    about = app["securepip"]
    assert (about["verified"], about["repository"], about["claim"]) == (
        "signed",
        "made",
        "operator",
    )
    assert not (app["is_direct"] or app["is_yanked"])
    assert client.freeze() == []


def test_a_report_says_what_nobody_signed(client: Machine, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "own", "mine", "1.0", requires=["lib"])
    done = client.install(wheel, "--report", tmp_path / "report.json")
    assert done.code == 0, done.err
    mine, lib = json.loads((tmp_path / "report.json").read_text())["install"]
    assert mine["is_direct"]
    assert mine["securepip"]["verified"] == "local, not signed"
    assert mine["download_info"]["url"] == wheel.as_uri()
    assert mine["download_info"]["archive_info"]["hashes"]["sha256"] == sha256_of(
        wheel.read_bytes()
    )
    assert lib["securepip"]["repository"] == "made"


def test_a_report_of_nothing_is_a_report(client: Machine) -> None:
    assert client.install("lib").code == 0
    done = client.install("lib", "-q", "--report", "-")
    assert json.loads(done.out)["install"] == []


def test_download_copies_verified_files_and_looks_at_nothing_that_is_installed(
    client: Machine, tmp_path: Path
) -> None:
    assert client.install("lib").code == 0
    folder = tmp_path / "downloaded"
    words = ("--python", client.environment, "download", "app", "-d", folder)
    done = client.run(*words)
    assert done.code == 0, done.err
    names = ["app-2.0-py3-none-any.whl", "lib-1.0-py3-none-any.whl"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        assert f"Saved {folder / name}" in done.out
    assert done.out.endswith("Successfully downloaded app lib\n")
    again = client.run(*words)
    assert "File was already downloaded" in again.out
    assert "Saved" not in again.out


def test_download_says_so_before_it_replaces_other_bytes(client: Machine, tmp_path: Path) -> None:
    place = tmp_path / "lib-1.0-py3-none-any.whl"
    place.write_bytes(b"something else")
    done = client.run("--python", client.environment, "download", "lib", "-d", tmp_path)
    assert done.code == 0, done.err
    assert f"Previously-downloaded file {place} has bad hash. Re-downloading." in done.err
    assert place.read_bytes()[:2] == b"PK"


def test_download_leaves_nothing_of_what_was_not_signed(
    client: Machine, hostile: HostileServer, tmp_path: Path
) -> None:
    hostile.alter(r".*lib-1\.0-py3-none-any\.whl", flip_byte)
    folder = tmp_path / "downloaded"
    done = client.run("--python", client.environment, "download", "lib", "-d", folder)
    assert done.code == 3
    assert not list(folder.iterdir())


def test_dependency_groups_and_scripts_name_what_is_installed(
    client: Machine, tmp_path: Path
) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[dependency-groups]\nmore = ["lib"]\ntest = ["other", {include-group = "more"}]\n'
    )
    done = client.install("--dry-run", "--group", f"{project}:test")
    assert done.out.endswith("Would install lib-1.0 other-1.0\n"), done.err
    missing = client.install("--dry-run", "--group", f"{project}:nothing")
    assert missing.code == 1
    assert "[dependency-groups] resolution failed for 'nothing'" in missing.err
    script = tmp_path / "script.py"
    script.write_text('# /// script\n# dependencies = ["app<2"]\n# ///\nprint("hello")\n')
    done = client.install("--dry-run", "--requirements-from-script", script)
    assert done.out.endswith("Would install app-1.0\n"), done.err
    script.write_text('# /// script\n# requires-python = "<3"\n# ///\n')
    refused = client.install("--requirements-from-script", script)
    assert refused.code == 1
    assert "requires a different Python" in refused.err


def test_a_log_takes_all_that_is_said(client: Machine, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log.txt"
    assert client.install("lib", "-qqq", "--log", log).out == ""
    assert "Successfully installed lib-1.0" in log.read_text()


@pytest.mark.parametrize(
    ("platforms", "version", "implementation", "abis"),
    [
        (["manylinux2014_x86_64"], (3, 12), None, []),
        (["macosx_11_0_arm64"], (3, 11), "cp", ["cp311"]),
        (["win_amd64"], (3,), None, []),
        (["any"], None, "py", []),
        (["linux_x86_64", "manylinux2010_i686"], (3, 7, 3), "pp", ["pypy37_pp73"]),
        ([], (3, 13), None, []),
        ([], None, None, ["abi3"]),
    ],
)
def test_another_target_accepts_the_wheels_that_pip_says_it_accepts(
    platforms: Sequence[str],
    version: tuple[int, ...] | None,
    implementation: str | None,
    abis: Sequence[str],
) -> None:
    pips = TargetPython(
        platforms=list(platforms) or None,
        py_version_info=version,
        abis=list(abis) or None,
        implementation=implementation,
    )
    ours = overridden(
        probe(), platforms=platforms, python_version=version, implementation=implementation,
        abis=abis,
    )  # fmt: skip
    assert [str(tag) for tag in ours.tags] == list(dict.fromkeys(map(str, pips.get_sorted_tags())))
    assert ours.version.release == pips.py_version_info[:3]
