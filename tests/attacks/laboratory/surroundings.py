"""Attacks from around the user: other indexes, files of tools, caches, links, and passwords.

The server takes no part in them. They have no effect: the genuine release is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.laboratory.ways import Outcome, Victim, download, gateway
from tests.support.hostile import serve_hostile
from tests.support.indexes import serve_index

SECRET = "hunter2"
NO_TOOL = ("gateway",)
"""`past the gateway` tries the options and files of the gateway's tool."""


@dataclass(frozen=True)
class Surrounding:
    """An attack from around the user.

    Attributes:
        kind: The kind of attack.
        around: Prepares it for a victim for as long as the ``with`` lasts, and checks the result
            at its end.
        fools_pip: Whether plain pip takes the attacker's file.
        not_by: Ways in that the attack cannot take.
        refused_by: Ways in that stop and install nothing.
        credentials: The credentials in the repository's location, with an ``@`` at the end.
    """

    kind: str
    around: Callable[[Victim, str], Iterator[None]]
    fools_pip: bool = False
    not_by: tuple[str, ...] = ()
    refused_by: tuple[str, ...] = ()
    credentials: str = ""


def another_index(victim: Victim, _way: str) -> Iterator[None]:
    """A variable names a further index, which has a newer release of an internal project."""
    with serve_index() as index:
        index.offer(victim.world.evil_release("9.0"))
        victim.machine.variables["PIP_EXTRA_INDEX_URL"] = index.url
        yield


def a_file_of_the_environment(victim: Victim, _way: str) -> Iterator[None]:
    """The environment has a configuration file of pip's that names a folder of wheels."""
    folder = victim.world.evil_release("9.0").parent
    file = victim.machine.environment / "pip.conf"
    file.write_text(f"[global]\nfind-links = {folder}\n")
    victim.machine.variables["PIP_CONFIG_FILE"] = ""
    yield


def a_server_that_sends_on(victim: Victim, _way: str) -> Iterator[None]:
    """The server, which requires a password, redirects requests for files to another server."""
    server = victim.world.server
    server.authorized.clear()
    with serve_hostile(server.folder) as other:
        server.redirect(victim.world.wheels, other.url)
        yield
        assert server.authorized, "it is told the password"
        assert not other.authorized, "and nobody else"


def other_bytes_in_the_cache(victim: Victim, way: str) -> Iterator[None]:
    """The attacker has replaced each cached copy of the genuine wheel."""
    evil = victim.world.evil()
    for file in _kept(victim, way):
        file.chmod(0o600)
        file.write_bytes(evil)
    yield


def links_in_the_cache(victim: Victim, way: str) -> Iterator[None]:
    """The attacker has replaced each cached copy by a link to a file of the user."""
    theirs = victim.machine.folder / "theirs"
    theirs.write_bytes(victim.world.evil())
    before = theirs.read_bytes()
    for file in _kept(victim, way):
        file.unlink()
        file.symlink_to(theirs)
    yield
    assert theirs.read_bytes() == before, "no link is followed where something is written"


def _kept(victim: Victim, way: str) -> list[Path]:
    """The cached copies of the genuine wheel, after an honest download."""
    victim.words = ()
    first = Victim(victim.machine, victim.world, victim.world.project, words=())
    done = gateway(first) if way == "gateway" else _fetched(first)
    assert done.code == 0, done
    genuine = victim.world.genuine
    places = [victim.machine.folder / name for name in ("cache", "data", "home")]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    found = [file for file in files if file.read_bytes() == genuine]
    assert found, "something is kept"
    return found


def _fetched(victim: Victim) -> Outcome:
    outcome = download(victim)
    for file in victim.place.iterdir():
        file.unlink()
    return outcome


SURROUNDINGS = {
    "another index": Surrounding(
        "dependency confusion",
        another_index,
        fools_pip=True,
        not_by=NO_TOOL,
        refused_by=("plugin",),  # it stops if no digest proves the file
    ),
    "a file of the environment": Surrounding(
        "the user's surroundings", a_file_of_the_environment, fools_pip=True, not_by=NO_TOOL
    ),
    "a server that sends on": Surrounding(
        "leaked credentials", a_server_that_sends_on, credentials=f"user:{SECRET}@"
    ),
    "other bytes in the cache": Surrounding("poisoned caches", other_bytes_in_the_cache),
    "links in the cache": Surrounding("links in folders", links_in_the_cache),
}
"""The attacks by name."""
