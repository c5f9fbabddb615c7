"""``securepip trust``: which repositories this machine trusts."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import (
    Network,
    add_general_options,
    add_network_options,
    apply_configuration,
    network_of,
)
from securepip.cli.trust import first_use
from securepip.errors import FormatError, RepositoryUnavailableError, UsageError

if TYPE_CHECKING:
    from securepip.formats.digests import Sha256
    from securepip.transport import Transport
    from securepip.trust import TrustedRepository, TrustStore


@dataclass(frozen=True)
class TrustAddRequest:
    """``securepip trust add``.

    Attributes:
        name: The user's name for the repository.
        location: Its URL or folder.
        root: The path of its root file, from its operator.
        root_sha256: Instead of ``root``: the fingerprint of any of its root versions, from its
            operator.
        index_urls: Index URLs that stand for it.
        mirrors: The URLs or folders of its mirrors; None leaves the known ones.
        network: How servers are reached.
    """

    name: str
    location: str
    root: Path | None = None
    root_sha256: str | None = None
    index_urls: tuple[str, ...] = ()
    mirrors: tuple[str, ...] | None = None
    network: Network = field(default_factory=Network)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``trust``."""
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    add = verbs.add_parser("add", help="trust a repository that others sign", allow_abbrev=False)
    add.add_argument("name", metavar="NAME", help="what you want to call it")
    add.add_argument("location", metavar="LOCATION", help="its URL, or a folder")
    start = add.add_mutually_exclusive_group()
    start.add_argument("--root", type=Path, metavar="FILE", help="its root, from the operator")
    start.add_argument(
        "--root-sha256", metavar="HEX", help="fingerprint of any of its roots, from the operator"
    )
    add.add_argument(
        "--index-url", action="append", default=[], metavar="URL",
        help="an index URL that stands for this repository, as in requirements files and pip.conf; "
        "may be given several times",
    )  # fmt: skip
    places = add.add_mutually_exclusive_group()
    places.add_argument(
        "--mirror", action="append", metavar="URL", dest="mirrors",
        help="another place that has the same files, asked where the first fails; may be given "
        "several times, and takes the place of those that were given before",
    )  # fmt: skip
    places.add_argument(
        "--no-mirrors", action="store_const", const=[], dest="mirrors",
        help="forget the mirrors that were given before",
    )  # fmt: skip
    add.set_defaults(run=_add)

    listing = verbs.add_parser("list", help="show the trusted repositories, and their projects")
    listing.add_argument(
        "--python", action="append", default=[], metavar="PYTHON",
        help="say of this interpreter's pip too whether it verifies; may be given several times",
    )  # fmt: skip
    listing.add_argument("--json", action="store_true", help="for a program")
    listing.set_defaults(run=_list)

    for verb, run, text in (
        ("show", _show, "show what is known about a repository"),
        ("remove", _remove, "stop trusting a repository"),
    ):
        one = verbs.add_parser(verb, help=text)
        one.add_argument("name", metavar="NAME")
        one.set_defaults(run=run)

    forgetting = verbs.add_parser("forget", help="accept that a repository has lost a project")
    forgetting.add_argument("name", metavar="NAME")
    forgetting.add_argument("projects", nargs="+", metavar="PROJECT")
    forgetting.set_defaults(run=_forget)

    refresh = verbs.add_parser("refresh", help="fetch what is new from all, or from those named")
    refresh.add_argument("names", nargs="*", default=[], metavar="NAME")
    refresh.set_defaults(run=_refresh)

    for command in verbs.choices.values():
        add_general_options(command)
    first_use.add_to(verbs)
    for command in (add, refresh):
        add_network_options(command)
    apply_configuration(parser, "trust")


def _add(arguments: argparse.Namespace) -> int:
    return add(
        TrustAddRequest(
            name=arguments.name,
            location=arguments.location,
            root=arguments.root,
            root_sha256=arguments.root_sha256,
            index_urls=tuple(arguments.index_url),
            mirrors=None if arguments.mirrors is None else tuple(arguments.mirrors),
            network=network_of(arguments),
        )
    )


def _list(arguments: argparse.Namespace) -> int:
    from securepip.cli.trust.listing import list_all

    return list_all(_store().read(), arguments.python, as_json=arguments.json)


def _show(arguments: argparse.Namespace) -> int:
    return show(arguments.name)


def _remove(arguments: argparse.Namespace) -> int:
    return remove(arguments.name)


def _forget(arguments: argparse.Namespace) -> int:
    return forget(arguments.name, arguments.projects)


def _refresh(arguments: argparse.Namespace) -> int:
    return refresh(arguments.names, network_of(arguments))


def add(request: TrustAddRequest) -> int:
    """Trust a repository from now on, or change the addresses of one that is trusted already.

    Raises:
        UsageError: No root is given, or the trusted repository of that name has another root.
        SecurepipError: The repository does not verify from the root, or the name is taken.
    """
    from securepip.trust import TrustedRepository, find_root, parse_location, parse_root
    from securepip.updater.mirrors import Mirrors

    location = parse_location(request.location)
    known = {one.name: one for one in _store().read().repositories}.get(request.name)
    if request.mirrors is not None:
        places = tuple(map(parse_location, request.mirrors))
    else:
        places = known.mirrors if known else ()
    mirrors = tuple(place for place in dict.fromkeys(places) if place != location)
    transport = request.network.transport((location, *mirrors, *request.index_urls))
    if request.root is not None:
        root = _read_root(request.root)
    elif request.root_sha256 is not None:
        fingerprint = _fingerprint(request.root_sha256)
        root = Mirrors([(location, mirrors)]).try_each(
            location, lambda at: find_root(at, fingerprint, transport)
        )
    else:
        raise _no_root(request)
    version = parse_root(root)
    if known is not None:
        changed = replace(
            known,
            location=location,
            mirrors=mirrors,
            index_urls=tuple(dict.fromkeys((*known.index_urls, *request.index_urls))),
        )
        return _change(known, changed, root, transport)
    with TemporaryDirectory() as folder:
        state = Path(folder) / "metadata"
        candidate = TrustedRepository(request.name, location, root, state, mirrors=mirrors)
        try:
            _refresh_one(candidate, transport)
        except RepositoryUnavailableError as error:
            console.warn(f"{error.what}\nIt is trusted from now on, but could not be asked yet.")
        added = _store().add(request.name, location, root, request.index_urls, mirrors=mirrors)
        if state.is_dir():
            # Keep the state that was just verified, against rollback: without it, a server could
            # show something older at the next run.
            shutil.copytree(state, added.state, symlinks=True)
    console.say(f"Trusted from now on: {request.name}, starting from its root version {version}.")
    return 0


def _change(
    known: TrustedRepository, changed: TrustedRepository, root: bytes, transport: Transport
) -> int:
    """Change the addresses of a trusted repository, after a check that it is the same one.

    The stored state is kept, so the repository is refused at its new addresses if it is older than
    what was seen before, or another one.

    Raises:
        UsageError: The root is not one that this machine knows for the repository.
    """
    if root not in _roots_of(known):
        raise UsageError(
            f"a trusted repository is called {known.name!r} already, and has another root",
            meaning="Two repositories have different roots. One has new roots too, but their chain "
            "begins with the one that this machine started from.",
            remedy=f"Remove it first: `securepip trust remove {known.name}`. Or choose another "
            "name.",
        )
    try:
        _refresh_one(changed, transport)
    except RepositoryUnavailableError as error:
        console.warn(f"{error.what}\nIt could not be asked.")
    if changed == known:
        console.say(f"Trusted already: {known.name}, with this root.")
        return 0
    _store().change_addresses(known.name, changed.location, changed.mirrors, changed.index_urls)
    console.say(f"Trusted already: {known.name}, with this root. What you say of it now counts.")
    return 0


def _roots_of(known: TrustedRepository) -> tuple[bytes, ...]:
    """The pinned root of a repository, and the last root that was seen of it."""
    last = known.state / "root.json"
    return (known.root, *([last.read_bytes()] if last.is_file() else []))


def _no_root(request: TrustAddRequest) -> UsageError:
    command = f"  securepip trust add {request.name} {request.location}"
    return UsageError(
        "trust in a repository begins with its root, so securepip needs the root file or its "
        "sha256 fingerprint",
        meaning="The people who run the repository publish the fingerprint, for example in its "
        "documentation or on its web page; `securepip repo init` has printed it. Do not take it "
        "from the repository itself: that would prove nothing.",
        remedy=f"{command} --root-sha256 FINGERPRINT\n{command} --root FILE\n"
        "Add --index-url URL for each index URL that stands for it, in requirements files or in "
        "pip.conf.",
    )


def show(name: str) -> int:
    """Print what is known about a trusted repository."""
    from securepip.formats.digests import sha256_of
    from securepip.transport import redact
    from securepip.trust import parse_root
    from securepip.updater.state import describe_names, describe_state

    trust = _store().read()
    repository = trust.named(name)
    console.say(f"Name:         {repository.name}")
    console.say(f"Location:     {redact(repository.location)}")
    for url in repository.mirrors:
        console.say(f"Mirror:       {redact(url)}")
    for url in repository.index_urls:
        console.say(f"Index URL:    {redact(url)}")
    if repository.first_use is None:
        console.say("Kind:         signed by those who run it. Nobody between them and you can")
        console.say("              change what you install.")
    else:
        console.say("Kind:         first use: signed on this machine, as it was seen first. What")
        console.say("              was seen cannot be changed unnoticed; what is new is believed.")
        if not trust.speaks(repository.name):
            console.say("Asked:        only when a command or a configuration names its index.")
        console.say(f"Rules:        {first_use.in_words(repository.first_use.rules)}")
    pinned = f"version {parse_root(repository.root)}, sha256 {sha256_of(repository.root)}"
    console.say(f"Pinned root:  {pinned}")
    for role in describe_state(repository.state):
        expires = role.expires.strftime("%Y-%m-%d %H:%M UTC")
        console.say(f"{role.name + ':':<13} version {role.version}, valid until {expires}")
    console.say(f"Names:        {describe_names(repository.state)}.")
    return 0


def remove(name: str) -> int:
    """Stop trusting a repository."""
    from securepip.cli.trust.listing import bound_to

    store = _store()
    bound = bound_to(store.read(), name)
    store.remove(name)
    console.say(f"No longer trusted: {name}.")
    if bound:
        console.say(f"Nobody but it spoke for {', '.join(bound)}: others may from now on.")
    return 0


def forget(name: str, projects: Sequence[str]) -> int:
    """Forget that projects were seen in a repository, because its operator has removed them."""
    from securepip.formats.layout import parse_project
    from securepip.updater.seen import Seen

    seen = Seen(_store().read().named(name).state)
    try:
        normalized = [parse_project(project) for project in projects]
    except FormatError as error:
        raise UsageError(error.what) from None
    for project in normalized:
        if seen.forget(project):
            console.say(f"{project} may be gone from {name}, or come from another repository.")
        else:
            console.say(f"{project} was not seen in {name}: nothing to forget.")
    return 0


def refresh(names: Sequence[str], network: Network) -> int:
    """Fetch new metadata from the repositories that are named, or from all."""
    trust = _store().read()
    named = [trust.named(name) for name in names]
    transport = network.transport(trust.addresses)
    for repository in named or trust.repositories:
        _refresh_one(repository, transport)
        console.say(f"{repository.name} is up to date.")
    return 0


def _store() -> TrustStore:
    from securepip.trust import TrustStore

    return TrustStore.of_user()


def _refresh_one(repository: TrustedRepository, transport: Transport) -> None:
    from securepip.updater import Session
    from securepip.updater.mirrors import Mirrors

    Session(
        repository.name,
        repository.metadata_url,
        repository.state,
        transport,
        repository.root,
        Mirrors([(repository.location, repository.mirrors)]),
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
