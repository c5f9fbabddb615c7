"""``repo ceremony``: signing with offline keys that are never on the server's machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.keys import KeyOptions, add_key_options, keys_of, short
from securepip.cli.options import Commands, new_command
from securepip.cli.repo.place import Place, place_command, place_of
from securepip.errors import UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import Key

    from securepip.signing.offline.ceremony.steps import Signing


def add_to(commands: Commands) -> None:
    """Add the command to those of ``repo``."""
    summary = "sign with offline keys elsewhere, by way of a folder that is carried around"
    ceremony = commands.add_parser("ceremony", help=summary, description=summary)
    inner = ceremony.add_subparsers(title="steps", metavar="STEP", required=True)
    _add_prepare(inner)
    _add_sign(inner)
    _add_collect(inner)


def _add_prepare(inner: Commands) -> None:
    parser = place_command(inner, "prepare", "on the server: write down what is due to be signed")
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
    parser.set_defaults(run=_prepare)


@dataclass(frozen=True)
class PrepareRequest:
    """``securepip repo ceremony prepare``.

    Attributes:
        place: The repository.
        bundle: The folder to make.
        renew: Roles to sign again although it is not due.
        new_keys: ``ROLE=FILE``, each: a public key that signs the role from now on.
        replace: The beginnings of the ids of the keys to replace; empty for all keys of the role.
        new_online_key: Replace the online key by a new one.
        new_key_uri: Replace the online key by this one, on a device.
    """

    place: Place
    bundle: Path
    renew: tuple[str, ...] = ()
    new_keys: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    new_online_key: bool = False
    new_key_uri: str | None = None


def _prepare(arguments: argparse.Namespace) -> int:
    return prepare(
        PrepareRequest(
            place_of(arguments),
            arguments.bundle,
            renew=tuple(arguments.renew),
            new_keys=tuple(arguments.new_key),
            replace=tuple(arguments.replace),
            new_online_key=arguments.new_online_key,
            new_key_uri=arguments.new_key_uri,
        )
    )


def prepare(request: PrepareRequest) -> int:
    """On the server: write what has to be signed into a bundle."""
    from securepip.signing.keys import ring as keys
    from securepip.signing.offline.ceremony.steps import prepare as write_bundle
    from securepip.signing.offline.ceremony.words import describe
    from securepip.signing.offline.rotate import NewKeys

    coming = public_keys(request.new_keys)
    options = request.place.keys
    with request.place.open("repo ceremony prepare") as repository:
        online = None
        if request.new_key_uri:
            online = NewKeys(Path(), None, (request.new_key_uri,))
        elif request.new_online_key:
            default = keys.default_folder(repository.config.repository_id, keys.ONLINE)
            online = NewKeys(options.folder or default, options.new_passphrase())
        proposal, promotion = write_bundle(
            repository, request.bundle, renew=request.renew, new_keys=coming,
            replace=request.replace, online=online,
        )  # fmt: skip
        lines = describe(proposal, repository.roles())
    for line in lines:
        console.say(line)
    for project, why in promotion.outdated.items():
        console.warn(f"The change of the keys of {project} is left out: {why}")
    say_carry(request.bundle)
    return 0


def say_carry(bundle: Path) -> None:
    """Print what to do with a bundle next."""
    console.say(f"Carry {bundle} to the key holders. Each types, without a network:")
    console.say("  securepip repo ceremony sign BUNDLE --keys DIR --root-sha256 FINGERPRINT")


def public_keys(settings: Sequence[str]) -> dict[str, list[Key]]:
    """The public keys of ``--new-key ROLE=FILE``, by role.

    Raises:
        UsageError: A value has another form.
        FormatError: A file holds no public key.
    """
    from securepip.signing.keys.maintainer import read_public

    by_role: dict[str, list[Key]] = {}
    for setting in settings:
        role, equals, path = setting.partition("=")
        if not equals:
            raise UsageError(f"not ROLE=FILE: {setting!r:.200}")
        by_role.setdefault(role, []).append(read_public(Path(path)))
    return by_role


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
        help="the fingerprint of the repository, from where you have it since it was made; needed "
        "when this machine signs for the repository for the first time",
    )  # fmt: skip
    parser.add_argument(
        "--yes", action="store_true",
        help="sign without asking, for when nobody is at the terminal; every check is made all the "
        "same, and nothing is signed that has a warning",
    )  # fmt: skip
    add_key_options(parser)
    parser.set_defaults(run=_sign)


@dataclass(frozen=True)
class SignRequest:
    """``securepip repo ceremony sign``.

    Attributes:
        bundle: The folder with what has to be signed.
        keys: The holder's keys.
        key_uris: Further keys, on devices or in key services.
        root_sha256: The fingerprint of the repository, as the holder knows it; needed when this
            machine signs for the repository for the first time.
        sure: Sign without asking; refused where a warning is shown.
    """

    bundle: Path
    keys: KeyOptions = field(default_factory=KeyOptions)
    key_uris: tuple[str, ...] = ()
    root_sha256: str | None = None
    sure: bool = False


def _sign(arguments: argparse.Namespace) -> int:
    return sign(
        SignRequest(
            arguments.bundle,
            keys_of(arguments),
            key_uris=tuple(arguments.key_uri),
            root_sha256=arguments.root_sha256,
            sure=arguments.yes,
        )
    )


def sign(request: SignRequest) -> int:
    """On a key holder's machine: show what changes, and sign it; 1 where nothing was signed.

    Raises:
        UsageError: Something is not proven, which asks for a person, and ``sure`` is set; or no
            prompt is possible.
    """
    from securepip.formats.digests import parse_sha256
    from securepip.signing.keys.maintainer import open_keys
    from securepip.signing.offline.ceremony.steps import Signing
    from securepip.signing.offline.ceremony.words import describe

    known = None if request.root_sha256 is None else parse_sha256(request.root_sha256)
    signing = Signing(request.bundle, known)
    for line in describe(signing.proposal, signing.roles, signing.since):
        console.say(line)
    unproven = signing.unproven()
    for line in unproven:
        console.warn(f"{line}. Sign only if you know why: the server may be in the wrong hands.")
    console.say(f"The repository is the one that began with the root {signing.root_sha256}")
    if unproven and request.sure:
        raise UsageError(
            "nothing was signed: --yes answers no question about a warning",
            remedy="If you know why that is so, run it again without --yes, and answer yourself.",
        )
    if not request.sure and not request.keys.confirm(
        "Sign this?", "securepip repo ceremony sign BUNDLE"
    ):
        console.say("Nothing was signed.")
        return 1
    ring = open_keys(request.keys.folders(), request.keys.passphrase, request.keys.pin)
    for uri in request.key_uris:
        place, key = ring.public_key(uri)
        ring.remember({key.keyid: place})
    signed = signing.sign(ring)
    for filename, keyids in signed.items():
        console.say(f"Signed {filename} with {short(keyids)}")
    if not signed:
        console.warn(
            "Nothing is signed: none of the keys here is asked for, or what they "
            "sign is signed already."
        )
    _say_missing(signing)
    return 0 if signed else 1


def _say_missing(signing: Signing) -> None:
    wanting = [(duty, missing) for duty in signing.duties() for missing in duty.missing()]
    for duty, (count, keyids) in wanting:
        console.say(f"{duty.filename} wants {count} more of: {short(keyids)}")
    if not wanting:
        console.say("It is complete. On the server: securepip repo ceremony collect DIR BUNDLE")


def _add_collect(inner: Commands) -> None:
    parser = place_command(inner, "collect", "on the server: make current what was signed")
    parser.add_argument(
        "bundles", type=Path, nargs="+", metavar="BUNDLE", help="copies may be signed apart"
    )
    parser.set_defaults(run=_collect)


def _collect(arguments: argparse.Namespace) -> int:
    return collect(place_of(arguments), arguments.bundles)


def collect(place: Place, bundles: Sequence[Path]) -> int:
    """On the server: publish what was signed."""
    from securepip.signing.offline.ceremony.steps import collect as make_current

    with place.open("repo ceremony collect", *(bundle.name for bundle in bundles)) as repository:
        published = make_current(repository, bundles)
    if published:
        console.say(f"Current now: {', '.join(published)}")
    else:
        console.say(f"Nothing to do: all of it is current in {place.typed}.")
    return 0
