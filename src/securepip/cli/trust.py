"""``securepip trust``: whom this machine believes."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import add_general_options, add_network_options, transport_from
from securepip.cli.pip_commands.configuration import apply_configuration, read_pip_configuration
from securepip.errors import FormatError, RepositoryUnavailableError, UsageError

if TYPE_CHECKING:
    from securepip.formats.digests import Sha256
    from securepip.transport import Transport
    from securepip.trust import TrustedRepository, TrustStore


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``trust`` and its own commands."""
    trust = commands.add_parser("trust", help="whose packages this machine believes")
    verbs = trust.add_subparsers(title="commands", metavar="COMMAND", required=True)

    add = verbs.add_parser("add", help="believe a repository", allow_abbrev=False)
    add.add_argument("name", metavar="NAME", help="what you want to call it")
    add.add_argument("location", metavar="LOCATION", help="its URL, or a folder")
    start = add.add_mutually_exclusive_group()
    start.add_argument("--root", type=Path, metavar="FILE", help="its root, from the operator")
    start.add_argument(
        "--root-sha256", metavar="HEX", help="fingerprint of any of its roots, from the operator"
    )
    add.add_argument(
        "--index-url", action="append", default=[], metavar="URL",
        help="an index URL that stands for this repository",
    )  # fmt: skip
    add.set_defaults(run=_add)

    listing = verbs.add_parser("list", help="all that are believed")
    listing.set_defaults(run=_list)

    for verb, run, text in (
        ("show", _show, "what is known of one"),
        ("remove", _remove, "stop believing one"),
    ):
        one = verbs.add_parser(verb, help=text)
        one.add_argument("name", metavar="NAME")
        one.set_defaults(run=run)

    refresh = verbs.add_parser("refresh", help="fetch what is new from all, or from those named")
    refresh.add_argument("names", nargs="*", metavar="NAME")
    refresh.set_defaults(run=_refresh)

    for parser in verbs.choices.values():
        add_general_options(parser)
    for parser in (add, refresh):
        add_network_options(parser)


def configure(parser: argparse.ArgumentParser) -> None:
    """Take pip's configuration of the network as the defaults of the commands' options."""
    apply_configuration(parser, read_pip_configuration("trust"))


def _store() -> TrustStore:
    from securepip.dirs import data_dir
    from securepip.trust import TrustStore

    return TrustStore(data_dir() / "trust")


def _add(arguments: argparse.Namespace) -> int:
    from securepip.trust import TrustedRepository, find_root, parse_location, parse_root

    location = parse_location(arguments.location)
    if arguments.root is None and arguments.root_sha256 is None:
        raise UsageError(
            "a repository is believed from its root on, so securepip needs the root file or its "
            "sha256 fingerprint",
            meaning="Who runs the repository publishes the fingerprint: in its documentation, on "
            "its web page, or printed by `securepip repo init`. Do not take it from the "
            "repository itself: that would prove nothing.",
            remedy=f"  securepip trust add {arguments.name} {arguments.location} "
            "--root-sha256 FINGERPRINT\n"
            f"  securepip trust add {arguments.name} {arguments.location} --root FILE",
        )
    transport = transport_from(arguments, (location, *arguments.index_url))
    if arguments.root is not None:
        root = _read_root(arguments.root)
    else:
        root = find_root(location, _fingerprint(arguments.root_sha256), transport)
    version = parse_root(root)
    with TemporaryDirectory() as folder:
        state = Path(folder) / "metadata"
        candidate = TrustedRepository(arguments.name, location, root, state)
        try:
            _refresh_one(candidate, transport)
        except RepositoryUnavailableError as error:
            console.warn(f"{error.what}\nIt is trusted from now on, but could not be asked yet.")
        added = _store().add(arguments.name, location, root, tuple(arguments.index_url))
        if state.is_dir():
            # What was seen now must not be followed by something older later.
            shutil.copytree(state, added.state, symlinks=True)
    console.say(f"Trusted from now on: {arguments.name}, starting from its root version {version}.")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from securepip.transport import redact

    repositories = _store().read().repositories
    if not repositories:
        console.say("No repository is trusted yet. Add one with `securepip trust add`.")
    for repository in repositories:
        console.say(f"{repository.name}  {redact(repository.location)}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from securepip.formats.digests import sha256_of
    from securepip.transport import redact
    from securepip.trust import parse_root
    from securepip.updater.state import describe_state

    repository = _store().read().named(arguments.name)
    console.say(f"Name:         {repository.name}")
    console.say(f"Location:     {redact(repository.location)}")
    for url in repository.index_urls:
        console.say(f"Index URL:    {redact(url)}")
    pinned = f"version {parse_root(repository.root)}, sha256 {sha256_of(repository.root)}"
    console.say(f"Pinned root:  {pinned}")
    for role in describe_state(repository.state):
        expires = role.expires.strftime("%Y-%m-%d %H:%M UTC")
        console.say(f"{role.name + ':':<13} version {role.version}, valid until {expires}")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    _store().remove(arguments.name)
    console.say(f"No longer trusted: {arguments.name}.")
    return 0


def _refresh(arguments: argparse.Namespace) -> int:
    trust = _store().read()
    named = [trust.named(name) for name in arguments.names]
    transport = transport_from(arguments, trust.addresses)
    for repository in named or trust.repositories:
        _refresh_one(repository, transport)
        console.say(f"{repository.name} is up to date.")
    return 0


def _refresh_one(repository: TrustedRepository, transport: Transport) -> None:
    from securepip.updater import Session

    Session(
        repository.name, repository.metadata_url, repository.state, transport, repository.root
    ).refresh()


def _read_root(path: Path) -> bytes:
    from securepip.trust.bootstrap import MAX_ROOT_BYTES

    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_ROOT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the root file {path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_ROOT_BYTES:
        raise UsageError(f"{path} is too large for a root file")
    return data


def _fingerprint(text: str) -> Sha256:
    from securepip.formats.digests import parse_sha256

    try:
        return parse_sha256(text.strip().removeprefix("sha256:"))
    except FormatError as error:
        raise UsageError(error.what, remedy="A fingerprint has 64 hexadecimal digits.") from None
