"""``repo rotate``: replaces keys where the offline keys are on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import Commands
from securepip.cli.repo.place import Place, place_command, place_of

if TYPE_CHECKING:
    from securepip.signing.offline.rotate import Rotated


def add_to(commands: Commands) -> None:
    """Add the command to those of ``repo``."""
    summary = "replace the keys of a role; clients follow by themselves"
    parser = place_command(commands, "rotate", summary)
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
    parser.set_defaults(run=_run)


def add_new_key_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the offline keys are, and where new keys come from."""
    parser.add_argument(
        "--offline-keys", type=Path, action="append", default=[], metavar="DIR",
        help="a folder of offline keys; may be repeated. New offline keys go into the first one",
    )  # fmt: skip
    parser.add_argument(
        "--new-key-uri", action="append", default=[], metavar="URI",
        help="a key that is on a device or in a key service, instead of one that is made; may be "
        "repeated",
    )  # fmt: skip


@dataclass(frozen=True)
class RotateRequest:
    """``securepip repo rotate``.

    Attributes:
        place: The repository; new offline keys go into the first folder of offline keys.
        role: The role whose keys are replaced; ``online`` for all roles signed on the server.
        replace: The beginnings of the ids of the keys to replace; empty for all of the role.
        new_key_uris: New keys on devices or in key services; if empty, keys are made.
    """

    place: Place
    role: str
    replace: tuple[str, ...] = ()
    new_key_uris: tuple[str, ...] = ()


def _run(arguments: argparse.Namespace) -> int:
    return run(
        RotateRequest(
            place_of(arguments, arguments.offline_keys),
            arguments.role,
            tuple(arguments.replace),
            tuple(arguments.new_key_uri),
        )
    )


def run(request: RotateRequest) -> int:
    """Replace the keys of a role, with the offline keys on this machine."""
    from securepip.signing.keys import ring as keys
    from securepip.signing.offline.proposal import ONLINE_ROLES
    from securepip.signing.offline.rotate import NewKeys, rotate

    place = request.place
    with place.open("repo rotate", request.role) as repository:
        if request.role in ("online", *ONLINE_ROLES):
            kind, folder = keys.ONLINE, place.keys.folder
        else:
            kind, folder = keys.OFFLINE, next(iter(place.offline_keys), None)
        new = NewKeys(
            folder or keys.default_folder(repository.config.repository_id, kind),
            None if request.new_key_uris else place.keys.new_passphrase(),
            request.new_key_uris,
        )
        rotated = rotate(repository, request.role, new, replace=request.replace)
    _say_rotated(rotated)
    return 0


def _say_rotated(rotated: Rotated) -> None:
    """Print the new and the replaced keys."""
    if rotated.resumed:
        console.say("Finished what had been interrupted.")
    _say_keys("new key", rotated.came)
    _say_keys("old key, of no use any more", rotated.out)
    if any(rotated.out.values()):
        console.say("Destroy the old keys. Clients follow at their next refresh, from any version.")


def _say_keys(kind: str, keys: Mapping[str, str | None]) -> None:
    for keyid, uri in keys.items():
        console.say(f"{kind}: {uri or keyid}")
