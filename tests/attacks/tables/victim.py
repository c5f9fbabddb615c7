"""A repository whose online key is stolen, and its thief."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from securepip.signing.claims.promote import promote
from securepip.signing.claims.transactions.accept import accept
from tests.attacks.tables.thief import Thief
from tests.attacks.tables.world import EXPIRY, SERVED, World, ago, opened
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import make_repository
from tests.support.wheels import make_wheel

ONLINE = ("timestamp", "snapshot", "recently-claimed", "bin-n")


class Victim:
    """A repository whose online key is stolen, and a client of it.

    Attributes:
        world: The world of the repository, which has one online key.
        owner: The maintainers of ``app``.
        good: A copy from before the theft.
    """

    def __init__(self, folder: Path, days: int) -> None:
        """The claim was made now; the state without it is of ``days`` ago."""
        self.owner = Maintainers.of(1)
        self._folder = folder
        built = folder / "built"
        with ago(days):
            made = make_repository(
                folder / "repository",
                make_wheel(built, "app", "1.0"),
                make_wheel(built, "other", "1.0"),
                expected_files=1,
                expiry=EXPIRY,
            )
        earlier = folder / "earlier"
        copy_served(made.folder, earlier)
        with opened(made) as repository:
            repository.sign({name: repository.roles().role(name) for name in ("targets", "bins")})
            roles = repository.roles()
            (online,) = roles.root.signed.roles["timestamp"].keyids
            signer = repository.keys.find(roles.root.signed.keys[online])
        assert signer is not None
        claim(made, "app", self.owner)
        made = replace(made, repository=opened(made))
        promote(made.repository)
        self.good = folder / "good"
        copy_served(made.folder, self.good)
        self.world = World(made, earlier, dict.fromkeys(ONLINE, (signer,)))
        self.release("2.0")

    def release(self, version: str) -> None:
        """Publish a release of ``app``, signed by its maintainers."""
        wheel = make_wheel(self._folder / "built", "app", version)
        requests = self._folder / "requests"
        made = self.world.made
        accept(made.repository, self.owner.release(made, "app", requests, wheel))

    def reopen(self) -> None:
        """Open the repository again, because another process has changed its settings."""
        made = self.world.made
        self.world = replace(self.world, made=replace(made, repository=opened(made)))

    def thief(self) -> Thief:
        """A thief who has the online key."""
        return Thief(self.world, self._folder / "thief", ONLINE)


def copy_served(folder: Path, to: Path) -> None:
    """Copy the served folders over those of another folder."""
    for name in SERVED:
        shutil.copytree(folder / name, to / name, dirs_exist_ok=True)
