"""``repo ceremony``: signing with offline keys that never come near the server."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import new_command
from securepip.cli.repo.keys import (
    add_key_options,
    confirm,
    new_passphrase,
    open_repository,
    passphrase,
    pin,
)
from securepip.errors import UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import Key

    from securepip.signing.offline.ceremony.steps import Signing

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_to(commands: Commands) -> None:
    """Add the command to those of ``repo``."""
    summary = "sign with offline keys elsewhere, by way of a folder that is carried around"
    ceremony = commands.add_parser("ceremony", help=summary, description=summary)
    inner = ceremony.add_subparsers(title="steps", metavar="STEP", required=True)
    _add_prepare(inner)
    _add_sign(inner)
    _add_collect(inner)


def _add_prepare(inner: Commands) -> None:
    parser = new_command(inner, "prepare", "on the server: write down what is due to be signed")
    parser.add_argument("folder", type=Path, metavar="DIR", help="the repository")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder to be made")
    parser.add_argument(
        "--renew", action="append", default=[], metavar="ROLE",
        help="root, targets, bins or claimed, although it is not due; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--new-key", action="append", default=[], metavar="ROLE=FILE",
        help="a public key, made with `sign keygen`, that is to sign ROLE from now on instead of "
        "its present keys; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--replace", action="append", default=[], metavar="KEYID",
        help="only this key goes, by the beginning of its id; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--new-online-key", action="store_true", help="replace the online key by one that is made"
    )
    parser.add_argument(
        "--new-key-uri", metavar="URI", help="replace the online key by one on a device"
    )
    add_key_options(parser)
    parser.set_defaults(run=_prepare)


def _prepare(arguments: argparse.Namespace) -> int:
    from securepip.signing.keys import ring as keys
    from securepip.signing.offline.ceremony.steps import prepare
    from securepip.signing.offline.ceremony.words import describe
    from securepip.signing.offline.rotate import NewKeys

    coming = public_keys(arguments.new_key)
    with open_repository(arguments) as repository:
        online = None
        if arguments.new_key_uri:
            online = NewKeys(Path(), None, (arguments.new_key_uri,))
        elif arguments.new_online_key:
            default = keys.default_folder(repository.config.repository_id, keys.ONLINE)
            online = NewKeys(arguments.keys or default, new_passphrase(arguments))
        proposal, promotion = prepare(
            repository, arguments.bundle, renew=arguments.renew, new_keys=coming,
            replace=arguments.replace, online=online,
        )  # fmt: skip
        lines = describe(proposal, repository.roles())
    for line in lines:
        console.say(line)
    for project, why in promotion.outdated.items():
        console.warn(f"The change of the keys of {project} is left out: {why}")
    console.say(f"Carry {arguments.bundle} to the key holders. Each types, without a network:")
    console.say("  securepip repo ceremony sign BUNDLE --keys DIR")
    return 0


def public_keys(settings: list[str]) -> dict[str, list[Key]]:
    """What ``--new-key ROLE=FILE`` says: public keys by role.

    Raises:
        UsageError: It is of another form.
        FormatError: A file holds no public key.
    """
    from securepip.signing.keys.maintainer import read_public

    found: dict[str, list[Key]] = {}
    for setting in settings:
        role, equals, path = setting.partition("=")
        if not equals:
            raise UsageError(f"not ROLE=FILE: {setting!r:.200}")
        found.setdefault(role, []).append(read_public(Path(path)))
    return found


def _add_sign(inner: Commands) -> None:
    parser = new_command(
        inner, "sign", "on a key holder's machine: look at what changes, and sign it"
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument(
        "--key-uri", action="append", default=[], metavar="URI",
        help="a key on a device or in a key service; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--root-sha256", metavar="HEX",
        help="the fingerprint of the repository, from where you have it since it was made",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="sign without asking")
    add_key_options(parser)
    parser.set_defaults(run=_sign)


def _sign(arguments: argparse.Namespace) -> int:
    from securepip.formats.digests import parse_sha256
    from securepip.signing.keys.maintainer import open_keys
    from securepip.signing.offline.ceremony.steps import Signing
    from securepip.signing.offline.ceremony.words import describe

    known = None if arguments.root_sha256 is None else parse_sha256(arguments.root_sha256)
    signing = Signing(arguments.bundle, known)
    for line in describe(signing.proposal, signing.roles):
        console.say(line)
    for line in signing.unproven():
        console.warn(f"{line}. Sign only if you know why: the server may be in the wrong hands.")
    if known is None:
        console.say(f"The repository's fingerprint: {signing.root_sha256}")
        console.say("Compare it with the one you know: whoever made this chose it.")
    if not confirm(arguments, "Sign this?"):
        console.say("Nothing was signed.")
        return 1
    folders = [arguments.keys] if arguments.keys else []
    ring = open_keys(folders, lambda: passphrase(arguments), lambda: pin(arguments))
    for uri in arguments.key_uri:
        place, key = ring.public_key(uri)
        ring.remember({key.keyid: place})
    signed = signing.sign(ring)
    for filename, keyids in signed.items():
        console.say(f"Signed {filename} with {', '.join(keyid[:12] for keyid in keyids)}")
    if not signed:
        console.warn("None of the keys here is asked for, or what they sign is signed already.")
    _say_missing(signing)
    return 0 if signed else 1


def _say_missing(signing: Signing) -> None:
    wanting = [(duty, missing) for duty in signing.duties() for missing in duty.missing()]
    for duty, (count, keyids) in wanting:
        names = ", ".join(keyid[:12] for keyid in keyids)
        console.say(f"{duty.filename} wants {count} more of: {names}")
    if not wanting:
        console.say("It is complete. On the server: securepip repo ceremony collect DIR BUNDLE")


def _add_collect(inner: Commands) -> None:
    parser = new_command(inner, "collect", "on the server: make current what was signed")
    parser.add_argument("folder", type=Path, metavar="DIR", help="the repository")
    parser.add_argument(
        "bundles", type=Path, nargs="+", metavar="BUNDLE", help="copies may be signed apart"
    )
    add_key_options(parser)
    parser.set_defaults(run=_collect)


def _collect(arguments: argparse.Namespace) -> int:
    from securepip.signing.offline.ceremony.steps import collect

    with open_repository(arguments) as repository:
        done = collect(repository, arguments.bundles)
    if done:
        console.say(f"Current now: {', '.join(done)}")
    else:
        console.say(f"Nothing to do: all of it is current in {shlex.quote(str(arguments.folder))}.")
    return 0
