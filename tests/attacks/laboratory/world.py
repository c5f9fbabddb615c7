"""The world of an attack: a repository, and the server in front of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.hostile import HostileServer
from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

PIECES = 48
"""The number of MB of an endless answer: it must end when no client gives it up."""
ALL_IS_WELL = "All is well"
"""The text of a line that an attacker injects."""
BOMB = 1 << 16
"""MB that a bomb unpacks to. On the wire each is a kB, and networks buffer thousands of these."""


@dataclass
class World:
    """A repository, and the server in front of it, which the attacker controls.

    Attributes:
        made: The repository, which a test may change.
        server: The server.
        folder: The folder for the attacker's files.
        project: The project that he attacks: a requirement, or a build requirement.
        code: The files of a genuine wheel of that project.
        bomb: How many MB a bomb unpacks to.
        sent: How many MB of an endless answer were sent.
    """

    made: MadeRepository
    server: HostileServer
    folder: Path
    project: str = "app"
    code: dict[str, str] = field(default_factory=lambda: {"app/__init__.py": "VERSION = '2.0'\n"})
    bomb: int = BOMB
    sent: int = 0

    @property
    def wheel(self) -> str:
        """The name of the wheel that a client chooses."""
        return f"{self.project}-2.0-py3-none-any.whl"

    @property
    def genuine(self) -> bytes:
        """Its bytes."""
        return (self.made.folder / "packages" / self.project / self.wheel).read_bytes()

    @property
    def pages(self) -> str:
        """The paths of the project's pages, of every form."""
        return rf"simple/{self.project}/.*"

    @property
    def wheels(self) -> str:
        """The paths of the wheel."""
        return rf"packages/{self.project}/[^/]*{self.wheel}"

    @property
    def evidence(self) -> Path:
        """A file that the attacker's code writes when it runs."""
        return self.folder / "ran"

    @property
    def evil_code(self) -> dict[str, str]:
        """The files of the attacker's wheel, whose code writes ``evidence``."""
        ran = f"open({str(self.evidence)!r}, 'w').close()\n"
        return {name: ran + text for name, text in self.code.items()}

    def evil(self, requires: list[str] | None = None) -> bytes:
        """A wheel with that code under the genuine one's name."""
        needed = requires or (["lib"] if self.project == "app" else [])
        return self.evil_release("2.0", needed).read_bytes()

    def evil_release(self, version: str, requires: Sequence[str] = ()) -> Path:
        """A wheel of any version with that code."""
        folder = self.folder / "evil"
        return make_wheel(folder, self.project, version, requires, files=self.evil_code)

    def forge(self, wheel: bytes) -> None:
        """Serve ``wheel`` in place of the genuine one, with its digest on every page."""
        self.server.forge(self.project, self.wheel, wheel)

    def release(self, version: str) -> None:
        """Publish another release, as the genuine operator."""
        wheel = make_wheel(self.folder / "new", self.project, version, files=self.code)
        self.made.add(wheel)


Wanted = Callable[[Machine, World, Finished], bool]
"""Whether an attack has worked on the pip that ended so."""


@dataclass(frozen=True)
class Attack:
    """An attack.

    Attributes:
        kind: The kind of attack.
        act: Makes it.
        codes: The exit codes with which securepip may end: 3, or 1 if the server has only failed.
        unseen_codes: The same on first use of a release, which nobody has signed yet.
        needs_signatures: Whether it changes signed metadata, which an index for first use lacks.
        before: Prepares it, before the client has seen the repository.
        fools_pip: Whether it has worked on plain pip; ``None`` if it does not.
        not_by: Ways in that the attack cannot take.
        passed_over_by: Ways in that install the genuine release nevertheless, and nothing else.
        names_server: Whether the messages name the server.
        days: The number of days by which the user's clock is fast.
    """

    kind: str
    act: Callable[[World], None]
    codes: tuple[int, ...] = (3,)
    unseen_codes: tuple[int, ...] = ()
    needs_signatures: bool = False
    before: Callable[[World], None] | None = None
    fools_pip: Wanted | None = None
    not_by: tuple[str, ...] = ()
    passed_over_by: tuple[str, ...] = ()
    names_server: bool = True
    days: int = 0
