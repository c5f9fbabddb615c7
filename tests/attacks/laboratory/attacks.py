"""The attacks of a server: each one changes its answers."""

from __future__ import annotations

import gzip
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from unittest import mock

from securepip.formats.digests import sha256_of
from securepip.signing.repository import commit
from tests.attacks.laboratory import plain_pip
from tests.attacks.laboratory.world import PIECES, Attack, World
from tests.support.hostile import Coded, HostileServer, Reply, flip_byte
from tests.support.repositories import make_repository
from tests.support.wheels import make_wheel, metadata_text

MEGABYTE = gzip.compress(b" " * (1 << 20))


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
    """Sign everything that the online key signs as if it were a month ago."""
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


def send_a_bomb_for_the_page(world: World) -> None:
    """Send a page that is small on the wire and begins with many MB once it is unpacked."""

    def bomb(data: bytes) -> Reply:
        def pieces() -> Iterator[bytes]:
            for _ in range(world.bomb):
                world.sent += 1
                yield MEGABYTE
            yield gzip.compress(data)

        return Coded("gzip", pieces())

    world.server.alter(world.pages, bomb)


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
    """Each file was signed, but not at the same time."""
    _serve_old(world, lambda name: ".bin-" in name)


def serve_the_old_snapshot_with_the_new_timestamp(world: World) -> None:
    _serve_old(world, lambda name: ".snapshot" in name)


def _serve_old(world: World, which: Callable[[str], bool]) -> None:
    """Serve some old metadata, and the old page of plain clients, among the new files."""
    keep_a_copy(world)
    world.made.add(make_wheel(world.folder / "new", "lib", "2.0"))
    page = world.folder / "kept" / "simple" / world.project / "index.html"
    _replace(world.server, f"simple/{world.project}/", page.read_bytes())
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
    """Serve a whole repository of the attacker's."""
    theirs = make_repository(
        world.folder / "theirs",
        world.evil_release("9.0"),
        make_wheel(world.folder / "evil", "lib", "9.0"),
    )
    world.server.folder = theirs.folder


def do_nothing(_world: World) -> None:
    """Change nothing."""


def redirect_in_circles(world: World) -> None:
    world.server.redirect(world.wheels, world.server.url)


def nest_the_timestamp(world: World) -> None:
    """Nest it deeper than a recursive parser can go."""
    _replace(world.server, "metadata/timestamp.json", b'{"signed":' * 100_000)


def hide_the_project(world: World) -> None:
    """Without it, an older release of the project that depends on it would be chosen."""
    world.server.withhold(world.pages)


SERVED = {
    "forged page and wheel": Attack(
        "arbitrary software", forge_page_and_wheel, fools_pip=plain_pip.runs_it
    ),
    "forged wheel": Attack("arbitrary software", forge_wheel_alone),
    "one changed byte": Attack("arbitrary software", change_a_byte),
    "older state": Attack(
        "rollback",
        serve_the_copy,
        needs_signatures=True,
        before=keep_a_copy,
        fools_pip=plain_pip.has("app", "2.0"),
    ),
    "expired state": Attack(
        "indefinite freeze",
        let_it_expire,
        needs_signatures=True,
        fools_pip=plain_pip.has("app", "3.0"),
    ),
    "endless wheel": Attack(
        "endless data",
        send_a_wheel_without_end,
        unseen_codes=(1,),
        fools_pip=plain_pip.reads_all_of_it,
    ),
    "endless timestamp": Attack(
        "endless data", send_a_timestamp_without_end, needs_signatures=True
    ),
    "dripping wheel": Attack(
        "slow retrieval", let_the_wheel_drip, codes=(1,), fools_pip=plain_pip.has("app", "2.0")
    ),
    "forged dependency": Attack(
        "extraneous dependencies", forge_a_dependency, fools_pip=plain_pip.has("other", "1.0")
    ),
    "old bins, new snapshot": Attack(
        "mix-and-match",
        serve_old_bins_with_the_new_snapshot,
        needs_signatures=True,
        fools_pip=plain_pip.has_old_and_new,
    ),
    "old snapshot, new timestamp": Attack(
        "mix-and-match", serve_the_old_snapshot_with_the_new_timestamp, needs_signatures=True
    ),
    "another release": Attack("wrong software", serve_another_release_in_its_place),
    "another project": Attack("wrong software", serve_another_project_in_its_place),
    "no metadata": Attack("malicious mirror", withhold_the_metadata, (1,), needs_signatures=True),
    "no wheel": Attack("malicious mirror", withhold_the_wheel, (1,)),
    "other keys": Attack(
        "key compromise",
        sign_with_other_keys,
        needs_signatures=True,
        fools_pip=plain_pip.has("app", "9.0"),
    ),
    "circle of redirects": Attack("redirects", redirect_in_circles, codes=(1,)),
    "nested timestamp": Attack("hostile JSON and HTML", nest_the_timestamp, needs_signatures=True),
    "hidden page": Attack("hidden projects", hide_the_project, (1,), needs_signatures=True),
    "page that is a bomb": Attack(
        "decompression bombs",
        send_a_bomb_for_the_page,
        unseen_codes=(1,),
        fools_pip=plain_pip.has("app", "2.0"),
    ),
    "clock set forth": Attack("clocks", do_nothing, needs_signatures=True, days=20),
}
"""The attacks by name."""
