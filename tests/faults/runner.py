"""A scene, once for each call and each error; what is wrong then, in words."""

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
    """What a scene came to.

    Attributes:
        name: The scene.
        calls: How many of each kind the command makes.
        cases: How many faults were tried.
        missed: How many of them never came, because the run took another way.
        survived: How many runs came to their end all the same.
        wrong: What was wrong, by fault.
    """

    name: str
    calls: Counter[str] = field(default_factory=Counter)
    cases: int = 0
    missed: int = 0
    survived: int = 0
    wrong: list[str] = field(default_factory=list)


class Stage:
    """A scene that is prepared, and knows which calls there are."""

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
        """All that can happen."""
        return [
            Fault(kind, number, error)
            for kind, errors in ERRORS.items()
            for number in range(self.calls[kind])
            for error in errors
        ]

    def case(self, fault: Fault, found: Found) -> None:
        """One fault, and the next run."""
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
        # What the system forbids may be taken for a wrong command line; and a folder that cannot
        # be listed is an empty one for ``importlib.metadata``, as for pip: no pip is found in it.
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
        """What is left, and what the next run makes of it; each in a process of its own."""

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
        """Load here whatever a run loads, so that no run has to."""

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
    except Exception:  # a name that only looks like a module
        return


def environment_in(folder: Path) -> Path:
    """An empty environment to install into."""
    venv.create(folder, symlinks=True)
    return folder


def try_all(name: str, folder: Path, environment: Path, kinds: Sequence[str] = ()) -> Found:
    """A scene with all its faults, or those of some kinds."""
    return _try(name, folder, environment, lambda stage: [
        fault for fault in stage.faults() if not kinds or fault.kind in kinds
    ])  # fmt: skip


def try_some(name: str, folder: Path, environment: Path, count: int, seed: int) -> Found:
    """A scene with so many of its faults, each kind of call and each error alike."""
    return _try(name, folder, environment, lambda stage: sample(stage.faults(), count, seed))


def sample(faults: Sequence[Fault], count: int, seed: int) -> list[Fault]:
    """So many faults; those of rare kinds are as likely as those of frequent ones."""
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
    """For a process that asks another one."""
    return json.dumps(vars(found))


def from_json(text: str) -> Found:
    """The same, read."""
    found = Found(**json.loads(text))
    found.calls = Counter(found.calls)
    return found
