"""An index whose second answer is forged: pip accepts it, and securepip does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from hashlib import md5
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from securepip.errors import SecurepipError
from securepip.first_use.memory_file import Seen, extend_memory, read_memory
from securepip.first_use.setup import protect
from securepip.first_use.signer import Signers
from securepip.formats.digests import parse_sha256
from securepip.index import Store
from securepip.transport import TransportOptions, file_url_to_path
from securepip.trust import FirstUseRules, TrustStore
from tests.support.indexes import Index, serve_index
from tests.support.machine import Finished, Machine
from tests.support.wheels import make_wheel

WHEEL = "app-2.0-py3-none-any.whl"


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A wheel with the name and metadata of app 2.0, and other code."""
    code = {"app/__init__.py": "VERSION = 'evil'\n"}
    return make_wheel(tmp_path / "evil", "app", "2.0", requires=["lib"], files=code)


@pytest.fixture
def seen(protected: Machine) -> Machine:
    """The machine has installed app 2.0 once, and removed it."""
    assert protected.install("app").code == 0
    protected.remove("app", "lib")
    return protected


def fool_pip(machine: Machine, index: Index) -> None:
    """Check that plain pip installs the index's present file."""
    fooled = machine.pip_install(index.url, "app")
    assert fooled.code == 0, fooled.err
    assert machine.version_of("app") == "evil"
    machine.remove("app", "lib")


def tell_md5(index: Index) -> None:
    """Put the present md5 of app 2.0 on the pages of both forms."""
    file = index.projects["app"][WHEEL]
    digest = md5(file.data, usedforsecurity=False).hexdigest()
    file.fields["hashes"] = {"md5": digest}
    file.url = f"{file.url.partition('#')[0]}#md5={digest}"


def assert_refused(done: Finished, machine: Machine, *words: str) -> None:
    assert done.code == 3, done.out + done.err
    assert machine.freeze() == []
    for word in words:
        assert word in done.err


def test_a_published_file_with_other_bytes_is_refused_until_a_person_accepts_it(
    seen: Machine, index: Index, evil: Path
) -> None:
    index.offer(evil)
    fool_pip(seen, index)
    done = seen.install("app")
    assert_refused(done, seen, "other bytes", "seen first", f"trust accept-change {WHEEL}")
    assert_refused(seen.install("app"), seen)  # not forgotten by being said once

    assert seen.install("app<2").code == 0, "what was not changed can be installed"
    why = "its author said so at a meeting"
    assert seen.run("trust", "accept-change", WHEEL, "--why", why).code == 0
    own = TrustStore(Path(seen.variables["SECUREPIP_DATA_DIR"]) / "trust").read().repositories
    folders = [file_url_to_path(each.location) for each in own]
    said = "".join(seen.run("repo", "log", folder).out for folder in folders)
    assert f"trust accept-change {WHEEL}\n    because: {why}\n" in said
    done = seen.install("-U", "app")
    assert done.code == 0, done.err
    assert seen.version_of("app") == "evil"


def test_a_file_that_vanished_and_came_back_with_other_bytes_is_refused(
    seen: Machine, index: Index, evil: Path
) -> None:
    index.withdraw("app", WHEEL)
    assert seen.install("app").code == 0
    assert seen.freeze() == ["app==1.0"]
    seen.remove("app")
    index.offer(evil)
    fool_pip(seen, index)
    assert_refused(seen.install("app"), seen, "other bytes")


def test_bytes_that_are_swapped_behind_an_unchanged_page_are_refused(
    seen: Machine, index: Index
) -> None:
    honest = index.projects["app"][WHEEL]
    honest.data = honest.data[::-1]
    done = seen.install("--no-cache-dir", "app")
    assert_refused(done, seen, "is not what was signed")


def test_a_page_that_lost_most_of_its_files_is_refused_until_a_person_accepts_it(
    protected: Machine, index: Index, tmp_path: Path
) -> None:
    index.offer(*(make_wheel(tmp_path / "more", "lib", f"1.{n}") for n in range(1, 6)))
    assert protected.install("lib").code == 0
    protected.remove("lib")
    index.withdraw("lib", *(f"lib-1.{n}-py3-none-any.whl" for n in range(1, 6)))
    assert protected.pip_install(index.url, "lib").code == 0
    protected.remove("lib")
    assert_refused(protected.install("lib"), protected, "trust accept-change lib")
    assert protected.run("trust", "accept-change", "lib").code == 0
    done = protected.install("lib")
    assert done.code == 0, done.err
    assert protected.freeze() == ["lib==1.0"]


def test_only_what_was_refused_can_be_accepted(seen: Machine) -> None:
    for what in ("app", "lib", WHEEL, "nothing", "nothing-1.0.tar.gz"):
        done = seen.run("trust", "accept-change", what)
        assert done.code == 1, what
        assert "nothing about" in done.err


def test_a_project_in_quarantine_is_not_installed(protected: Machine, index: Index) -> None:
    index.status["lib"] = "quarantined"
    done = protected.install("lib")
    assert done.code == 1
    assert "quarantine" in done.err
    assert protected.freeze() == []


def test_a_file_that_is_too_young_is_left_out_and_said(machine: Machine, index: Index) -> None:
    index.projects["app"][WHEEL].upload_time = "2999-01-01T00:00:00.000000Z"
    done = machine.run("trust", "first-use", "--index-url", index.url, "--min-age", "3d")
    assert done.code == 0, done.err
    done = machine.install("app")
    assert done.code == 0, done.err
    assert machine.freeze() == ["app==1.0"]
    assert f"younger than 3 days and left out, the newest {WHEEL}" in done.out
    # It is too young because it comes from the future: a person has to hear of the clock.
    assert re.search(rf"clock says that it is {date.today():%Y}-.*\n?.*{WHEEL}", done.err)
    assert done.err.count("2999-01-01 00:00 UTC") == 1
    assert "set it right" in " ".join(done.err.split())


@pytest.fixture
def mirror(index: Index) -> Iterator[Index]:
    """Another index with the same files."""
    with serve_index() as mirror:
        for name, files in index.projects.items():
            mirror.projects[name] = dict(files)
        yield mirror


def test_a_consistently_forged_first_answer_is_refused_where_a_witness_shows_another(
    machine: Machine, index: Index, mirror: Index, evil: Path
) -> None:
    done = machine.run("trust", "first-use", "--index-url", index.url, "--witness", mirror.url)
    assert done.code == 0, done.err
    index.offer(evil)
    fool_pip(machine, index)
    assert_refused(machine.install("app"), machine, "not the same everywhere", mirror.host)
    assert machine.install("lib").code == 0


def test_a_file_that_a_witness_lacks_is_left_out_until_it_has_it(
    machine: Machine, index: Index, mirror: Index
) -> None:
    late = mirror.projects["app"].pop(WHEEL)
    machine.run("trust", "first-use", "--index-url", index.url, "--witness", mirror.url)
    done = machine.install("app")
    assert done.code == 0, done.err
    assert machine.freeze() == ["app==1.0"]
    mirror.projects["app"][WHEEL] = late
    done = machine.install("-U", "app")
    assert done.code == 0, done.err
    assert machine.freeze() == ["app==2.0", "lib==1.0"]


def test_a_memory_file_can_be_read_whatever_an_index_calls_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with a space in its name made each later command fail."""
    memory = tmp_path / "seen.txt"
    odd = Seen("app- 1.0.tar.gz", parse_sha256("0" * 64), date(2026, 1, 2))
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "precious").write_text("kept")
    (tmp_path / ".seen.txt.lock").symlink_to("precious")
    assert extend_memory(memory, [odd])
    assert read_memory(memory) == {odd.filename: odd}
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize("says_md5", [False, True])
def test_bytes_that_are_swapped_where_no_page_tells_a_sha256_are_refused(
    protected: Machine, index: Index, evil: Path, *, says_md5: bool
) -> None:
    """The page stays the same, or tells their md5: only who has seen the file can tell."""
    index.says_sha256 = index.speaks_json = False
    if says_md5:
        tell_md5(index)
    assert protected.install("app").code == 0
    protected.remove("app", "lib")
    index.offer(evil)
    if says_md5:
        tell_md5(index)
    fool_pip(protected, index)
    done = protected.install("--no-cache-dir", "app")
    assert_refused(done, protected, "not what was signed", f"trust accept-change {WHEEL}")

    assert protected.run("trust", "accept-change", WHEEL).code == 0
    assert protected.run("trust", "accept-change", WHEEL).code == 1, "nothing else is accepted"
    assert protected.install("--no-cache-dir", "app").code == 0
    assert protected.version_of("app") == "evil"


@pytest.mark.parametrize("speaks_json", [True, False])
def test_a_file_has_the_md5_that_its_page_tells_or_is_refused(
    protected: Machine, index: Index, evil: Path, *, speaks_json: bool
) -> None:
    index.says_sha256, index.speaks_json = False, speaks_json
    tell_md5(index)
    file = index.projects["app"][WHEEL]
    honest, file.data = file.data, evil.read_bytes()
    done = protected.install("app")
    assert_refused(done, protected, WHEEL, "is not what its index says", "md5:")
    file.data = honest
    assert protected.install("app").code == 0, "nothing is kept of what was refused"


def test_a_file_without_a_sha256_is_left_out_where_a_witness_has_to_show_the_same(
    machine: Machine, index: Index
) -> None:
    index.says_sha256 = False
    machine.run("trust", "first-use", "--index-url", index.url, "--witness", index.url)
    done = machine.install("app")
    assert done.code == 1, done.out
    assert "no sha256" in done.err
    assert machine.freeze() == []


def test_a_project_whose_page_could_not_be_read_is_not_looked_up_elsewhere(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the next who asks either: another repository may know the name too."""
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "data"))
    store = TrustStore(tmp_path / "data" / "trust")
    name = protect(index.url, FirstUseRules(), store).repository.name
    app = canonicalize_name("app")

    def fail(*_anything: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("securepip.first_use.signer.sign_pages", fail)
    with Signers(TransportOptions(), Store(tmp_path / "store")) as signers:
        signer = signers(store.read())[name]
        with pytest.raises(RuntimeError):
            signer.prepare_pages([app])
        signer.prepare_pages([app])
        with pytest.raises(SecurepipError, match="a defect"):
            signer.check(app)

    def refuse(*_anything: object) -> None:
        raise PermissionError(13, "Permission denied", "/state")

    monkeypatch.setattr("securepip.first_use.signer.sign_pages", refuse)
    with Signers(TransportOptions(), Store(tmp_path / "store")) as signers:
        signer = signers(store.read())[name]
        with pytest.raises(PermissionError):
            signer.prepare_pages([app])
        with pytest.raises(SecurepipError, match=r"^/state cannot be used"):
            signer.check(app)


def test_a_memory_that_another_machine_has_made_binds_this_one(
    machine: Machine, index: Index, evil: Path, tmp_path: Path
) -> None:
    memory = tmp_path / "seen.txt"
    command = ("trust", "first-use", "--index-url", index.url, "--memory", memory)
    assert machine.run(*command).code == 0
    assert machine.install("app").code == 0
    assert [line.split()[0] for line in memory.read_text().splitlines()[2:]] == [
        WHEEL,
        "lib-1.0-py3-none-any.whl",
    ]
    machine.remove("app", "lib")

    another = {"SECUREPIP_DATA_DIR": str(tmp_path / "another")}
    assert machine.run(*command, **another).code == 0
    index.offer(evil)
    fool_pip(machine, index)
    done = machine.install("app", **another)
    assert_refused(done, machine, "other bytes")
    fourth = {"SECUREPIP_DATA_DIR": str(tmp_path / "fourth")}
    before = memory.read_text()
    assert machine.run("trust", "accept-change", WHEEL, **another).code == 0
    assert machine.run(*command, **fourth).code == 0
    assert machine.install("app", **fourth).code == 0, "the memory holds what a person accepted"
    memory.write_text(before.replace("app-2.0", "app-9.0"))
    third = {"SECUREPIP_DATA_DIR": str(tmp_path / "third")}
    assert machine.run(*command, **third).code == 0
    assert machine.install("app", **third).code == 0, "without the line it is first use again"


def test_of_an_index_that_cannot_be_reached_it_is_said_what_to_look_at(machine: Machine) -> None:
    machine.run("trust", "first-use", "--index-url", "http://127.0.0.1:9/simple")
    done = machine.run("install", "--retries", "0", "app")
    assert done.code == 1
    assert "cannot reach http://127.0.0.1:9/" in done.err
    assert "Check the address, your network and your proxy settings" in done.err
