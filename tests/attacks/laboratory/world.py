"""What is attacked: a repository, the server in front of it, and what an attack on them is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.hostile import HostileServer
from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

PIECES = 48
"""Of one MB each: what an endless answer sends before it ends after all."""
ALL_IS_WELL = "All is well"
"""What a line would say that an attacker began himself."""
BOMB = 1 << 16
"""MB that a bomb unpacks to; on the wire each is a kB, and networks buffer thousands of these."""


@dataclass
class World:
    """A repository, and the server in front of it that the attacker has taken.

    Attributes:
        made: The repository; it is the world's own.
        server: Serves it.
        folder: For what the attacker makes.
        project: Whom he attacks: what is named, or what a build needs.
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
        """The name of the wheel that would be chosen."""
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
        """A file that the attacker's code makes as soon as it runs."""
        return self.folder / "ran"

    @property
    def evil_code(self) -> dict[str, str]:
        """The files of a wheel of the attacker's, whose code says that it ran."""
        ran = f"open({str(self.evidence)!r}, 'w').close()\n"
        return {name: ran + text for name, text in self.code.items()}

    def evil(self, requires: list[str] | None = None) -> bytes:
        """A wheel under the genuine one's name with that code."""
        needed = requires or (["lib"] if self.project == "app" else [])
        return self.evil_release("2.0", needed).read_bytes()

    def evil_release(self, version: str, requires: Sequence[str] = ()) -> Path:
        """A wheel of any version with that code."""
        folder = self.folder / "evil"
        return make_wheel(folder, self.project, version, requires, files=self.evil_code)

    def forge(self, wheel: bytes) -> None:
        """Serve ``wheel`` in the genuine one's place, with its digest on every page."""
        self.server.forge(self.project, self.wheel, wheel)

    def release(self, version: str) -> None:
        """The genuine operator publishes another release."""
        wheel = make_wheel(self.folder / "new", self.project, version, files=self.code)
        self.made.add(wheel)


Wanted = Callable[[Machine, World, Finished], bool]
"""Whether pip, which has ended so, has done what the attacker wants."""


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        kind: Which of the kinds of attacks it is.
        act: Does it.
        codes: The exit codes with which it may end: 3, or 1 where the server is in question only.
        unseen_codes: The same at first use, where nobody has signed yet what there is.
        needs_signatures: Whether it changes signed metadata, which first use makes by itself.
        before: What happens before the client has seen the repository for the first time.
        fools_pip: Whether plain pip has done what the attacker wants; ``None`` where it does not.
        not_by: Ways by which the attack cannot come.
        passed_over_by: Ways that install the genuine release nevertheless, and nothing else.
        names_server: Whether what is said names the server.
        days: By how many days the user's clock is wrong.
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
