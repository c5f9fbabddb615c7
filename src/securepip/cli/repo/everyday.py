"""``repo init``, ``move``, ``settings``, ``add``, ``remove`` and ``refresh``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from securepip.cli import console
from securepip.cli.options import Commands, add_why, new_command
from securepip.cli.parser import whole
from securepip.cli.repo.expiry import warn_of
from securepip.cli.repo.place import (
    Place,
    add_folder,
    add_offline_keys,
    add_restore,
    place_at,
    place_command,
    place_of,
)
from securepip.errors import UsageError
from securepip.formats.words import counted

_SAID_FILES = 1_000


def add_to(commands: Commands) -> None:
    """Add the commands to those of ``repo``."""
    _add_init(commands)
    _add_move(commands)
    _add_settings(commands)
    _add_add(commands)
    _add_remove(commands)
    _add_refresh(commands)


@dataclass(frozen=True)
class InitRequest:
    """``securepip repo init``.

    Attributes:
        place: Where the repository and its online key are made.
        expected_files: About how many files it will hold; decides the number of bins.
        expiry: ``ROLE=DAYS`` or ``pep458``, each.
        offline_keys: The folder for the offline keys; None for the default one.
        online_key_uri: An existing online key, on a device or in a key service.
        name: The name that the status page shows; None for none yet.
        url: The address that the status page shows; None for none yet.
    """

    place: Place
    expected_files: int
    expiry: tuple[str, ...] = ()
    offline_keys: Path | None = None
    online_key_uri: str | None = None
    name: str | None = None
    url: str | None = None


def _add_init(commands: Commands) -> None:
    from securepip.signing.repository.config import DEFAULT_EXPECTED_FILES

    parser = place_command(commands, "init", "make an empty repository, and its keys")
    parser.add_argument(
        "--expected-files", type=whole(1, 10**12), default=DEFAULT_EXPECTED_FILES, metavar="N",
        help="about how many files it will hold; decides into how many parts its list is cut",
    )  # fmt: skip
    parser.add_argument(
        "--expiry", action="append", default=[], metavar="ROLE=DAYS",
        help="how long signatures of a role are valid, or `pep458` for one day; may be repeated",
    )  # fmt: skip
    add_offline_keys(parser, "where the offline keys are put")
    parser.add_argument(
        "--online-key-uri", metavar="URI",
        help="an online key that is on a device or in a key service, such as hsm:2?label=TOKEN",
    )  # fmt: skip
    _add_introduction(parser)
    parser.set_defaults(run=_init)


def _add_introduction(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name", metavar="NAME", help="what people are to call the repository, for its status page"
    )
    parser.add_argument("--url", metavar="URL", help="where people reach it, for its status page")


def _init(arguments: argparse.Namespace) -> int:
    return init(
        InitRequest(
            place_of(arguments),
            expected_files=arguments.expected_files,
            expiry=tuple(arguments.expiry),
            offline_keys=arguments.offline_keys,
            online_key_uri=arguments.online_key_uri,
            name=arguments.name,
            url=arguments.url,
        )
    )


def init(request: InitRequest) -> int:
    """Make a repository, and print where its keys are and what to do with them.

    Raises:
        UsageError: ``expected_files`` is less than 1, or the name, the address or an expiry is not
            valid.
    """
    from securepip.engine.opened import is_store
    from securepip.signing.page.status_page import introduce
    from securepip.signing.publish.create import create
    from securepip.signing.repository.config import parse_expiry

    if request.expected_files < 1:
        raise UsageError("--expected-files: at least 1")
    expiry = parse_expiry(request.expiry)
    name, url = _introduction(request.name, request.url)
    keys = request.place.keys
    created = create(
        request.place.site(),
        expected_files=request.expected_files,
        expiry=expiry,
        online_keys=keys.folder,
        offline_keys=request.offline_keys,
        passphrase=keys.new_passphrase(),
        online_key_uri=request.online_key_uri,
        pin=cache(keys.pin),
        reason=request.place.reason("repo init"),
    )
    config = introduce(created.repository, name, url)
    address = created.repository.address
    console.say(f"Made a repository with {counted(created.bins, 'bin')} in {address}")
    console.say(f"  root:         {created.root}")
    console.say(f"  root sha256:  {created.root_sha256}")
    console.say(f"  online key:   {request.online_key_uri or created.online_keys}")
    console.say(f"  offline keys: {created.offline_keys}")
    console.say(
        "Take the offline keys away now, to a place that is not on a network: adding, syncing,\n"
        "removing and refreshing do not need them. Without two of the three root keys, nobody can\n"
        "replace a key that was lost or stolen."
    )
    console.say("Publish the root's sha256 where your users look. They type:")
    location = config.url or ("" if is_store(address) else address)
    called, shown = config.name or "NAME", shlex.quote(location) if location else "URL"
    console.say(f"  securepip trust add {called} {shown} --root-sha256 {created.root_sha256}")
    if not location:
        console.say(
            "URL is where they reach the bucket: by a CDN, say, or by `securepip repo serve`."
        )
    elif not config.url:
        console.say(
            "On another machine they name, instead of the folder, the URL that it has there."
        )
    return 0


def _add_move(commands: Commands) -> None:
    summary = "move the repository to another folder or bucket; clients notice nothing"
    parser = new_command(commands, "move", summary)
    add_folder(parser)
    add_why(parser)
    parser.add_argument("target", metavar="TO", help="a folder, or s3://BUCKET/PREFIX")
    parser.add_argument(
        "--to-database", metavar="URL",
        help="the PostgreSQL database that is to remember what is signed there; by default that "
        "of --database or of the environment, and without one a folder of this machine",
    )  # fmt: skip
    parser.add_argument(
        "--to-folder", action="store_true",
        help="no database is to remember what is signed there, but a folder of this machine",
    )  # fmt: skip
    parser.set_defaults(run=_move)


def _move(arguments: argparse.Namespace) -> int:
    source = place_at(arguments)
    if arguments.to_folder and arguments.to_database:
        raise UsageError("--to-database and --to-folder exclude each other")
    database = "" if arguments.to_folder else arguments.to_database or arguments.database
    target = Place(arguments.target, database=database)
    return move(replace(source, words=arguments.why), target)


def move(old: Place, new: Place) -> int:
    """Move a repository from ``old`` to ``new``, and print what to do next.

    Raises:
        UsageError: Both places are the same.
    """
    from securepip.engine.opened import memory_of, site_of
    from securepip.signing.moving.move import move as carry

    old_memory, new_memory = memory_of(old.address, old.database), memory_of("", new.database)
    source, target = site_of(old.address, old_memory), new.site()
    same_state = old_memory == new_memory != ""
    if source.address == target.address and old_memory == new_memory:
        raise UsageError("the repository is there already")
    moved = carry(
        source,
        target,
        same_state=same_state,
        reason=old.reason("repo move", source.address, target.address),
        progress=_say_copied,
    )
    console.say(
        f"Moved {counted(moved.projects, 'project')} ({counted(moved.files, 'file')}) to "
        f"{target.address}. It is signed there from now on."
    )
    console.say(
        f"Let the address that your users have lead there. Until then {source.address} serves\n"
        "what it has; it is signed there no more. Later it can be deleted."
    )
    return 0


def _say_copied(files: int) -> None:
    if files % _SAID_FILES == 0:
        console.say(f"Copied {files} files")


def _add_settings(commands: Commands) -> None:
    parser = new_command(commands, "settings", "say what the repository is called, and where it is")
    add_folder(parser)
    _add_introduction(parser)
    parser.set_defaults(run=_settings)


def _settings(arguments: argparse.Namespace) -> int:
    return settings(place_at(arguments), arguments.name, arguments.url)


def settings(place: Place, name: str | None = None, url: str | None = None) -> int:
    """Change the name and address that the status page shows, and print both.

    Args:
        place: The repository.
        name: The new name; "" removes it, None leaves it as it is.
        url: The new address, likewise.

    Raises:
        UsageError: The name or the address is not valid.
        RepositoryStateError: There is no repository.
    """
    from securepip.signing.page.status_page import introduce

    name, url = _introduction(name, url)
    with place.read() as repository:
        config = introduce(repository, name, url)
    console.say(f"Name:    {config.name or '(none: --name NAME)'}")
    console.say(f"Address: {config.url or '(none: --url URL)'}")
    return 0


def _introduction(name: str | None, url: str | None) -> tuple[str | None, str | None]:
    from securepip.transport.urls import without_credentials
    from securepip.trust import check_name, parse_location

    if name:
        check_name(name)
    if url:
        if not url.lower().startswith(("https://", "http://")) or not url.isprintable():
            raise UsageError(f"--url: not an address that begins with https://: {url!r}")
        url = without_credentials(parse_location(url))
    return name, url


def _add_add(commands: Commands) -> None:
    parser = place_command(commands, "add", "publish wheels and source distributions")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    add_restore(parser)
    parser.set_defaults(run=_add)


def _add(arguments: argparse.Namespace) -> int:
    return add(place_of(arguments), arguments.files, restore=arguments.restore)


def add(place: Place, files: Sequence[Path], *, restore: bool = False) -> int:
    """Publish files; with ``restore``, also those that were removed before.

    Returns:
        1 where a role that only offline keys can renew has expired or will within days: then no
        client can install anything.
    """
    from securepip.signing.publish.add import add as publish
    from securepip.signing.publish.refresh import expiring

    with place.open("repo add", *(path.name for path in files)) as repository:
        published = publish(repository, files, restore=restore)
        waiting = expiring(repository)
    if published.projects:
        console.say(f"Published: {' '.join(published.projects)}")
        _say_signed(published.signed)
    else:
        console.say("Nothing to do: all of it is published already.")
    return 1 if warn_of(waiting, place) else 0


def _add_remove(commands: Commands) -> None:
    parser = place_command(commands, "remove", "revoke a project, a version or a file, for good")
    parser.add_argument("what", metavar="PROJECT|PROJECT==VERSION|FILENAME")
    parser.set_defaults(run=_remove)


def _remove(arguments: argparse.Namespace) -> int:
    return remove(place_of(arguments), arguments.what)


def remove(place: Place, what: str) -> int:
    """Revoke a project, a version or a file."""
    from securepip.signing.publish.remove import remove as revoke

    with place.open("repo remove", what) as repository:
        removed = revoke(repository, what)
    for filename in removed.filenames:
        console.say(f"Removed {filename}")
    if removed.whole_project:
        console.say(f"Removed the project {removed.project}")
    return 0


def _add_refresh(commands: Commands) -> None:
    parser = place_command(commands, "refresh", "sign again what is about to expire; for cron")
    add_offline_keys(parser, "sign what needs the offline keys too, which are in this folder")
    parser.set_defaults(run=_refresh)


def _refresh(arguments: argparse.Namespace) -> int:
    return refresh(place_of(arguments, [arguments.offline_keys]))


def refresh(place: Place) -> int:
    """Sign again what is about to expire; 1 where that needs offline keys that are not here."""
    from securepip.signing.publish.refresh import refresh as sign_again

    with place.open("repo refresh") as repository:
        refreshed = sign_again(repository, offline=bool(place.offline_keys))
    if refreshed.signed:
        _say_signed(refreshed.signed)
    else:
        console.say("Nothing to do: everything is valid for long enough.")
    return 1 if warn_of(refreshed.waiting, place) else 0


def _say_signed(names: Sequence[str]) -> None:
    bins = sum(name.startswith("bin-") for name in names)
    others = [name for name in names if not name.startswith("bin-")]
    console.say("Signed: " + ", ".join([*([counted(bins, "bin")] if bins else []), *others]))
