"""``repo rotate``: replacing keys, with the offline keys at hand."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import new_command
from securepip.cli.repo.keys import add_key_options, new_passphrase, open_repository

if TYPE_CHECKING:
    from securepip.signing.offline.rotate import NewKeys, Rotated
    from securepip.signing.repository.repository import Repository

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_to(commands: Commands) -> None:
    """Add the command to those of ``repo``."""
    summary = "replace the keys of a role; clients follow by themselves"
    parser = new_command(commands, "rotate", summary)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the repository")
    parser.add_argument(
        "role", metavar="ROLE",
        help="online (all that is signed on the server), root, targets, bins, claimed, timestamp, "
        "snapshot, recently-claimed or bin-n",
    )  # fmt: skip
    parser.add_argument(
        "--replace", action="append", default=[], metavar="KEYID",
        help="only this key of the role, by the beginning of its id; may be repeated",
    )  # fmt: skip
    add_new_key_options(parser)
    add_key_options(parser)
    parser.set_defaults(run=_run)


def add_new_key_options(parser: argparse.ArgumentParser) -> None:
    """Where the offline keys are, and the new ones come from."""
    parser.add_argument(
        "--offline-keys", type=Path, action="append", default=[], metavar="DIR",
        help="a folder of offline keys; may be repeated. New offline keys go into the first one",
    )  # fmt: skip
    parser.add_argument(
        "--new-key-uri", action="append", default=[], metavar="URI",
        help="a key that is on a device or in a key service, instead of one that is made; may be "
        "repeated",
    )  # fmt: skip


def new_keys(arguments: argparse.Namespace, repository: Repository, *, online: bool) -> NewKeys:
    """Where the new keys of a role come from."""
    from securepip.signing.keys import ring as keys
    from securepip.signing.offline.rotate import NewKeys

    folder = arguments.keys if online else next(iter(arguments.offline_keys), None)
    kind = keys.ONLINE if online else keys.OFFLINE
    uris = tuple(arguments.new_key_uri)
    return NewKeys(
        folder or keys.default_folder(repository.config.repository_id, kind),
        None if uris else new_passphrase(arguments),
        uris,
    )


def _run(arguments: argparse.Namespace) -> int:
    from securepip.signing.offline.proposal import ONLINE_ROLES
    from securepip.signing.offline.rotate import rotate

    with open_repository(arguments, tuple(arguments.offline_keys)) as repository:
        online = arguments.role in ("online", *ONLINE_ROLES)
        new = new_keys(arguments, repository, online=online)
        done = rotate(repository, arguments.role, new, replace=arguments.replace)
    say_rotated(done)
    return 0


def say_rotated(done: Rotated) -> None:
    """Say which keys came and went."""
    if done.resumed:
        console.say("Finished what had been interrupted.")
    _say_keys("new key", done.came)
    _say_keys("old key, of no use any more", done.out)
    if any(done.out.values()):
        console.say("Destroy the old keys. Clients follow at their next refresh, from any version.")


def _say_keys(kind: str, keys: Mapping[str, str | None]) -> None:
    for keyid, uri in keys.items():
        console.say(f"{kind}: {uri or keyid}")
