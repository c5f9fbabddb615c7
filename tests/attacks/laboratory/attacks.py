"""What the attacker does: each attack changes what one server serves."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

from securepip.formats.digests import sha256_of
from securepip.signing.repository import commit
from tests.support.hostile import HostileServer, Reply, flip_byte
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel, metadata_text

PIECES = 48
"""Of one MB each: what an endless answer sends before it ends after all."""


@dataclass
class World:
    """A repository, and the server in front of it that the attacker has taken.

    Attributes:
        made: The repository; it is the world's own.
        server: Serves it.
        folder: For what the attacker makes.
        project: Whom he attacks: what is named, or what a build needs.
        code: The files of a genuine wheel of that project.
        sent: How many MB of an endless answer were sent.
    """

    made: MadeRepository
    server: HostileServer
    folder: Path
    project: str = "app"
    code: dict[str, str] = field(default_factory=lambda: {"app/__init__.py": "VERSION = '2.0'\n"})
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

    def evil(self, requires: list[str] | None = None) -> bytes:
        """A wheel under the genuine one's name whose code says that it ran."""
        ran = f"open({str(self.evidence)!r}, 'w').close()\n"
        code = {name: ran + text for name, text in self.code.items()}
        needed = requires or (["lib"] if self.project == "app" else [])
        made = make_wheel(self.folder / "evil", self.project, "2.0", requires=needed, files=code)
        return made.read_bytes()

    def forge(self, wheel: bytes) -> None:
        """Serve ``wheel`` in the genuine one's place, with its digest on every page."""
        self.server.forge(self.project, self.wheel, wheel)

    def release(self, version: str) -> None:
        """The genuine operator publishes another release."""
        wheel = make_wheel(self.folder / "new", self.project, version, files=self.code)
        self.made.add(wheel)


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        kind: Which of the kinds of attacks it is.
        act: Does it.
        codes: The exit codes with which it may end: 3, or 1 where the server is in question only.
        needs_signatures: Whether it changes signed metadata, which first use makes by itself.
        before: What happens before the client has seen the repository for the first time.
        fools_pip: Whether plain pip installs what the attacker wants.
    """

    kind: str
    act: Callable[[World], None]
    codes: tuple[int, ...] = (3,)
    needs_signatures: bool = False
    before: Callable[[World], None] | None = None
    fools_pip: bool = False


def forge_page_and_wheel(world: World) -> None:
    world.forge(world.evil())


def forge_wheel_alone(world: World) -> None:
    evil = world.evil()
    world.server.alter(world.wheels, lambda _: evil)


def change_a_byte(world: World) -> None:
    world.server.alter(world.wheels, flip_byte)


def keep_a_copy(world: World) -> None:
    shutil.copytree(world.made.folder, world.folder / "kept")
    world.release("3.0")


def serve_the_copy(world: World) -> None:
    world.server.folder = world.folder / "kept"


def let_it_expire(world: World) -> None:
    """Sign what everyday keys sign as if it had been a month ago: nothing newer ever came."""
    then = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=30)
    with mock.patch.object(commit, "now", lambda: then):
        world.release("3.0")


def _endless(world: World, pattern: str) -> None:
    def endless(data: bytes) -> Reply:
        def pieces() -> Iterator[bytes]:
            yield data
            for _ in range(PIECES):
                world.sent += 1
                yield bytes(1 << 20)

        return pieces()

    world.server.alter(pattern, endless)


def send_a_wheel_without_end(world: World) -> None:
    _endless(world, world.wheels)


def send_a_timestamp_without_end(world: World) -> None:
    _endless(world, r"metadata/timestamp\.json")


def let_the_wheel_drip(world: World) -> None:
    def drip(data: bytes) -> Reply:
        def pieces() -> Iterator[bytes]:
            for at in range(0, len(data), 40):
                yield data[at : at + 40]
                time.sleep(0.1)

        return pieces()

    world.server.alter(world.wheels, drip)


def forge_a_dependency(world: World) -> None:
    world.forge(world.evil(["other"]))
    genuine = world.made.folder / "packages" / world.project / f"{world.wheel}.metadata"
    lie = metadata_text(world.project, "2.0", ["other"]).encode()
    old, new = sha256_of(genuine.read_bytes()).encode(), sha256_of(lie).encode()
    world.server.alter(world.pages, lambda page: page.replace(old, new))
    world.server.alter(rf"{world.wheels}\.metadata", lambda _: lie)


def serve_old_bins_with_the_new_snapshot(world: World) -> None:
    """Each file was signed, but never for the same moment."""
    keep_a_copy(world)
    _serve_old(world, lambda name: ".bin-" in name)


def serve_the_old_snapshot_with_the_new_timestamp(world: World) -> None:
    keep_a_copy(world)
    _serve_old(world, lambda name: ".snapshot" in name)


def _serve_old(world: World, which: Callable[[str], bool]) -> None:
    kept = world.folder / "kept" / "metadata"
    for path in (world.made.folder / "metadata").glob("*.*.json"):
        role = path.name.partition(".")[2]
        if not (kept / path.name).exists() and which(path.name):
            old = max(kept.glob(f"*.{role}"), key=lambda one: int(one.name.split(".")[0]))
            _replace(world.server, f"metadata/{path.name}", old.read_bytes())


def _replace(server: HostileServer, path: str, data: bytes) -> None:
    server.alter(re.escape(path), lambda _: data)


def serve_another_release_in_its_place(world: World) -> None:
    folder = world.made.folder / "packages" / world.project
    old = (folder / world.wheel.replace("2.0", "1.0")).read_bytes()
    world.forge(old)


def serve_another_project_in_its_place(world: World) -> None:
    lib = (world.made.folder / "packages" / "lib" / "lib-1.0-py3-none-any.whl").read_bytes()
    world.server.alter(world.wheels, lambda _: lib)


def withhold_the_metadata(world: World) -> None:
    world.server.withhold("metadata/.*", 503)


def withhold_the_wheel(world: World) -> None:
    world.server.withhold(rf"{world.wheels}(\.metadata)?")


def sign_with_other_keys(world: World) -> None:
    """A whole repository of the attacker's."""
    theirs = make_repository(
        world.folder / "theirs",
        make_wheel(world.folder / "evil", world.project, "9.0", files=world.code),
        make_wheel(world.folder / "evil", "lib", "9.0"),
    )
    world.server.folder = theirs.folder


def redirect_in_circles(world: World) -> None:
    world.server.redirect(world.wheels, world.server.url)


def nest_the_timestamp(world: World) -> None:
    """More deeply than a reader that calls itself can follow."""
    _replace(world.server, "metadata/timestamp.json", b'{"signed":' * 100_000)


def hide_the_project(world: World) -> None:
    """What depends on it could be had in an older release that does without."""
    world.server.withhold(world.pages)


ATTACKS = {
    "forged page and wheel": Attack("arbitrary software", forge_page_and_wheel, fools_pip=True),
    "forged wheel": Attack("arbitrary software", forge_wheel_alone),
    "one changed byte": Attack("arbitrary software", change_a_byte),
    "older state": Attack(
        "rollback", serve_the_copy, needs_signatures=True, before=keep_a_copy, fools_pip=True
    ),
    "expired state": Attack("indefinite freeze", let_it_expire, needs_signatures=True),
    "endless wheel": Attack("endless data", send_a_wheel_without_end),
    "endless timestamp": Attack(
        "endless data", send_a_timestamp_without_end, needs_signatures=True
    ),
    "dripping wheel": Attack("slow retrieval", let_the_wheel_drip, codes=(1,)),
    "forged dependency": Attack("extraneous dependencies", forge_a_dependency, fools_pip=True),
    "old bins, new snapshot": Attack(
        "mix-and-match", serve_old_bins_with_the_new_snapshot, needs_signatures=True
    ),
    "old snapshot, new timestamp": Attack(
        "mix-and-match", serve_the_old_snapshot_with_the_new_timestamp, needs_signatures=True
    ),
    "another release": Attack("wrong software", serve_another_release_in_its_place),
    "another project": Attack("wrong software", serve_another_project_in_its_place),
    "no metadata": Attack("malicious mirror", withhold_the_metadata, (1,), needs_signatures=True),
    "no wheel": Attack("malicious mirror", withhold_the_wheel, (1,)),
    "other keys": Attack(
        "key compromise", sign_with_other_keys, needs_signatures=True, fools_pip=True
    ),
    "circle of redirects": Attack("redirects", redirect_in_circles, codes=(1,)),
    "nested timestamp": Attack("hostile JSON and HTML", nest_the_timestamp, needs_signatures=True),
    "hidden page": Attack("hidden projects", hide_the_project, (1,), needs_signatures=True),
}
"""Each attack by what is served."""
