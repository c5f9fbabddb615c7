"""The arguments for pip, and the reading of its output."""

from __future__ import annotations

import marshal
import sys
import sysconfig
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from securepip.errors import InstallationError, VerificationError
from securepip.formats.digests import sha256_of
from securepip.installer import HandOff, HandOver, handoff, shares
from securepip.installer.handoff import InstallOptions
from securepip.installer.target import _compile_worker
from securepip.installer.target.byte_code import Interpreter, WheelCode
from securepip.installer.target.compile import Compiler
from securepip.installer.target.workers import Part, Source, SourceCompiler, Sources
from securepip.installer.wheels import Copies
from securepip.interpreter.process import Pip
from tests.installer.conftest import hand_off, site_packages, verified
from tests.support.wheels import make_wheel

_TRACEBACK = 'Traceback (most recent call last):\n  File "misc.py", line 145, in ensure_dir\n'
_HERE = Interpreter.parse(_compile_worker.interpreter())


@pytest.mark.parametrize(
    ("options", "location", "arguments"),
    [
        (InstallOptions(), {}, []),
        (InstallOptions(user=True), {"user": "1"}, ["--user"]),
        (InstallOptions(target="t"), {"target": "t"}, ["--target=t"]),
        (
            InstallOptions(prefix="p", root="", pip_arguments=("--x",)),
            {"prefix": "p", "root": ""},
            ["--prefix=p", "--root=", "--x"],
        ),
        (
            InstallOptions(user=True, root="r"),
            {"root": "r", "user": "1"},
            ["--root=r", "--user"],
        ),
    ],
)
def test_pip_is_told_where_to_install(
    options: InstallOptions, location: dict[str, str], arguments: list[str]
) -> None:
    assert options.location == location
    assert options.arguments() == arguments
    assert options.compile


def test_each_process_is_told_its_share_with_hashes_and_nothing_else(tmp_path: Path) -> None:
    names = [canonicalize_name(name) for name in ("a", "b", "c")]
    files: list[Any] = [
        SimpleNamespace(
            planned=SimpleNamespace(project=name, version="1.0"),
            wheel=SimpleNamespace(sha256=name * 64),
        )
        for name in names
    ]
    told = handoff._write_requirements(files, tmp_path, [names[:2], names[2:]])
    first, second = (tmp_path / f"requirements-{at}.txt" for at in range(2))
    assert told == [[f"--requirement={first}"], [f"--requirement={second}"]]
    lines = [f"{name}==1.0 --hash=sha256:{name * 64}\n" for name in names]
    assert first.read_text() == "".join(lines[:2])
    assert second.read_text() == lines[2]


def test_what_pip_says_of_what_it_replaces_is_said_once_for_several_processes() -> None:
    margin = handoff._MARGIN
    said = "\n".join(
        [
            "Installing collected packages: a",
            f"{margin} because normal site-packages is not writeable",
            "    Found existing installation: a 1.0",
            "    Uninstalling a-1.0:",
            f"{margin} because normal site-packages is not writeable",
            "    Uninstalling a-1.0:",
            "Successfully installed a-2.0",
        ]
    )
    assert handoff._replaced(said) == (
        f"{margin} because normal site-packages is not writeable",
        "    Found existing installation: a 1.0",
        "    Uninstalling a-1.0:",
        "    Uninstalling a-1.0:",
    )


def test_a_wheel_is_copied_and_checked_when_it_comes(tmp_path: Path) -> None:
    one, two, other = (
        hand_off(make_wheel(tmp_path / "store", name, "1")) for name in ("one", "two", "other")
    )
    copied, told = threading.Event(), list[Sources]()

    def tell(sources: Sources) -> None:
        told.append(sources)
        copied.set()

    with Copies(tmp_path, tell) as copies:
        copies.expect([one.planned, two.planned])
        for item in (other, one):
            copies.take(verified(item.wheel.path))
        assert copied.wait(60)
        # It is read no more: what the store holds by now does not matter.
        one.wheel.path.write_bytes(b"evil")
        wheels = copies.all([two, one])
    assert [wheel.project for wheel in wheels] == ["two", "one"]
    assert {sources.wheel.name for sources in told} == {
        "one-1-py3-none-any.whl",
        "two-1-py3-none-any.whl",
    }
    assert not (tmp_path / "other-1-py3-none-any.whl").exists()
    assert wheels[1].sources.wheel.read_bytes() != b"evil"


def test_a_wheel_that_came_early_and_is_not_what_was_resolved_is_refused(tmp_path: Path) -> None:
    other = verified(make_wheel(tmp_path / "store", "one", "1"))
    resolved = hand_off(make_wheel(tmp_path / "resolved", "one", "1", ["two"]))
    with Copies(tmp_path) as copies:
        copies.expect([resolved.planned])
        copies.take(other)
        with pytest.raises(VerificationError, match="not the file that was planned"):
            copies.all([HandOff(resolved.planned, other)])


def test_what_came_early_is_not_what_is_installed_where_that_is_another_wheel(
    tmp_path: Path,
) -> None:
    early, meant = (hand_off(make_wheel(tmp_path / "store", "one", each)) for each in "12")
    with Copies(tmp_path) as copies:
        copies.expect([early.planned])
        copies.take(verified(early.wheel.path))
        (copied,) = copies.all([meant])
    assert copied.version == "2"
    assert copied.sources.wheel.name == meant.wheel.filename


def test_what_is_not_installed_in_the_end_leaves_nothing(python: Path, tmp_path: Path) -> None:
    one = hand_off(make_wheel(tmp_path / "store", "one", "1"))
    with HandOver(python) as hand_over:
        hand_over.expect([one.planned])
        hand_over.take(verified(one.wheel.path))
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (site_packages(python) / "one").exists()


@pytest.mark.parametrize("compiles", [True, False])
def test_a_hand_over_uses_what_it_is_given(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiles: bool
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(Copies, "expect", lambda copies, plan: asked.append(plan))
    monkeypatch.setattr(Copies, "take", lambda copies, file: asked.append(file))
    options = InstallOptions(compile=compiles)
    one = hand_off(make_wheel(tmp_path / "store", "one", "1"))
    wheel = verified(one.wheel.path)
    with Pip(python) as pip, HandOver(python, options, pip) as hand_over:
        assert hand_over._pip is pip
        assert hand_over._options is options
        assert (hand_over._folder / "code").is_dir()
        assert (hand_over._copies._copied is not None) == compiles
        hand_over.expect([one.planned])
        hand_over.take(wheel)
    assert asked == [[one.planned], wheel]


class Idle:
    """A pip or a compiler that does nothing and prints a given output."""

    def __init__(self, code: int = 0, errors: str = "") -> None:
        self.said = (code, "", errors)

    def __enter__(self) -> Idle:
        return self

    def __exit__(self, *exception: object) -> None: ...

    def start(self, wheel: Sources) -> None: ...

    def schemes(self) -> list[dict[str, str]]:
        return [sysconfig.get_paths()]

    def run(self, *given: object, **options: object) -> tuple[int, str, str]:
        return self.said


class Watched:
    """A watcher of pip, which records its calls."""

    given: tuple[Any, ...] = ()
    asked: tuple[str, ...] = ()

    def __init__(self, *given: Any) -> None:
        Watched.given, Watched.asked = given, ()

    def look(self) -> None: ...

    def complete(self) -> None:
        Watched.asked += ("complete",)

    def check(self) -> None:
        Watched.asked += ("check",)

    def installed(self) -> tuple[()]:
        return ()


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Idle:
    """A compiler, without a watcher."""
    compiler = Idle()
    monkeypatch.setattr(handoff, "Compiler", lambda *given: compiler)
    monkeypatch.setattr(handoff, "Progress", Watched)
    return compiler


@pytest.mark.parametrize("processors", [5, None])
@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize("target", [None, "elsewhere"])
def test_pip_is_shared_out_and_watched_to_its_end_but_into_a_target_it_works_alone(
    idle: Idle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str | None,
    compiles: bool,
    processors: int | None,
) -> None:
    most: list[int] = []
    divided = shares.divide

    def divide(files: Any, processes: int) -> Any:
        most.append(processes)
        return divided(files, processes)

    monkeypatch.setattr(handoff, "divide", divide)
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    one = hand_off(make_wheel(tmp_path / "store", "one", "1"))
    options, pip = InstallOptions(target=target, compile=compiles), Idle(errors="a warning")
    with HandOver(Path(), options, pip) as hand_over:  # type: ignore[arg-type] # in pip's place
        assert hand_over.install([one]).warnings == "a warning"
    wheels, *rest = Watched.given
    assert [wheel.project for wheel in wheels] == ["one"]
    compiler, unmixed = idle if compiles else None, () if target else set(wheels)
    assert rest == [idle.schemes(), compiler, unmixed, [["one"]]]
    assert most == [1 if target else processors or 1]
    assert Watched.asked == (("complete",) if target else ("complete", "check"))


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ERROR: no room\n", "^no room$"),
        ("", "exit code 2"),
        (
            f"ERROR: Exception:\n{_TRACEBACK}OSError: [Errno 30] Read-only file system: '/t'\n",
            "^pip cannot install there: Read-only file system: '/t'\nLook",
        ),
        (f"ERROR: Exception:\n{_TRACEBACK}ValueError: 3\n", "(?s)^Exception:.*ValueError: 3$"),
    ],
)
def test_what_pip_had_installed_when_it_failed_is_completed_and_its_words_are_told(
    tmp_path: Path, said: str, words: str
) -> None:
    one, pip = hand_off(make_wheel(tmp_path / "store", "one", "1")), Idle(2, said)
    with (
        HandOver(Path(), None, pip) as hand_over,  # type: ignore[arg-type] # in pip's place
        pytest.raises(InstallationError, match=words),
    ):
        hand_over.install([one])
    assert Watched.asked == ("complete",)


def test_byte_code_is_written_in_the_order_in_which_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a wheel that comes late would hold up all that were installed after it."""
    parts: dict[str, Future[Part]] = {}
    written: list[str] = []

    def compile_later(_: SourceCompiler, wheel: Sources) -> list[Future[Part]]:
        return [parts.setdefault(wheel.sha256, Future())]

    def join(made: Sequence[tuple[Sequence[str], Sequence[Any], Path]]) -> Any:
        written.extend(members[0] for members, _, _ in made)
        raise ValueError

    monkeypatch.setattr(SourceCompiler, "compile", compile_later)
    monkeypatch.setattr(WheelCode, "join", staticmethod(join))
    wheels = [Sources(tmp_path, sha256_of(name.encode()), ()) for name in ("a", "b", "c")]
    a, b, c = wheels
    with (
        Pip(Path(sys.executable)) as pip,
        Compiler(Path(sys.executable), pip, {}, tmp_path) as compiler,
    ):
        for wheel in wheels:
            compiler.start(wheel)
        compiler._pool.submit(int).result()
        for wheel in wheels:
            compiler.submit(wheel, {})
        told: list[list[str]] = []
        compiler.after(b, {}, lambda _: told.append(written[:]))
        parts[c.sha256].set_result((["c"], [], tmp_path))
        compiler.look()
        for wheel, name in ((b, "b"), (a, "a")):
            parts[wheel.sha256].set_result(([name], [], tmp_path))
        compiler.after(c, {}, lambda _: told.append(written[:]))
        compiler.finish([])
    assert written == ["c", "a", "b"]
    assert sorted(told, key=len) == [["c"], ["c", "a", "b"]]


def test_nothing_is_started_after_the_end(tmp_path: Path) -> None:
    python = Path(sys.executable)
    with Pip(python) as pip, Compiler(python, pip, {}, tmp_path) as compiler:
        assert compiler.schemes()
    compiler._start(Sources(tmp_path, sha256_of(b""), ()))
    assert compiler._sources is None


def test_what_is_written_anew_after_it_was_compiled_is_compiled_again(tmp_path: Path) -> None:
    python, source = Path(sys.executable), tmp_path / "one.py"
    with Pip(python) as pip, Compiler(python, pip, {}, tmp_path) as compiler:
        for text in ("x = 1", "x = 'another'"):
            source.write_text(text)
            done = compiler.finish([str(source)])
            code = marshal.loads(Path(done[str(source)]).read_bytes()[16:])  # noqa: S302 - ours
            assert code == compile(text, str(source), "exec", dont_inherit=True)


def test_an_interpreter_that_is_another_one_without_its_surroundings_compiles_nothing(
    tmp_path: Path,
) -> None:
    other = replace(_HERE, identity=(*_HERE.identity, "other"))
    compiler = SourceCompiler(Path(sys.executable), other, tmp_path)
    wheel = make_wheel(tmp_path, "one", "1")
    (part,) = compiler.compile(Sources(wheel, sha256_of(b""), (Source("one/__init__.py", 1),)))
    with pytest.raises(ValueError, match="another one without its surroundings"):
        part.result(60)
    compiler.close()


def test_of_what_waits_to_be_compiled_the_largest_wheel_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    go, begun = threading.Event(), threading.Event()

    def compile_one(_: SourceCompiler, wheel: Path, members: list[str], output: Path) -> Part:
        asked.append(wheel)
        begun.set()
        assert go.wait(60)
        return members, [], output

    monkeypatch.setattr(SourceCompiler, "_compile", compile_one)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    compiler = SourceCompiler(Path(sys.executable), _HERE, tmp_path)
    first, small, large = (
        Sources(tmp_path / name, sha256_of(name.encode()), (Source(f"{name}.py", size),))
        for name, size in (("first", 1), ("small", 2), ("large", 3))
    )
    parts = compiler.compile(first)
    assert begun.wait(60)
    parts += [*compiler.compile(small), *compiler.compile(large)]
    go.set()
    assert [part.result(60)[0] for part in parts] == [["first.py"], ["small.py"], ["large.py"]]
    assert [path.name for path in asked] == ["first", "large", "small"]
    compiler.close()


def test_nobody_waits_for_what_is_not_compiled_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(SourceCompiler, "_compile", lambda *_: go.wait(60))
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    compiler = SourceCompiler(Path(sys.executable), _HERE, tmp_path)
    wheel = Sources(tmp_path, sha256_of(b""), (Source("a.py", 200_000), Source("b.py", 1)))
    under_way, waiting = compiler.compile(wheel)
    while not under_way.running():
        time.sleep(0.001)
    threading.Timer(0.01, go.set).start()
    compiler.close()
    assert waiting.cancelled()
    with pytest.raises(ValueError, match="too late"):
        compiler.compile(wheel)
