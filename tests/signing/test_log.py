"""The signing log: its entries are chained, the timestamp names the last; changes are noticed."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from securepip.cli.repo.place import Place
from securepip.errors import RepositoryStateError
from securepip.formats.digests import sha256_of
from securepip.signing.publish.accounted import check_own
from securepip.signing.publish.add import add
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.lines import FileLines
from securepip.signing.repository.state.log import Log, Reason, SignedRole
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

Lines = list[bytes]


@pytest.fixture
def log(made: MadeRepository, tmp_path: Path) -> Path:
    """The log of a repository with three signed states."""
    for minor in range(3):
        made.add(make_wheel(tmp_path / "built", "more", f"1.{minor}"))
    return made.folder / "state" / "log.jsonl"


def test_it_says_what_was_signed_when_with_which_keys_and_why(
    made: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    done = machine.run("repo", "add", made.folder, make_wheel(tmp_path, "more", "1.0"))
    assert done.code == 0, done.err
    with Repository.open(made.folder) as repository:
        *_, last = repository.log.check(repository.roles().timestamp.signed)
        (online,) = repository.roles().root.signed.roles["timestamp"].keyids
    assert last.why == "repo add more-1.0-py3-none-any.whl"
    assert {"snapshot", "timestamp"} < {signed.role for signed in last.signed}
    assert {signed.keyids for signed in last.signed} == {(online,)}
    shown = machine.run("repo", "log", made.folder)
    assert f"{last.number}  " in shown.out
    assert f"{last.why}\n    snapshot version " in shown.out
    assert " bin, with " in shown.out or " bins, with " in shown.out
    *_, line = machine.run("repo", "log", made.folder, "--json").out.splitlines()
    assert json.loads(line)["sha256"] == last.sha256


def test_the_log_says_what_a_command_was_about_without_passwords(
    made: MadeRepository, machine: Machine
) -> None:
    made.add(make_wheel(made.folder.parent / "built", "more", "1.0"))
    assert machine.run("repo", "remove", made.folder, "more==1.0").code == 0
    asked = ("x @ https://me:secret@packages.example.org/\nroot", *"abcdefgh")
    with Place(str(made.folder)).open("repo sync", *asked) as repository:
        add(repository, [make_wheel(made.folder.parent / "built", "more", "2.0")])
    lines = machine.run("repo", "log", made.folder).out.splitlines()
    said = [line.partition("UTC  ")[2] for line in lines if "UTC  " in line]
    assert said[-2:] == [
        "repo remove more==1.0",
        "repo sync x @ https://me:****@packages.example.org/ root a b c d e f g and 1 more",
    ]


def test_a_person_says_why_and_the_log_keeps_it_without_secrets(
    made: MadeRepository, machine: Machine
) -> None:
    made.add(make_wheel(made.folder.parent / "built", "more", "1.0"))
    words = "stolen account, see https://me:secret@tickets.example.org/7?token=abc"
    done = machine.run("repo", "remove", made.folder, "more==1.0", "--why", words)
    assert done.code == 0, done.err
    shown = machine.run("repo", "log", made.folder).out
    because = "stolen account, see https://tickets.example.org/7?…"
    assert f"UTC  repo remove more==1.0\n    because: {because}\n" in shown
    entry = json.loads(machine.run("repo", "log", made.folder, "--json").out.splitlines()[-1])
    assert (entry["why"], entry["words"]) == ("repo remove more==1.0", because)


def test_a_decision_that_signs_nothing_is_in_the_log_and_the_next_timestamp_vouches_for_it(
    made: MadeRepository, machine: Machine
) -> None:
    said = {
        "freeze": ["--why", "its laptop is gone"],
        "freeze --lift": ["--lift", "--reason", "ok"],
    }
    for words in said.values():
        assert machine.run("repo", "freeze", made.folder, "more", *words).code == 0
    made.add(make_wheel(made.folder.parent / "built", "more", "1.0"))
    *_, frozen, thawed, added = check_own(made.repository)
    assert (frozen.why, frozen.words) == ("repo freeze more", "its laptop is gone")
    assert (thawed.why, thawed.words) == ("repo freeze --lift more", "ok")
    assert not frozen.signed and added.signed


@pytest.mark.parametrize("words", ["two\nlines", "\x1b[2J", "turned \u202e round", "x" * 201, " "])
def test_a_reason_that_is_no_plain_line_is_refused(words: str, machine: Machine) -> None:
    done = machine.run("repo", "remove", "nowhere", "more", "--why", words)
    assert done.code == 2
    assert "not a reason in one line of at most 200 characters" in done.err


def test_a_log_from_before_reasons_is_read(made: MadeRepository, log: Path) -> None:
    assert b'"words"' not in log.read_bytes()
    assert all(entry.words == "" for entry in check_own(made.repository))


def change_why(lines: Lines) -> Lines:
    return [*lines[:-2], lines[-2].replace(b'"why":""', b'"why":"x"'), lines[-1]]


@pytest.mark.parametrize(
    "tamper",
    [
        change_why,
        lambda lines: lines[:-1],
        lambda lines: lines[1:],
        lambda lines: [*lines[:-2], lines[-1]],
        lambda lines: [*lines[:-2], lines[-1], lines[-2]],
        lambda lines: [],
        lambda lines: [*lines[:-1], b"{}\n"],
    ],
    ids=["changed", "cut", "beginning-cut", "dropped", "swapped", "emptied", "no-entry"],
)
def test_tampering_with_it_is_noticed_and_stops_signing_if_it_reaches_the_end(
    made: MadeRepository,
    machine: Machine,
    log: Path,
    tmp_path: Path,
    tamper: Callable[[Lines], Lines],
) -> None:
    assert machine.run("repo", "audit", made.folder).code == 0
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(tamper(lines)))
    for command in ("audit", "status", "log"):
        done = machine.run("repo", command, made.folder)
        assert done.code == 1, command
        assert str(log) in done.err
    if tamper(lines)[-1:] != lines[-1:]:
        current = (made.folder / "metadata" / "timestamp.json").read_bytes()
        with pytest.raises(RepositoryStateError, match=r"log\.jsonl"):
            made.add(make_wheel(tmp_path, "more", "2.0"))
        with (
            Repository.open(made.folder, keys=[made.offline_keys]) as repository,
            repository.lock(),
            pytest.raises(RepositoryStateError, match=r"log\.jsonl"),
        ):
            repository.sign_root()
        assert not (made.folder / "metadata" / "2.root.json").exists()
        assert (made.folder / "metadata" / "timestamp.json").read_bytes() == current


def test_what_a_power_cut_has_left_of_an_entry_is_dropped(
    made: MadeRepository, log: Path, tmp_path: Path
) -> None:
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"number":99,"ti')
    check_own(made.repository)
    made.add(make_wheel(tmp_path, "more", "2.0"))
    assert log.read_bytes().startswith(whole + b'{"number"')
    check_own(made.repository)


def signed_bins(count: int) -> Iterator[SignedRole]:
    for number in range(count):
        name = f"bin-{number:04x}"
        yield SignedRole(name, 2, sha256_of(name.encode()), ("a" * 64,))


def test_what_is_left_of_an_entry_that_could_not_be_written_whole_is_dropped(
    tmp_path: Path,
) -> None:
    log = Log(FileLines(tmp_path / "log"))
    first = log.append(signed_bins(1), None)

    def half() -> Iterator[SignedRole]:
        yield from signed_bins(1_000)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        log.append(half(), first)
    assert (tmp_path / "log").stat().st_size > 10_000
    assert [entry.number for entry in log.entries()] == [1]
    log.append(signed_bins(2), first)
    assert [len(entry.signed) for entry in log.entries()] == [1, 2]


def test_an_entry_is_never_whole_in_memory_while_it_is_written_and_little_more_while_it_is_read(
    tmp_path: Path,
) -> None:
    log = Log(FileLines(tmp_path / "log"))
    tracemalloc.start()
    try:
        first = log.append(signed_bins(1_000), None)
        _, writing = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        log.append((), first)
        _, reading = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    length = log.size()
    assert length > 1_000 * 150
    assert writing < length / 4
    assert reading < length * 2.5
    assert [len(entry.signed) for entry in log.entries()] == [1_000, 0]


def test_an_entry_for_what_never_became_current_is_harmless(
    made: MadeRepository, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed before its timestamp leaves such an entry."""
    with monkeypatch.context() as broken:
        broken.setattr(
            "securepip.signing.repository.storage.local.LocalStorage.flush", lambda self: 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            made.add(make_wheel(tmp_path, "more", "2.0"))
    check_own(made.repository)
    made.add(make_wheel(tmp_path, "more", "2.0"))
    check_own(made.repository)


@pytest.mark.parametrize("kills", [1, 2])
def test_what_never_became_current_is_harmless_also_where_nobody_signs_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    """A killed run has logged a bin, and the next runs change other bins."""
    made = make_repository(tmp_path / "many", expected_files=20_000)
    bin_of = made.repository.roles().bin_of
    names = [f"p{number}" for number in range(20)]
    wheels = {name: make_wheel(tmp_path, name, "1.0") for name in names}

    def bins(name: str) -> set[str]:
        return {bin_of(f"simple/{name}/index.json"), bin_of(f"packages/{name}/{wheels[name].name}")}

    killed = names[0]
    others = [name for name in names[1:] if not bins(name) & bins(killed)][:2]
    assert len(others) == 2
    with monkeypatch.context() as broken:
        broken.setattr(
            "securepip.signing.repository.storage.local.LocalStorage.flush", lambda self: 1 / 0
        )
        for _ in range(kills):
            with pytest.raises(ZeroDivisionError):
                made.add(wheels[killed])
    for other in others:
        made.add(wheels[other])
        check_own(made.repository)
    made.add(wheels[killed])
    check_own(made.repository)


def test_a_long_entry_is_found_from_the_end(made: MadeRepository, tmp_path: Path) -> None:
    with Repository.open(made.folder, reason=Reason("x" * 200_000)) as repository:
        add(repository, [make_wheel(tmp_path, "more", "1.0")])
        add(repository, [make_wheel(tmp_path, "more", "2.0")])
        check_own(repository)


def test_a_state_that_was_put_back_is_noticed_before_anything_is_signed(
    made: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    """All served files are replaced by an older signed state."""
    before = tmp_path / "before"
    for name in ("metadata", "simple", "packages"):
        shutil.copytree(made.folder / name, before / name)
    made.add(make_wheel(tmp_path, "more", "1.0"))
    for name in ("metadata", "simple", "packages"):
        shutil.rmtree(made.folder / name)
        shutil.copytree(before / name, made.folder / name)
    wheel = make_wheel(tmp_path, "more", "2.0")
    commands: dict[str, list[Path]] = {"add": [wheel], "refresh": [], "status": []}
    for command, words in commands.items():
        done = machine.run("repo", command, made.folder, *words)
        assert done.code == 1
        assert "Somebody put back an older state" in done.err
