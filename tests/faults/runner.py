"""Runs a scene for each of its faults, and describes what is wrong after it."""

from __future__ import annotations

import json
import random
import sys
import traceback
import venv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.bench import Bench, Run, adopt_orphans, bench, in_child
from tests.faults.injector import ERRORS, KILL, Fault
from tests.faults.installing import Install, Plugin, ReplayedInstall
from tests.faults.publishing import (
    Accept,
    Add,
    AddChanged,
    Recover,
    Refresh,
    Rotate,
    Sync,
    SyncChanged,
)
from tests.faults.scenes import Scene

SCENES: dict[str, type[Scene]] = {
    "install": Install,
    "install-replayed": ReplayedInstall,
    "plugin-enable": Plugin,
    "add": Add,
    "add-changed": AddChanged,
    "sync": Sync,
    "sync-changed": SyncChanged,
    "refresh": Refresh,
    "accept": Accept,
    "rotate": Rotate,
    "recover": Recover,
}

_NOT_FOR_PEOPLE = ("Traceback", "securepip itself failed")


@dataclass
class Found:
    """The result of a scene.

    Attributes:
        name: The scene.
        calls: The number of calls of each kind.
        cases: The number of faults that were tried.
        missed: The number of them that did not occur, because the run made other calls.
        survived: The number of runs that succeeded nevertheless.
        wrong: What was wrong, by fault.
    """

    name: str
    calls: Counter[str] = field(default_factory=Counter)
    cases: int = 0
    missed: int = 0
    survived: int = 0
    wrong: list[str] = field(default_factory=list)


class Stage:
    """A prepared scene, whose calls are counted."""

    def __init__(self, name: str, place: Bench) -> None:
        self.name, self.bench = name, place
        self.scene = SCENES[name](place)
        self.scene.prepare()
        place.keep()
        place.restore()
        self._load()
        place.restore()
        clean = place.run(self.scene.run, self.scene.but)
        assert clean.done is not None, clean.problem
        assert clean.done.code == self.scene.code, clean.done
        self.calls = Counter(call.kind for call in clean.calls)
        learn = getattr(self.scene, "learn", None)
        if learn is not None:
            learn()
        if not self.scene.code:
            self.scene.look_at_end()

    def faults(self) -> list[Fault]:
        """All of its faults."""
        return [
            Fault(kind, number, error)
            for kind, errors in ERRORS.items()
            for number in range(self.calls[kind])
            for error in errors
        ]

    def case(self, fault: Fault, found: Found) -> None:
        """Try a fault, and run again."""
        self.bench.restore()
        run = self.bench.run(self.scene.run, self.scene.but, fault)
        found.cases += 1
        if run.done is not None and run.hit is None:
            found.missed += 1
        where = f"{self.name}: {fault} ({run.hit or 'killed'})"
        wrong = [*self._of_run(run, fault, found), *self._of_end()]
        found.wrong += [f"{where}: {each}" for each in wrong]

    def _of_run(self, run: Run, fault: Fault, found: Found) -> Iterator[str]:
        if run.done is None:
            if run.problem:
                yield f"it ended with {run.problem}"
            return
        done = run.done
        found.survived += done.code == self.scene.code
        # A forbidden call may look like a wrong command line. ``importlib.metadata`` takes a folder
        # that cannot be listed for an empty one, as pip does: it finds no pip there.
        forbidden = fault.kind == "list" or fault.error in ("EACCES", "EPERM")
        if done.code not in (self.scene.code, 1, 2 if forbidden else 1):
            yield f"exit code {done.code}: {done.err[-1500:]}"
        elif done.code != self.scene.code and not any(
            words in done.err for words in self.scene.said
        ):
            yield f"nothing is said: {done}"
        if any(words in done.err for words in _NOT_FOR_PEOPLE):
            yield f"no words for a person: {done.err[-3000:]}"

    def _of_end(self) -> Iterator[str]:
        """Check the state, and the next run, each in a new process."""

        def within(tell: Callable[[object], None]) -> None:
            problems: list[str] = []
            for name, check in (
                ("left", self.scene.look),
                ("the next run", self._again),
                ("left by the next run", self.scene.look_at_end),
            ):
                try:
                    check()
                except Exception:
                    problems.append(f"{name}: {traceback.format_exc()[-2500:]}")
            tell(problems)

        code, problems = in_child(within)
        if code or not isinstance(problems, list):
            yield f"the next run ended with {code}: {problems}"
        else:
            yield from problems

    def _again(self) -> None:
        done = self.scene.again()
        assert done.code == 0, done
        assert not any(words in done.err for words in _NOT_FOR_PEOPLE), done.err

    def _load(self) -> None:
        """Import in this process what a run imports, so that its forks need not."""

        def within(tell: Callable[[object], None]) -> None:
            self.scene.run()
            tell(sorted(sys.modules))

        _, names = in_child(within)
        for name in names or ():
            with _ignored():
                __import__(name)


@contextmanager
def _ignored() -> Iterator[None]:
    try:
        yield
    except Exception:  # not a module
        return


def environment_in(folder: Path) -> Path:
    """Make an empty environment to install into."""
    venv.create(folder, symlinks=True)
    return folder


def try_all(name: str, folder: Path, environment: Path, kinds: Sequence[str] = ()) -> Found:
    """Try all faults of a scene, or those of some kinds."""
    return _try(name, folder, environment, lambda stage: [
        fault for fault in stage.faults() if not kinds or fault.kind in kinds
    ])  # fmt: skip


def try_some(name: str, folder: Path, environment: Path, count: int, seed: int) -> Found:
    """Try so many faults of a scene, with each kind of call and each error equally likely."""
    return _try(name, folder, environment, lambda stage: sample(stage.faults(), count, seed))


def sample(faults: Sequence[Fault], count: int, seed: int) -> list[Fault]:
    """Choose so many faults. Rare kinds are as likely as frequent ones."""
    chance = random.Random(seed)
    groups: dict[tuple[str, bool], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.kind, fault.error == KILL), []).append(fault)
    chosen: list[Fault] = []
    while groups and len(chosen) < count:
        for key in chance.sample(sorted(groups), len(groups)):
            group = groups[key]
            chosen.append(group.pop(chance.randrange(len(group))))
            if not group:
                del groups[key]
            if len(chosen) == count:
                break
    return chosen


def _try(
    name: str, folder: Path, environment: Path, choose: Callable[[Stage], Sequence[Fault]]
) -> Found:
    adopt_orphans()
    found = Found(name)
    with bench(folder, environment) as place:
        stage = Stage(name, place)
        found.calls = stage.calls
        for fault in choose(stage):
            stage.case(fault, found)
    return found


def to_json(found: Found) -> str:
    """The result as JSON, for another process."""
    return json.dumps(vars(found))


def from_json(text: str) -> Found:
    """Read a result from JSON."""
    found = Found(**json.loads(text))
    found.calls = Counter(found.calls)
    return found
