"""``securepip verify``: what it finds, and that it finds nothing where all is as it was signed."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import textwrap
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from packaging.utils import canonicalize_name

from securepip.cli.asking.verify import _say
from securepip.signing.publish.add import add
from securepip.signing.publish.remove import remove
from securepip.verify import strays
from securepip.verify.types import NOT_SIGNED, Checked, Finding, Kind, Report, Status
from securepip.verify.wheel import read_wheel
from tests.support.documents import ROOT
from tests.support.indexes import serve_index
from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository, make_repository, serve
from tests.support.wheels import make_sdist, make_wheel

_ENTRY = "[console_scripts]\ntool = tool.main:run\n"


@dataclass(frozen=True)
class Site:
    """An environment into which many distributions were installed, and who signed them."""

    machine: Machine
    made: MadeRepository
    requests: list[str]

    @property
    def packages(self) -> Path:
        return self.machine.site_packages

    def verify(self, *words: str) -> Finished:
        return self.machine.run("verify", "--python", self.machine.environment, *words)

    def found(self, *words: str) -> dict[str, dict[str, Any]]:
        """The distributions of the answer in JSON, by name."""
        document = json.loads(self.verify("--json", *words).out)
        rows: list[dict[str, Any]] = document["distributions"]
        return {row["name"]: row for row in rows}


def _kinds(row: dict[str, Any]) -> list[tuple[str, int]]:
    return sorted((finding["kind"], finding["exit_code"]) for finding in row["findings"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, empty_environment: Path) -> Iterator[Site]:
    """Thirty distributions, each of several modules; one with a script, one from an sdist."""
    folder = tmp_path_factory.mktemp("site")
    built = folder / "built"
    wheels = [
        make_wheel(built, f"d{n}", "1.0", files={
            f"d{n}/__init__.py": f"VERSION = {n}\n",
            f"d{n}/inner/__init__.py": "",
            f"d{n}/inner/data.txt": "data\n" * n,
        })
        for n in range(27)
    ]  # fmt: skip
    tool = make_wheel(
        built, "tool", "1.0", entry_points=_ENTRY,
        files={
            "tool/main.py": "def run():\n    return 0\n",
            "tool-1.0.data/scripts/old-tool": "#!python\nprint(1)\n",
            "tool-1.0.data/data/share/tool.txt": "shared\n",
        },
    )  # fmt: skip
    shared = [
        make_wheel(built, f"shared-{one}", "1.0", files={f"shared/{one}.py": f"NAME = '{one}'\n"})
        for one in ("one",)
    ]
    made = make_repository(
        folder / "repository", *wheels, tool, *shared, make_sdist(built, "source", "1.0"),
        make_wheel(built, "second", "1.0"), make_wheel(built, "second", "2.0"),
        expected_files=100,
    )  # fmt: skip
    machine = Machine(folder, empty_environment)
    requests: list[str] = []
    with serve(made.folder, requests) as url:
        machine.trust(made, url)
        names = [f"d{n}" for n in range(27)]
        done = machine.install(*names, "tool", "shared-one", "source", "second")
        assert done.code == 0, done.err
        yield Site(machine, made, requests)


@pytest.fixture
def restored(site: Site) -> Iterator[Site]:
    """The same, put back afterwards."""
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in site.machine.environment.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    yield site
    for path in sorted(site.machine.environment.rglob("*"), reverse=True):
        if path.is_file() and not path.is_symlink() and path not in before:
            path.unlink()
        elif path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
    for path, (data, moment) in before.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != data:
            path.write_bytes(data)
        os.utime(path, ns=(moment, moment))


@pytest.fixture
def withdrawn(restored: Site) -> Iterator[Site]:
    """``second`` 2.0 was withdrawn; it comes back afterwards, and the machine sees that."""
    remove(restored.made.repository, "second==2.0")
    yield restored
    wheel = restored.machine.folder / "built" / "second-2.0-py3-none-any.whl"
    add(restored.made.repository, [wheel], restore=True)
    assert restored.verify("second").code == 0


def test_nothing_is_found_in_a_clean_environment_and_next_to_nothing_is_asked(site: Site) -> None:
    site.requests.clear()
    done = site.verify()
    assert done.code == 0, done.out
    assert "30 what was signed by made" in done.out
    assert "1 built from signed source: source 1.0" in done.out
    assert "Nothing is changed, missing or added." in done.out
    # One refresh: is there a new root, and the timestamp.
    assert len(site.requests) <= 2, site.requests


def _write_later(path: Path) -> None:
    """Write text of the same length, in another second than the one that byte code names."""
    moment = path.stat().st_mtime + 5
    path.write_text("VERSION = 6\n")
    os.utime(path, (moment, moment))


def _changed_file(site: Site) -> None:
    _write_later(site.packages / "d1" / "__init__.py")


def _changed_with_its_record(site: Site) -> None:
    """As somebody who knows RECORD: the file and what RECORD says of it."""
    path = site.packages / "d1" / "__init__.py"
    _write_later(path)
    digest = urlsafe_b64encode(sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
    _edit_record(site, "d1", lambda row: [row[0], f"sha256={digest}", row[2]]
                 if row[0] == "d1/__init__.py" else row)  # fmt: skip


def _missing_file(site: Site) -> None:
    (site.packages / "d1" / "inner" / "data.txt").unlink()


def _added_file(site: Site) -> None:
    (site.packages / "d1" / "inner" / "more.py").write_text("print('here')\n")


def _added_with_a_record(site: Site) -> None:
    (site.packages / "d1" / "more.py").write_text("print('here')\n")
    _edit_record(site, "d1", lambda row: row, ["d1/more.py", "", ""])


def _stale_byte_code(site: Site) -> None:
    (path,) = (site.packages / "d1" / "__pycache__").glob("__init__*.pyc")
    data = path.read_bytes()
    path.write_bytes(data[:8] + b"\0\0\0\1" + data[12:])


def _byte_code_that_python_never_compares(site: Site) -> None:
    (path,) = (site.packages / "d1" / "__pycache__").glob("__init__*.pyc")
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\1\0\0\0" + b"x" * 8 + data[16:])


def _byte_code_of_no_source(site: Site) -> None:
    (path,) = (site.packages / "d1" / "__pycache__").glob("__init__*.pyc")
    path.with_name(path.name.replace("__init__", "gone")).write_bytes(path.read_bytes())


def _module_of_byte_code_alone(site: Site) -> None:
    (path,) = (site.packages / "d1" / "__pycache__").glob("__init__*.pyc")
    (site.packages / "d1" / "shadow.pyc").write_bytes(path.read_bytes())


def _no_record(site: Site) -> None:
    (site.packages / "d1-1.0.dist-info" / "RECORD").unlink()


def _record_that_leads_out(path: str) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        _edit_record(site, "d1", lambda row: row, [path, "sha256=AAAA", "1"])

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_changed_file, [("byte-code", 1), ("changed", 3)]),
        (_changed_with_its_record, [("byte-code", 1), ("changed", 3)]),
        (_missing_file, [("missing", 1)]),
        (_added_file, [("added", 1)]),
        (_added_with_a_record, [("added", 3)]),
        (_stale_byte_code, [("byte-code", 1)]),
        (_byte_code_that_python_never_compares, [("byte-code", 3)]),
        (_byte_code_of_no_source, [("byte-code", 1)]),
        (_module_of_byte_code_alone, [("added", 1)]),
        (_no_record, [("record", 3)]),
        (_record_that_leads_out("/etc/passwd"), [("outside", 3)]),
        (_record_that_leads_out("../../../../outside"), [("outside", 3)]),
        (_record_that_leads_out("d1/../../../../../x"), [("outside", 3)]),
    ],
)
def test_a_difference_is_found_and_nothing_else(
    restored: Site, change: Callable[[Site], None], expected: list[tuple[str, int]]
) -> None:
    change(restored)
    rows = restored.found()
    assert _kinds(rows["d1"]) == expected
    assert [name for name, row in rows.items() if row["findings"]] == ["d1"]
    done = restored.verify("d1")
    assert done.code == max(code for _, code in expected)
    assert "d1 1.0" in done.out


def _edit_record(
    site: Site,
    project: str,
    change: Callable[[list[str]], list[str]],
    *more: list[str],
) -> None:
    path = site.packages / f"{project}-1.0.dist-info" / "RECORD"
    rows = [change(row) for row in csv.reader(io.StringIO(path.read_text())) if row]
    text = io.StringIO()
    csv.writer(text).writerows([*rows, *more])
    path.write_text(text.getvalue())


@pytest.fixture
def made_elsewhere(tmp_path: Path) -> Path:
    """A wheel of the user's own; beside it one that somebody else put there."""
    make_wheel(tmp_path, "foreign", "1.0")
    return make_wheel(tmp_path / "own", "elsewhere", "1.0")


def test_what_runs_when_python_starts_is_found_at_the_top(restored: Site) -> None:
    (restored.packages / "evil.pth").write_text("import os\n")
    (restored.packages / "evil.py").write_text("")
    document = json.loads(restored.verify("--json").out)
    assert [Path(stray["path"]).name for stray in document["strays"]] == ["evil.pth", "evil.py"]
    assert document["exit_code"] == 1


def test_scripts_that_installers_write_are_known_and_others_are_not(restored: Site) -> None:
    script = restored.machine.environment / "bin" / "tool"
    text = script.read_text()
    bin_folder = script.parent
    (bin_folder / "python6.66").symlink_to("/bin/sh")
    for line in ("import os; os.system('true')\n", "sys.exit(run() or run())\n"):
        script.write_text(f"{text}{line}")
        assert _kinds(restored.found("tool")["tool"]) == [("changed", 3)]
    for python in ("/opt/python", str(bin_folder / "python6.66")):
        script.write_text(text.replace(text.splitlines()[0], f"#!{python}"))
        assert _kinds(restored.found("tool")["tool"]) == [("changed", 3)]
    (bin_folder / "python6.66").unlink()
    script.write_text(text)
    old = restored.machine.environment / "bin" / "old-tool"
    text = old.read_text()
    first, rest = text.splitlines(keepends=True)
    for wrong in (
        text.replace("print(1)", "print(2)"),
        f"#!/opt/python\n{rest}",
        f"{first.rstrip()} -c 'import os'\n{rest}",
        f"#!/bin/sh\n'''exec' \"/opt/python\" \"$0\" \"$@\"\n' '''\n{rest}",
        f"#!/bin/sh\necho here\nexit\n{rest}",
    ):
        old.write_text(wrong)
        assert _kinds(restored.found("tool")["tool"]) == [("changed", 3)], wrong
    python = first[2:].strip()
    old.write_text(f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n{rest}")
    assert _kinds(restored.found("tool")["tool"]) == []


def test_what_the_wheel_says_of_the_digest_of_a_file_does_not_count(
    site: Site, tmp_path: Path
) -> None:
    """The bytes in the wheel are what was signed; RECORD in it may say anything."""
    wheel = read_wheel(
        make_wheel(tmp_path, "x", "1", files={"x.py": "1\n"}), "x-1-py3-none-any.whl"
    )
    assert wheel.members["x.py"].sha256 == sha256(b"1\n").hexdigest()


def test_what_is_not_signed_is_named_for_what_it_is(
    withdrawn: Site, tmp_path: Path, made_elsewhere: Path
) -> None:
    """A release that was revoked, a distribution of nobody's, a file of the user's own."""
    machine = withdrawn.machine
    done = machine.pip("install", "--no-index", "--no-deps", str(made_elsewhere))
    assert done.code == 0, done.err
    done = machine.pip("install", "--no-index", "--find-links", str(tmp_path), "foreign")
    assert done.code == 0, done.err
    (withdrawn.packages / "d3" / "__init__.py").write_text("changed\n")
    (withdrawn.packages / "d4" / "added.py").write_text("added\n")
    _stale_byte_code(withdrawn)
    done = withdrawn.verify()
    assert done.code == 3
    rows = withdrawn.found()
    found = {name: (row["status"], _kinds(row)) for name, row in rows.items() if row["findings"]}
    assert found == {
        "d1": ("signed", [("byte-code", 1)]),
        "d3": ("signed", [("byte-code", 1), ("changed", 3)]),
        "d4": ("signed", [("added", 1)]),
        "foreign": ("unsigned", [("unsigned", 3)]),
        "second": ("withdrawn", [("withdrawn", 3)]),
    }
    assert rows["elsewhere"]["status"] == "local"
    assert rows["source"]["status"] == "built"
    assert withdrawn.verify("d5", "source").code == 0
    assert withdrawn.verify("nothing-here").code == 1


def test_what_an_index_advises_against_and_what_is_edited_in_place_is_said(
    machine: Machine, tmp_path: Path
) -> None:
    with serve_index() as index:
        wheels = [make_wheel(tmp_path / "built", name, "1.0") for name in ("bad", "good", "old")]
        index.offer(*wheels)
        assert machine.run("trust", "first-use", "--index-url", index.url).code == 0
        assert machine.install("bad", "good", "old").code == 0
        dist_info = machine.site_packages / "mine-0.1.dist-info"
        dist_info.mkdir()
        (dist_info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 0.1\n")
        (dist_info / "RECORD").write_text("mine-0.1.dist-info/RECORD,,\n")
        (dist_info / "direct_url.json").write_text(
            json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
        )
        index.status["bad"] = "quarantined"
        index.projects["old"][wheels[2].name].fields["yanked"] = "it loses data"
        words = ("verify", "--python", machine.environment)
        with mock.patch("securepip.first_use.memory.FRESH_SECONDS", 0.0):
            done = machine.run(*words, "--json")
            told = machine.run(*words)
    rows = {row["name"]: row for row in json.loads(done.out)["distributions"]}
    assert done.code == 1
    assert _kinds(rows["bad"]) == [("quarantined", 1)]
    assert _kinds(rows["old"]) == [("yanked", 1)]
    assert "it loses data" in rows["old"]["findings"][0]["what"]
    assert (rows["good"]["status"], rows["good"]["findings"]) == ("signed", [])
    assert (rows["mine"]["status"], rows["mine"]["source"]) == ("editable", tmp_path.as_uri())
    assert "1 your own folder, editable: mine 0.1" in told.out


def test_a_wheel_that_states_its_own_origin_is_not_the_users_own(
    restored: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would be compared then, and ``pip freeze`` would write the wheel's URL."""
    url = "https://evil.example/sly-1.0-py3-none-any.whl"
    stated = "sly-1.0.dist-info/direct_url.json"
    files = {
        "sly.py": "",
        stated: json.dumps({"url": url, "archive_info": {}}),
        "sly-1.0.dist-info/INSTALLER": "sly\n",
        "sly-1.0.dist-info/REQUESTED": "sly\n",
    }
    wheel = make_wheel(tmp_path / "built", "sly", "1.0", files=files)
    monkeypatch.setattr("securepip.signing.publish.add.check_installable", lambda *_: None)
    restored.made.add(wheel)
    download = ("download", "--no-deps", "-d", tmp_path / "files", "sly")
    for refused in (restored.machine.install("sly"), restored.machine.run(*download)):
        assert refused.code == 3
        assert "only installers write that file" in refused.err
    assert not list((tmp_path / "files").iterdir())
    links = ("--no-index", "--find-links", str(wheel.parent))
    done = restored.machine.pip("install", *links, "sly")
    assert done.code == 0, done.err
    assert f"sly @ {url}" in restored.machine.pip("freeze").out, "pip believes the wheel"
    row = restored.found("sly")["sly"]
    assert (row["status"], _kinds(row)) == ("signed", [("note", 1)])
    (restored.packages / "sly.py").write_text("changed")
    row = restored.found("sly")["sly"]
    assert ("changed", 3) in _kinds(row)
    (restored.packages / stated).write_text(json.dumps({"url": "file:///mine", "dir_info": {}}))
    assert restored.found("sly")["sly"]["status"] == "local", "an installer wrote it"


def test_the_pip_that_an_operating_system_changed_came_with_python(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's is of the version of a signed one, and has other bytes."""
    changed = make_wheel(tmp_path / "system", "pip", "1.0", files={"pip/__init__.py": "changed\n"})
    signed = make_wheel(tmp_path / "signed", "pip", "1.0", files={"pip/__init__.py": "\n"})
    made = make_repository(tmp_path / "repository", signed)
    with serve(made.folder) as url:
        machine.trust(made, url)
        done = machine.pip("install", "--no-index", "--find-links", str(changed.parent), "pip")
        assert done.code == 0, done.err
        (machine.site_packages / "ensurepip" / "_bundled").mkdir(parents=True)
        false = machine.site_packages / "ensurepip" / "_bundled" / changed.name
        false.write_bytes(changed.read_bytes())
        words = ("verify", "--python", machine.environment, "pip")
        assert machine.run(*words).code == 3, "a package can put a wheel there"
        monkeypatch.setattr("securepip.verify.origin._OF_THE_SYSTEM", (str(changed.parent),))
        done = machine.run(*words)
    assert done.code == 0, done.out
    assert "1 came with Python: pip 1.0" in done.out


def test_one_repository_is_asked_and_the_state_stays_as_it_was(
    restored: Site, tmp_path: Path
) -> None:
    state = restored.machine.folder / "data" / "trust" / "made" / "metadata"
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    restored.made.add(make_wheel(tmp_path, "newer", "1.0"))
    done = restored.verify("--read-only-state", "--repository", "made", "d1")
    assert done.code == 0, done.err
    assert "the state is left as it is" in done.err
    assert {path: path.read_bytes() for path in before} == before
    done = restored.verify("--repository", "nobody", "d1")
    assert done.code == 2
    assert "no trusted repository is called 'nobody'" in done.err


def test_the_command_that_is_named_puts_back_what_was_signed(restored: Site) -> None:
    _changed_file(restored)
    done = restored.verify("d1")
    (command,) = (line for line in done.out.splitlines() if "securepip install" in line)
    done = restored.machine.run(*shlex.split(command)[1:])
    assert done.code == 0, done.err
    assert restored.verify("d1").code == 0


def _distribution_of_ones_own(site: Site, *rows: str) -> None:
    """As somebody who wants to hide files: a distribution that says that they are its own."""
    folder = site.packages / "mine-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    direct_url = {"url": "file:///home/me/mine", "dir_info": {"editable": True}}
    (folder / "direct_url.json").write_text(json.dumps(direct_url))
    names = (*rows, "mine-1.0.dist-info/METADATA", "mine-1.0.dist-info/direct_url.json")
    (folder / "RECORD").write_text("".join(f"{name},,\n" for name in names))


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("d1/inner/evil.py", True),
        ("d1/inner/deeper/evil.py", True),
        ("d1.cpython-311-x86_64-linux-gnu.so", True),
        ("d1-1.0.dist-info/evil.py", True),
        ("evil.pth", True),
        ("evil.start", True),
        ("sitecustomize.py", True),
        ("usercustomize/__init__.py", True),
        ("mine/module.py", False),
        ("mine.py", False),
        ("__editable__.mine-1.0.pth", False),
    ],
)
def test_a_record_that_nobody_signs_hides_nothing_that_others_run(
    restored: Site, name: str, is_found: bool
) -> None:
    path = restored.packages / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("import os\n" if is_found else "/home/me/mine\n")
    _distribution_of_ones_own(restored, name)
    document = json.loads(restored.verify("--json").out)
    findings = [each for row in document["distributions"] for each in row["findings"]]
    said = [str(each["path"]) for each in (*findings, *document["strays"]) if each["exit_code"]]
    assert any(str(path).startswith(each) for each in said) is is_found


def test_what_runs_when_python_starts_cannot_answer_for_the_environment(
    restored: Site, tmp_path: Path
) -> None:
    """A start-up file could say that all is installed elsewhere, where all is right."""
    facts = {"version": [3, 11, 0], "markers": {}, "tags": [], "path": [str(tmp_path)],
             "purelib": str(tmp_path), "platlib": str(tmp_path), "in_memory": []}  # fmt: skip
    (restored.packages / "lie.pth").write_text(
        f"import os; os.write(1, {json.dumps(facts).encode()!r}); os._exit(0)\n"
    )
    done = restored.machine.pip("list")
    assert done.out.startswith('{"version"')  # The attack works on what starts Python as it is.
    document = json.loads(restored.verify("--json").out)
    assert [Path(stray["path"]).name for stray in document["strays"]] == ["lie.pth"]
    assert "d1" in {row["name"] for row in document["distributions"]}


@pytest.mark.parametrize("name", ["_virtualenv.pth", "securepip-plugin.pth"])
def test_a_known_name_does_not_excuse_other_contents(restored: Site, name: str) -> None:
    (restored.packages / name).write_text("import os\n")
    document = json.loads(restored.verify("--json").out)
    assert [(each["kind"], each["exit_code"] > 0) for each in document["strays"]] == [
        ("changed", True)
    ]


def test_what_virtualenv_leaves_is_said_to_run_whenever_python_starts(restored: Site) -> None:
    (restored.packages / "_virtualenv.pth").write_text("import _virtualenv")
    (restored.packages / "_virtualenv.py").write_text("import os\n")
    done = restored.verify()
    assert done.code == 0
    assert "_virtualenv.pth runs when Python starts" in done.out
    digest = sha256(b"import os\n").hexdigest()
    assert f"its contents were not judged (sha256 {digest})" in done.out


def test_a_file_cannot_hide_among_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strays, "_MAX_ENTRIES", 5)
    for number in range(9):
        (tmp_path / f"{number}.txt").write_text("")
    (found,) = strays.added_files([tmp_path], frozenset())
    assert found.exit_code == NOT_SIGNED


def test_a_name_that_is_no_text_is_said_all_the_same(restored: Site) -> None:
    odd = Path(os.fsdecode(os.fsencode(restored.packages / "d1") + b"/\xff\x1b[2J.py"))
    odd.write_bytes(b"")
    assert json.loads(restored.verify("--json", "d1").out)["exit_code"] == 1
    done = restored.verify("-v", "d1")
    assert done.code == 1
    assert "\x1b" not in done.out


def test_the_answer_that_the_guide_shows_is_the_one_that_is_given(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("securepip.cli.console.lines._verbosity", 0)  # a test before may be quiet
    changed = Finding(Kind.CHANGED, "requests/api.py is not what was signed", exit_code=3)

    def one(project: str, version: str, status: Status, *findings: Finding) -> Checked:
        name = canonicalize_name(project)
        return Checked(name, version, "", status, repository="packages", findings=findings)

    signed = [one(f"d{number}", "1.0", Status.SIGNED) for number in range(20)]
    others = (
        one("requests", "2.32.3", Status.SIGNED, changed),
        one("pip", "24.0", Status.WITH_PYTHON),
        one("our-site", "0.1", Status.EDITABLE),
    )
    _say(Report(Path(".venv/bin/python"), (*signed, *others), ()))
    shown = textwrap.indent(capsys.readouterr().out, "    ", bool)
    text = "\n".join(line.rstrip() for line in shown.splitlines())
    assert text in (ROOT / "docs" / "guides" / "asking.md").read_text()
