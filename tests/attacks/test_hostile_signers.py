"""Files that are signed and wrong: by a mistake, or by a thief of the online key."""

from __future__ import annotations

import re
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from securepip.formats.core_metadata import MAX_METADATA_BYTES
from securepip.formats.digests import sha256_of
from securepip.formats.page import MAX_PAGE_BYTES
from tests.attacks.refusals import assert_explained
from tests.attacks.signing import read_page, sign, sign_page
from tests.support.hostile import serve_hostile
from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel, metadata_text

WHEEL = "app-2.0-py3-none-any.whl"


@pytest.fixture
def victim(machine: Machine, made: MadeRepository) -> Machine:
    """A machine that trusts the repository ``made``, by its folder."""
    machine.trust(made, str(made.folder))
    return machine


def refused(victim: Machine, *words: str) -> Finished:
    """Check that an install is refused and changes nothing, and return it."""
    before = victim.installed()
    done = victim.install(*words)
    assert done.code == 3, done
    assert_explained(done)
    assert victim.installed() == before
    return done


def entry(path: Path, **changes: object) -> dict[str, Any]:
    """The entry of a distribution on a page."""
    data = path.read_bytes()
    return {
        "filename": path.name,
        "url": path.as_uri(),
        "hashes": {"sha256": sha256_of(data)},
        "size": len(data),
        **changes,
    }


def offer(made: MadeRepository, project: str, wheel: Path, **changes: object) -> None:
    """Sign a wheel as a file of a project, and a page with only this file."""
    page = {**read_page(made, project), "files": [entry(wheel, **changes)]}
    sign(made, {f"packages/{project}/{wheel.name}": wheel.read_bytes()})
    sign_page(made, project, page)


def test_a_page_cannot_offer_the_signed_file_of_another_project(
    victim: Machine, made: MadeRepository
) -> None:
    """The page names it as a file of its own project."""
    page = read_page(made, "app")
    other = read_page(made, "other")["files"][0]
    other["url"] = other["url"].replace("../../packages/app", "../../packages/other")
    sign_page(made, "app", {**page, "files": [other]})
    before = victim.installed()
    done = victim.install("app")
    assert done.code in (1, 3)
    assert_explained(done)
    assert victim.installed() == before


def test_a_page_cannot_offer_the_signed_file_of_another_project_under_its_own_name(
    victim: Machine, made: MadeRepository
) -> None:
    page = read_page(made, "app")
    other = read_page(made, "other")["files"][0]
    renamed = {**other, "filename": "app-9.0-py3-none-any.whl"}
    del renamed["core-metadata"]
    sign_page(made, "app", {**page, "files": [*page["files"], renamed]})
    done = refused(victim, "app")
    assert "app-9.0-py3-none-any.whl" in done.err
    assert "signed no such file for app" in done.err


def test_a_file_whose_own_metadata_names_another_project_is_refused(
    victim: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    """Page and target are signed, but pip would take the name from METADATA."""
    evil = make_wheel(tmp_path / "x", "app", "9.0", metadata=metadata_text("other", "9.0"))
    offer(made, "app", evil)
    assert evil.name in refused(victim, "app").err


def test_a_wheel_that_was_renamed_to_another_project_stops_the_install(
    victim: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    """It has no ``.dist-info`` folder of the name that its file name claims."""
    theirs = make_wheel(tmp_path / "built", "other", "9.0")
    renamed = theirs.with_name("app-9.0-py3-none-any.whl")
    theirs.rename(renamed)
    offer(made, "app", renamed)
    before = victim.installed()
    done = victim.install("app")
    assert done.code == 1
    assert "'other-9.0.dist-info' does not start with 'app'" in done.err
    assert "not taken in its place" in done.err
    assert victim.installed() == before


def test_a_file_whose_own_metadata_names_another_version_is_refused(
    victim: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    evil = make_wheel(tmp_path / "x", "app", "9.0", metadata=metadata_text("app", "1.0"))
    offer(made, "app", evil)
    assert "app-9.0" in refused(victim, "app").err


@pytest.mark.parametrize("lie", [[], ["other"]])
def test_signed_metadata_that_is_not_the_metadata_of_the_wheel_is_refused(
    victim: Machine, made: MadeRepository, tmp_path: Path, lie: list[str]
) -> None:
    """The dependencies that were resolved must be those of the wheel."""
    wheel = make_wheel(tmp_path / "x", "app", "9.0", requires=["lib"])
    metadata = metadata_text("app", "9.0", lie).encode()
    wheel.with_name(f"{wheel.name}.metadata").write_bytes(metadata)
    offer(made, "app", wheel, **{"core-metadata": {"sha256": sha256_of(metadata)}})
    assert wheel.name in refused(victim, "app").err


def test_metadata_that_is_not_there_must_still_be_that_of_the_wheel(
    victim: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path / "x", "app", "9.0", requires=["lib"])
    offer(made, "app", wheel, **{"core-metadata": {"sha256": sha256_of(b"something else")}})
    assert wheel.name in refused(victim, "app").err


def test_a_wheel_with_two_metadata_files_is_refused(
    victim: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path / "x", "app", "9.0")
    with (
        zipfile.ZipFile(wheel, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("app-9.0.dist-info/METADATA", metadata_text("app", "9.0", ["other"]))
    offer(made, "app", wheel)
    before = victim.installed()
    done = victim.install("app")
    assert done.code in (1, 3)
    assert_explained(done)
    assert victim.installed() == before


@pytest.mark.parametrize(
    "filename",
    [
        "../../app-9.0-py3-none-any.whl",
        "..\\app-9.0-py3-none-any.whl",
        "/app-9.0-py3-none-any.whl",
        "C:app-9.0-py3-none-any.whl",
        "app-9.0-py3-none-any.whl\0.txt",
        "app-9.0-py3-none-any.whl\n",
        "--app-9.0-py3-none-any.whl",
        ".app-9.0-py3-none-any.whl",
        "app-9.0-py3-none-any.whl ",
        "app-9.0%2f..%2fpy3-none-any.whl",
        f"app-9.0+{'x' * 5000}-py3-none-any.whl",
        "\u0430pp-9.0-py3-none-any.whl",
        "",
        None,
        7,
        ["app-9.0-py3-none-any.whl"],
    ],
)
def test_a_hostile_file_name_in_a_signed_page_is_refused(
    victim: Machine, made: MadeRepository, filename: object
) -> None:
    page = read_page(made, "app")
    page["files"].append({**page["files"][-1], "filename": filename})
    sign_page(made, "app", page)
    done = refused(victim, "app")
    assert "app" in done.err
    assert len(done.err) < 2000


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"name": None},
        {"files": None},
        {"files": {}},
        {"files": [1]},
        {"meta": {"api-version": "2.0"}},
        {"meta": None},
    ],
)
def test_a_signed_page_that_is_not_of_its_form_is_refused(
    victim: Machine, made: MadeRepository, change: dict[str, object]
) -> None:
    sign_page(made, "app", {**read_page(made, "app"), **change})
    refused(victim, "app")


@pytest.mark.parametrize("data", [b"", b"[]", b"nonsense", b"[" * 100_000, b"\xff\xfe", b"null"])
def test_a_signed_page_that_is_no_json_object_is_refused(
    victim: Machine, made: MadeRepository, data: bytes
) -> None:
    sign(made, {"simple/app/index.json": data})
    refused(victim, "app")


@pytest.mark.parametrize("field", ["filename", "url", "hashes"])
def test_a_signed_page_with_an_incomplete_file_is_refused(
    victim: Machine, made: MadeRepository, field: str
) -> None:
    page = read_page(made, "app")
    del page["files"][-1][field]
    sign_page(made, "app", page)
    refused(victim, "app")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://packages.example.org/app.whl",
        "data:text/plain,x",
        "javascript:alert(1)",
        "\\\\packages.example.org\\share\\app.whl",
        "file://packages.example.org/share/app.whl",
        "http://[::1/app.whl",
        "http://packages.example.org:port/app.whl",
        "http:///app.whl",
        "http://packages.example.org/\ud800.whl",
        "\ud800.whl",
        "",
    ],
)
def test_a_url_that_cannot_be_fetched_is_an_error_in_words(
    victim: Machine, made: MadeRepository, url: str
) -> None:
    page = read_page(made, "app")
    page["files"] = [{**page["files"][-1], "url": url}]
    sign_page(made, "app", page)
    before = victim.installed()
    done = victim.install("app")
    assert done.code in (1, 3), done
    assert_explained(done)
    assert victim.installed() == before


def test_a_page_from_a_server_cannot_make_us_read_files_of_this_machine(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    """A file of this machine is refused, and its contents are not shown or sent."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"a secret of this machine")
    page = read_page(made, "app")
    page["files"] = [{**page["files"][-1], "url": secret.as_uri()}]
    sign_page(made, "app", page)
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        done = refused(machine, "app")
    assert "a secret" not in done.err + done.out


def test_a_requirement_whose_marker_has_no_meaning_is_an_error_in_words(
    victim: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    offer(made, "app", make_wheel(tmp_path / "x", "app", "9.0", ["lib; os_name ~= 'posix'"]))
    done = victim.install("app")
    assert done.code == 1
    assert_explained(done)
    assert "os_name ~=" in done.err


def test_a_page_of_ten_thousand_files_is_read_in_seconds(
    victim: Machine, made: MadeRepository
) -> None:
    page = read_page(made, "app")
    last = page["files"][-1]
    page["files"] += [
        {**last, "filename": f"app-{number}.dev1-py3-none-any.whl"} for number in range(3, 10_003)
    ]
    sign_page(made, "app", page)
    began = time.process_time()
    done = victim.install("--dry-run", "app")
    assert done.code == 0, done.err
    assert "Would install app-2.0 lib-1.0" in done.out
    assert time.process_time() - began < 30


def test_a_page_that_was_signed_with_more_bytes_than_any_page_has_is_not_fetched(
    victim: Machine, made: MadeRepository
) -> None:
    """The file is sparse: it takes no space, and nothing reads it."""
    repository = made.repository
    with repository.lock():
        roles = repository.roles()
        name = roles.bin_of("simple/app/index.json")
        role = roles.role(name)
        role.signed.targets["simple/app/index.json"].length = MAX_PAGE_BYTES + 1
        repository.sign({name: role})
    assert str(MAX_PAGE_BYTES + 1) in refused(victim, "app").err


def test_metadata_beyond_any_size_is_not_read(
    victim: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    """Beside the wheel its hash is right, and inside the wheel it is small while packed."""
    huge = metadata_text("app", "9.0").encode() + bytes(MAX_METADATA_BYTES)
    wheel = make_wheel(tmp_path / "x", "app", "9.0", metadata=huge.decode())
    assert wheel.stat().st_size < 100_000
    wheel.with_name(f"{wheel.name}.metadata").write_bytes(huge)
    offer(made, "app", wheel, **{"core-metadata": {"sha256": sha256_of(huge)}})
    assert wheel.name in refused(victim, "app").err
    offer(made, "app", wheel)
    before = victim.installed()
    done = victim.install("app")
    assert done.code == 1
    assert "larger than" in done.err
    assert victim.installed() == before


def test_what_a_terminal_would_obey_is_shown_as_text(
    victim: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    """Otherwise a name could clear the screen and write "Successfully installed"."""
    name = "evil\x1b[2J\x9b2J\u202egnp"
    evil = make_wheel(tmp_path / "x", "app", "9.0", metadata=metadata_text(name, "9.0"))
    offer(made, "app", evil)
    done = refused(victim, "app")
    assert "evil\\x1b[2J" in done.err
    assert all(each.isprintable() or each == "\n" for each in done.err + done.out)


@pytest.mark.parametrize(
    "member",
    [
        "app-9.0.dist-info/./METADATA",
        "app-9.0.dist-info//METADATA",
        "x/../app-9.0.dist-info/METADATA",
        "./app-9.0.dist-info/METADATA",
        "app-9.0.dist-info/metadata",
        "app-9.0.data/purelib/app-9.0.dist-info/METADATA",
        "app-9.0.data/./purelib/app-9.0.dist-info/METADATA",
        "app-9.0.data/platlib/./app-9.0.dist-info/direct_url.json",
        "app-9.0.data/purelib/lib-1.0.dist-info/METADATA",
        "lib-1.0.dist-info/METADATA",
        "lib-1.0.egg-info",
        "app-9.0.data/data/lib/python3/site-packages/lib-1.0.dist-info/METADATA",
    ],
)
def test_a_wheel_cannot_replace_its_verified_metadata_by_another_way(
    victim: Machine, made: MadeRepository, tmp_path: Path, member: str
) -> None:
    """Pip would read or install the other metadata."""
    other = metadata_text("app", "9.0")
    offer(made, "app", make_wheel(tmp_path / "x", "app", "9.0", ["lib"], files={member: other}))
    assert re.search(
        r"app-9\.0-py3-none-any\.whl(: multiple \.dist-info directories| holds)",
        refused(victim, "app").err,
    )
