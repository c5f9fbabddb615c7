"""The commands that faults happen to, and what has to hold after each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tests.faults.bench import Bench
from tests.support.machine import Finished
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel


class Scene(ABC):
    """A command, on what is prepared for it.

    Each question is asked in a process of its own, with nothing failing any more.

    Attributes:
        code: What the command ends with when nothing fails.
        said: One of these is in what a person reads of it when it ends with anything else.
    """

    code = 0
    said: tuple[str, ...] = ("ERROR",)

    def __init__(self, bench: Bench) -> None:
        self.bench, self.machine, self.work = bench, bench.machine, bench.work

    def make_repository(self, name: str, expected_files: int = 10) -> MadeRepository:
        """A repository of ``app`` and ``lib`` 1.0, in a folder of ``work``."""
        return make_repository(
            self.work / name,
            make_wheel(self.work / "built", "app", "1.0"),
            make_wheel(self.work / "built", "lib", "1.0"),
            expected_files=expected_files,
        )

    @abstractmethod
    def prepare(self) -> None:
        """Make what the command starts from."""

    @abstractmethod
    def run(self) -> Finished:
        """The command."""

    @abstractmethod
    def look(self) -> None:
        """What holds whatever has failed: raises ``AssertionError``."""

    @abstractmethod
    def look_at_end(self) -> None:
        """What holds once the command has come to its end, too."""

    def again(self) -> Finished:
        """The next run."""
        return self.run()

    @property
    def but(self) -> Sequence[Path]:
        """What below ``work`` is not state: a fault there is none of ours."""
        return ()
