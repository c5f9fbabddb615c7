"""``repo audit`` of two copies of a repository, in folders or at URLs."""

from __future__ import annotations

import errno
import json
import re
import shutil
from pathlib import Path

import pytest
from tuf.api.metadata import MetaFile

from securepip.engine import opened
from securepip.signing.offline.rotate import NewKeys, rotate
from securepip.signing.publish.remove import remove
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.site import FolderSite
from tests.support.disks import fail_to_read
from tests.support.hostile import serve_hostile
from tests.support.machine import Machine
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import MadeRepository, make_repository, serve
from tests.support.wheels import make_wheel


@pytest.fixture
def own(tmp_path: Path) -> MadeRepository:
    return make_repository(
        tmp_path / "own",
        make_wheel(tmp_path, "app", "1.0"),
        make_wheel(tmp_path, "lib", "1.0"),
        expected_files=1,
    )


@pytest.fixture
def copy(own: MadeRepository, tmp_path: Path) -> Path:
    """A copy of what was served at first."""
    for name in ("metadata", "simple", "packages"):
        shutil.copytree(own.folder / name, tmp_path / "copy" / name)
    return tmp_path / "copy"


def test_two_copies_of_one_state_do_not_differ(
    own: MadeRepository, copy: Path, machine: Machine
) -> None:
    done = machine.run("repo", "audit", own.folder, copy)
    assert (done.code, done.out) == (0, "No difference.\n")


def test_the_database_that_is_named_remembers_where_the_trust_of_the_first_begins(
    own: MadeRepository, copy: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    def site_of(address: str, database: str | None = None) -> FolderSite:
        asked.append(database)
        return FolderSite(Path(address))

    monkeypatch.setattr(opened, "site_of", site_of)
    done = machine.run(
        "repo", "audit", own.folder, copy, "--database", "postgresql://db/repository"
    )
    assert (done.code, asked) == (0, ["postgresql://db/repository"]), done.err


def test_what_was_added_changed_and_removed_is_listed(
    own: MadeRepository, copy: Path, machine: Machine, tmp_path: Path
) -> None:
    own.add(make_wheel(tmp_path, "app", "2.0"))
    remove(own.repository, "lib")
    done = machine.run("repo", "audit", copy, own.folder)
    assert done.code == 1
    for line in (
        "added    packages/app/app-2.0-py3-none-any.whl ",
        "changed  simple/app/index.json ",
        "removed  packages/lib/lib-1.0-py3-none-any.whl ",
        "removed  simple/lib/index.json ",
    ):
        assert line in done.out
    assert "older" not in done.out
    back = machine.run("repo", "audit", own.folder, copy)
    assert "older    timestamp: version " in back.out
    assert re.search(r"^older    \d+ bins?$", back.out, re.MULTILINE)
    assert "older    bin-" not in back.out
    assert "older    bin-" in machine.run("repo", "audit", "-v", own.folder, copy).out
    machines = json.loads(machine.run("repo", "audit", copy, own.folder, "--json").out)
    assert {change["path"] for change in machines["targets"] if change["before"] is None} == {
        "packages/app/app-2.0-py3-none-any.whl"
    }


def test_changed_keys_and_claims_are_listed(
    own: MadeRepository, copy: Path, machine: Machine
) -> None:
    maintainers = Maintainers.of(2, threshold=2)
    claim(own, "app", maintainers)
    with Repository.open(own.folder, keys=[own.online_keys, own.offline_keys]) as repository:
        done = rotate(repository, "bins", NewKeys(own.offline_keys))
    (old,), (new,) = done.out, done.came
    said = machine.run("repo", "audit", copy, own.folder)
    assert said.code == 1
    assert f"key of bins that only the first names: {old}" in said.out
    assert f"key of bins that only the second names: {new}" in said.out
    assert "threshold of project.app: 0 and 2" in said.out
    for signer in maintainers.signers:
        assert f"key of project.app that only the second names: {signer.public_key.keyid}" in (
            said.out
        )


def test_two_mirrors_are_compared_over_the_network(
    own: MadeRepository, copy: Path, machine: Machine, tmp_path: Path
) -> None:
    with serve_hostile(copy) as first, serve(own.folder) as second:
        assert machine.run("repo", "audit", first.url, second).code == 2
        words = ("repo", "audit", first.url, second, "--root-sha256", own.root_sha256)
        assert machine.run(*words).out == "No difference.\n"
        own.add(make_wheel(tmp_path, "app", "2.0"))
        done = machine.run(*words)
        assert done.code == 1
        assert "added    packages/app/app-2.0-py3-none-any.whl" in done.out
        first.alter(r"metadata/1\.targets\.json", lambda data: data.replace(b"bins", b"bans"))
        done = machine.run(*words)
        assert done.code == 3
        assert "This copy is damaged, or somebody changed it" in done.err


def test_a_current_file_that_is_gone_is_named(own: MadeRepository, machine: Machine) -> None:
    version = own.repository.roles().meta("bin-0").version
    path = own.folder / "metadata" / f"{version}.bin-0.json"
    path.unlink()
    done = machine.run("repo", "audit", own.folder)
    assert done.code == 1
    assert f"{path} cannot be read" in done.err


def test_a_copy_that_was_tampered_with_proves_nothing(
    own: MadeRepository, copy: Path, machine: Machine
) -> None:
    path = next((copy / "metadata").glob("*.bin-0.json"))
    path.write_bytes(path.read_bytes().replace(b'"version":', b'"version": '))
    document = json.loads(path.read_bytes())
    document["signed"]["targets"] = {}
    document["signed"]["expires"] = "2099-01-01T00:00:00Z"
    path.write_text(json.dumps(document))
    done = machine.run("repo", "audit", own.folder, copy)
    assert done.code == 3
    assert "not signed as it has to be" in done.err


@pytest.mark.parametrize(
    "name", ["x/../../evil.json", "x%2f..json", "\N{GREEK SMALL LETTER ALPHA}.json"]
)
def test_no_name_that_a_mirror_lists_leads_out_of_its_folder(
    own: MadeRepository, copy: Path, machine: Machine, name: str
) -> None:
    """Neither of the folder, to which it is written, nor of the URL, from which it is fetched."""
    with own.repository.lock():
        own.repository.roles().snapshot.signed.meta[name] = MetaFile(1)
        own.repository.sign({})
    asked: list[str] = []
    with serve(own.folder, asked) as url:
        done = machine.run("repo", "audit", copy, url, "--root-sha256", own.root_sha256)
    assert done.code == 3
    assert f"lists a role that cannot be: {name!r}" in done.err
    assert not any("1.x" in line or "evil" in line for line in asked)


def _fail_to_read(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """Let the disk fail at files of the folder that end with ``name``."""
    error = OSError(errno.EIO, "Input/output error")  # as of a read: without the name
    fail_to_read(
        monkeypatch, lambda path: path.parent == folder and path.name.endswith(name), error
    )


def test_a_repository_that_cannot_be_read_just_now_leaves_it_to_no_copy_where_trust_begins(
    own: MadeRepository, tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second copy has another root, by which the first one would look forged."""
    another = make_repository(tmp_path / "another", make_wheel(tmp_path, "app", "1.0"))
    _fail_to_read(monkeypatch, own.folder / "state", "config.json")
    done = machine.run("repo", "audit", own.folder, another.folder)
    assert done.code == 1
    assert "config.json cannot be read: [Errno 5] Input/output error" in done.err


@pytest.mark.parametrize("kind", ["1.root", "timestamp", "targets", "page"])
def test_what_signs_calls_no_disk_that_fails_an_attack(
    own: MadeRepository,
    tmp_path: Path,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    folder, name = own.folder / "metadata", f"{kind}.json"
    if kind == "page":
        folder, name = own.folder / "simple" / "app", ".index.json"
    _fail_to_read(monkeypatch, folder, name)
    wheel = make_wheel(tmp_path, "app", "2.0")
    done = machine.run("repo", "add", own.folder, wheel, "--keys", own.online_keys)
    assert done.code == 1, done.err
    assert f"{name} cannot be used: Input/output error" in done.err
    assert "This machine is the reason" in done.err
    assert "backup" not in done.err


@pytest.mark.parametrize("name", ["1.root.json", "timestamp.json", "bin-0.json"])
def test_a_copy_that_cannot_be_read_just_now_is_not_called_damaged(
    own: MadeRepository, copy: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A failing disk does not mean that somebody changed the copy: exit code 1, not 3."""
    _fail_to_read(monkeypatch, copy / "metadata", name)
    done = machine.run("repo", "audit", own.folder, copy)
    assert done.code == 1
    assert f"{name} cannot be used: Input/output error" in done.err
    assert str(copy / "metadata") in done.err
    assert "damaged" not in done.err
