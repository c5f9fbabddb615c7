"""The interface of a scene: a command, and what must hold after each of its faults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tests.faults.bench import Bench
from tests.support.machine import Finished
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel


class Scene(ABC):
    """A command, with the state that it needs.

    Each method runs in a new process; only in ``run`` a call fails.

    Attributes:
        code: The exit code without a fault.
        said: Parts of messages: if it ends with another code, its messages contain one of them.
    """

    code = 0
    said: tuple[str, ...] = ("ERROR",)

    def __init__(self, bench: Bench) -> None:
        self.bench, self.machine, self.work = bench, bench.machine, bench.work

    def make_repository(self, name: str, expected_files: int = 10) -> MadeRepository:
        """Make a repository of ``app`` and ``lib`` 1.0, in a folder of ``work``."""
        return make_repository(
            self.work / name,
            make_wheel(self.work / "built", "app", "1.0"),
            make_wheel(self.work / "built", "lib", "1.0"),
            expected_files=expected_files,
        )

    @abstractmethod
    def prepare(self) -> None:
        """Make the state that the command starts from."""

    @abstractmethod
    def run(self) -> Finished:
        """Run the command."""

    @abstractmethod
    def look(self) -> None:
        """Check what must hold after each fault.

        Raises:
            AssertionError: It does not hold.
        """

    @abstractmethod
    def look_at_end(self) -> None:
        """Check what must also hold after a run that has succeeded."""

    def again(self) -> Finished:
        """Run the command again."""
        return self.run()

    @property
    def but(self) -> Sequence[Path]:
        """Paths below ``work`` that are not state, in which no call is counted."""
        return ()
