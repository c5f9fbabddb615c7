"""Runs the tests of a room against its mutants, in one process that forks for each of them.

This is a pytest plugin. It collects the tests once, runs each once with coverage to learn which
lines it reaches, and keeps the session's fixtures, such as repositories and environments. Then it
forks for each mutant: the child replaces the function by the changed one, runs the tests that reach
the changed lines, the quickest first, and ends with the first that fails. Processes that a test
starts see the mutant as well: the changed module is on disk meanwhile, in a copy of the checkout.

A mutant of code that runs at import (a constant, a default) is tried in a child that removes all
modules of securepip and its tests, and starts pytest again.
"""

from __future__ import annotations

import functools
import gc
import importlib
import itertools
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import TypeVar

import coverage
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.mutants import Mutant
from tests.mutation.rooms import SOURCES

CHECKOUT = Path(__file__).resolve().parents[2]
_T = TypeVar("_T")
_Live = dict[tuple[str, int, str], list[FunctionType]]
_Swap = tuple[FunctionType, CodeType]

_IN_BODY = 1  # CO_OPTIMIZED: the code of a function, not of a module or a class
_GRACE_SECONDS = 8.0

# The messages of a child besides the names of the tests that it begins.
_FAILED, _SURVIVED, _DONE = "failed", "survived", "done"
_Say = Callable[[str], None]
_Said = tuple[list[str], bool]

# Few examples, because each change is tried with them, and no search for smaller ones.
settings.register_profile(
    "mutation",
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=10,
    database=None,
    phases=(Phase.explicit, Phase.generate),
)


@dataclass
class Judge:
    """The plugin.

    Attributes:
        mutants: The mutants to try, in this order.
        until: When to stop, by the monotonic clock.
        each: The seconds of tests for a change, without its first test.
        say: Takes each mutant with its end and the test that noticed it (see `Outcome`).
        unfit: The tests that fail without a change; they are not used.
    """

    mutants: Sequence[Mutant]
    until: float
    each: float
    say: Callable[[Mutant, str, str], None]
    unfit: list[str] = field(default_factory=list)
    _items: dict[str, pytest.Item] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=dict)
    _reached: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    _kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    _unfit_anew: set[str] = field(default_factory=set)

    def pytest_sessionstart(self) -> None:
        """Before the tests are imported, let Hypothesis search for no smaller examples."""
        settings.load_profile("mutation")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the trial in place of the tests."""
        self._items = {item.nodeid: item for item in session.items}
        self._learn(session)
        self._repeat(session)
        _kept(pytest.TempPathFactory), _kept(functools._lru_cache_wrapper)
        live = _live_functions()
        gc.freeze()  # what the children share stays shared
        if self.mutants:
            self._repeat_anew()
        for mutant in self.mutants:
            if time.monotonic() > self.until:
                break
            self.say(mutant, *self._try(session, mutant, live))
        return True

    def _learn(self, session: pytest.Session) -> None:
        """Run each test once, to learn which lines it reaches and how long it takes."""
        watch = coverage.Coverage(
            data_file=None, source=[str(SOURCES)], config_file=False, messages=False
        )
        watch.start()
        for name, item in self._items.items():
            watch.switch_context(name)
            begun = time.monotonic()
            failed = _run(item, session)
            self._seconds[name] = time.monotonic() - begun
            if failed:
                self.unfit.append(name)
        watch.stop()
        data = watch.get_data()
        for path in data.measured_files():
            module = str(Path(path).relative_to(SOURCES))
            self._reached[module] = data.contexts_by_lineno(path)

    def _repeat(self, session: pytest.Session) -> None:
        """Run each test again in a child: a test that fails now would kill every mutant."""
        names = [name for name in self._items if name not in self.unfit]

        def work(say: _Say) -> None:
            for name in names:
                say(name)
                if _run(self._items[name], session):
                    say(_FAILED)
            say(_SURVIVED)

        said, _ = _in_child(work, self._patience)
        if said[-1:] != [_SURVIVED]:
            raise SystemExit("the tests do not end when they are run a second time")
        self.unfit += [name for name, next_ in itertools.pairwise(said) if next_ == _FAILED]

    def _repeat_anew(self) -> None:
        """The same as for `_anew`: a test can fail there because of earlier imports."""
        names = [name for name in self._items if name not in self.unfit]
        said, _ = _in_child(lambda say: _begin_anew(names, say), self._patience)
        self._unfit_anew = {name for name, next_ in itertools.pairwise(said) if next_ == _FAILED}
        self._unfit_anew.update(() if said[-1:] == [_SURVIVED] else said[-1:])

    def _try(self, session: pytest.Session, mutant: Mutant, live: _Live) -> tuple[str, str]:
        names = self._tests_of(mutant)
        if not names:
            return "unreached", ""
        with _on_disk(mutant) as original:
            swaps = _swaps(mutant, original, live) if mutant.inside else []
            if not swaps:
                names = [name for name in names if name not in self._unfit_anew]
            if not names:
                return "unreached", ""
            end, by = self._in_its_place(session, names, swaps) if swaps else self._anew(names)
        if end == "killed":
            self._kills[mutant.module, by] += 1
        return end, by

    def _tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that reach a line of the change; if it runs at import, all of its module."""
        by_line = self._reached.get(mutant.module, {})
        first, last = mutant.lines
        found = {name for line in range(first, last + 1) for name in by_line.get(line, ())}
        if not mutant.inside:
            # Of a module without a body that runs, any test may see what it says.
            found = {name for names in by_line.values() for name in names} or set(self._items)
            found -= self._unfit_anew
        found -= {"", *self.unfit}
        # The quickest first, and before them those that have noticed changes of this module.
        names = sorted(
            found, key=lambda name: self._seconds[name] / (1 + self._kills[mutant.module, name])
        )
        spent = itertools.accumulate(self._seconds[name] for name in names)
        few = sum(seconds <= self.each for seconds in spent)
        return names[: max(few, 1)]

    def _patience(self, said: str) -> float:
        """The seconds that a child may take for the test that it has begun, or between tests."""
        return _GRACE_SECONDS + 4 * self._seconds.get(said, 0.0)

    def _in_its_place(
        self, session: pytest.Session, names: Sequence[str], swaps: Sequence[_Swap]
    ) -> tuple[str, str]:
        def work(say: _Say) -> None:
            for function, code in swaps:
                function.__code__ = code
            for name in names:
                say(name)
                if _run(self._items[name], session):
                    say(_FAILED)
                    return
            say(_SURVIVED)

        return _verdict(*_in_child(work, self._patience))

    def _anew(self, names: Sequence[str]) -> tuple[str, str]:
        """Run the tests in a child that imports securepip again."""
        return _verdict(*_in_child(lambda say: _begin_anew(["-x", *names], say), self._patience))


def _begin_anew(words: Sequence[str], say: _Say) -> None:
    """Remove the imported modules, run pytest, and report each test's start and failure."""
    for name in list(sys.modules):
        if name.split(".")[0] in ("securepip", "tests") and not name.startswith("tests.mutation"):
            del sys.modules[name]
    importlib.invalidate_caches()

    class Reporter:
        def pytest_runtest_logstart(self, nodeid: str) -> None:
            say(nodeid)

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                say(_FAILED)

    code = pytest.main(["-q", "-p", "no:cacheprovider", *words], plugins=[Reporter()])
    if code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        say(_SURVIVED if code == pytest.ExitCode.OK or "-x" not in words else _FAILED)
    else:
        say("at import")


def _verdict(said: Sequence[str], ended: bool) -> tuple[str, str]:
    """The outcome of a change, and the test that noticed it, which is the last begun one."""
    if said[-1:] == [_SURVIVED]:
        return "survived", ""
    by = [name for name in said if name != _FAILED]
    return "killed" if ended else "hung", by[-1] if by else ""


def _run(item: pytest.Item, session: pytest.Session) -> bool:
    """Run a test, tear down all but the session's fixtures, and return whether it failed."""
    # With the session itself as what comes next, pytest keeps what it made for the session.
    reports = runtestprotocol(item, log=False, nextitem=session)  # type: ignore[arg-type]
    return any(report.failed for report in reports)


# ------------------------------------------------------------------------ children


def _in_child(work: Callable[[_Say], None], patience: Callable[[str], float]) -> _Said:
    """Do something in a fork of this process; return its messages, and whether it ended in time.

    Args:
        work: What is done. It gets a function that sends a line.
        patience: The seconds that may pass after a line.
    """
    read, write = os.pipe()
    folder = tempfile.mkdtemp(prefix="mutant-")
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        os.close(read)
        try:
            _apart(Path(folder))
            work(lambda text: _write(write, text))
        except BaseException as error:
            _write(write, repr(error))
        finally:
            with suppress(OSError):  # who has begun this is gone
                _write(write, _DONE)
            os._exit(0)
    os.close(write)
    said = _listen(read, child, patience)
    os.close(read)
    for group in (os.killpg, os.kill):  # with what it has started and left
        with suppress(OSError):
            group(child, signal.SIGKILL)
    os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)
    return said


def _write(write: int, text: str) -> None:
    os.write(write, f"{text}\n".encode())


def _listen(read: int, child: int, patience: Callable[[str], float]) -> _Said:
    """Read until a child is done, even if a server that it has left keeps the pipe open."""
    said: list[str] = []
    piece, waited = b"", 0.0
    until = time.monotonic() + patience("")
    while time.monotonic() - waited < until:
        if not select.select([read], [], [], 0.5)[0]:
            waited = max(waited, _seconds_without_processor(child))
            continue
        got = os.read(read, 1 << 16)
        *lines, piece = (piece + got).split(b"\n")
        said += [line.decode() for line in lines]
        if not got or said[-1:] == [_DONE]:
            return [line for line in said if line != _DONE], True
        waited = max(waited, _seconds_without_processor(child))
        until = time.monotonic() - waited + patience(said[-1] if said else "")
    return said, False


def _seconds_without_processor(group: int) -> float:
    """The seconds that a group of processes has waited for a processor, which is not a hang."""
    seconds = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):  # it has ended
            if int((process / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                for task in (process / "task").iterdir():
                    seconds += int((task / "schedstat").read_text().split()[1]) / 1e9
    return seconds


def _apart(folder: Path) -> None:
    """Give the child its own folders, and discard its output."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    for factory in _kept(pytest.TempPathFactory):
        factory._basetemp = folder  # numbered folders begin anew in each child
    for cache in _kept(functools._lru_cache_wrapper):
        cache.cache_clear()  # what was worked out before the change


@functools.cache
def _kept(kind: type[_T]) -> tuple[_T, ...]:
    """All objects of a kind, as of the first call, before any child."""
    return tuple(each for each in gc.get_objects() if isinstance(each, kind))


# ------------------------------------------------------------------------- changes


def _live_functions() -> _Live:
    """The functions of securepip in this process, by their place in the source."""
    found: _Live = defaultdict(list)
    for each in _kept(FunctionType):
        code = each.__code__
        if code.co_filename.startswith(str(SOURCES)):
            found[code.co_filename, code.co_firstlineno, code.co_name].append(each)
    return found


def _swaps(mutant: Mutant, original: str, live: _Live) -> list[_Swap]:
    """The functions and their new code; nothing if the change cannot be made in this way."""
    path = str(SOURCES / mutant.module)
    before, after = (
        compile(text, path, "exec", dont_inherit=True) for text in (original, mutant.code)
    )
    swaps = [
        (function, new)
        for old, new in _functions(before, after)
        if old != new
        for function in live.get((path, old.co_firstlineno, old.co_name), ())
    ]
    fits = all(function.__code__.co_freevars == code.co_freevars for function, code in swaps)
    return swaps if fits else []


def _functions(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """The functions of a module and of its classes, before and after the change."""
    for before, after in zip(_inner(old), _inner(new), strict=True):
        if before.co_flags & _IN_BODY:
            yield before, after
        else:
            yield from _functions(before, after)


def _inner(code: CodeType) -> list[CodeType]:
    return [each for each in code.co_consts if isinstance(each, CodeType)]


_TICKS = itertools.count(1)


@contextmanager
def _on_disk(mutant: Mutant) -> Iterator[str]:
    """Replace the module on disk by the changed one for as long as the ``with`` lasts."""
    path = SOURCES / mutant.module
    original = path.read_text(encoding="utf-8")
    try:
        _put(path, mutant.code)
        yield original
    finally:
        _put(path, original)


def _put(path: Path, code: str) -> None:
    """Write a module with another time: byte code is kept by the time in whole seconds."""
    path.write_text(code, encoding="utf-8")
    moment = time.time() + next(_TICKS)
    os.utime(path, (moment, moment))
