"""The arguments that most commands of ``repo`` share: the repository and its keys."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli.keys import KeyOptions, add_key_options, existing, keys_of
from securepip.cli.options import Commands, add_why, new_command
from securepip.formats.words import first_of
from securepip.redaction import harmless

if TYPE_CHECKING:
    from securepip.signing.repository.repository import Repository
    from securepip.signing.repository.site import Site
    from securepip.signing.repository.state.log import Reason

_SHOWN_WORDS = 8


@dataclass(frozen=True)
class Place:
    """Where a repository is, and the keys to sign with.

    Attributes:
        address: The repository: its folder, or the address of a bucket.
        keys: Where the online key is, and how keys are unlocked.
        offline_keys: Folders of offline keys.
        words: The reason that the user gives with ``--why``, for the log.
        database: The URL of its database; None for the environment's, if any, "" for none.
    """

    address: str
    keys: KeyOptions = field(default_factory=KeyOptions)
    offline_keys: tuple[Path, ...] = ()
    words: str = ""
    database: str | None = None

    @contextmanager
    def open(self, command: str, *what: object) -> Iterator[Repository]:
        """Open the repository with its keys; its status page is written again at the end.

        Args:
            command: The command that the log shows as the reason, for example ``repo add``.
            what: The command's arguments, for the log. Not its options: their values may be secret.

        Raises:
            UsageError: A folder of keys is not a folder.
            RepositoryStateError: There is no repository.
        """
        from securepip.signing.page.status_page import kept_up
        from securepip.signing.repository.repository import Repository

        opened = Repository.open(
            self.site(),
            keys=[*self.keys.folders(), *existing(self.offline_keys)],
            passphrase=self.keys.passphrase,
            pin=self.keys.pin,
            reason=self.reason(command, *what),
        )
        with opened as repository, kept_up(repository):
            yield repository

    def read(self) -> Repository:
        """Open the repository without keys, to read it.

        Raises:
            RepositoryStateError: There is no repository.
        """
        from securepip.signing.repository.repository import Repository

        return Repository.open(self.site())

    def opener(self) -> Callable[[], Repository]:
        """A function that opens the repository with its online key, from any thread.

        It may be called many times; a passphrase or PIN is asked for once.
        """
        from securepip.signing.repository.repository import Repository

        passphrase, pin = cache(self.keys.passphrase), cache(self.keys.pin)
        return lambda: Repository.open(
            self.site(), keys=self.keys.folders(), passphrase=passphrase, pin=pin
        )

    def site(self) -> Site:
        """The places where the parts of the repository are stored.

        Raises:
            UsageError: The address or the database is not valid.
        """
        from securepip.engine.opened import site_of

        return site_of(self.address, self.database)

    def reason(self, command: str, *what: object) -> Reason:
        """The reason that the log shows for a command, with the arguments of ``open``."""
        from securepip.signing.repository.state.log import Reason

        return Reason(_in_one_line(command, [str(each) for each in what]), self.words)

    @property
    def typed(self) -> str:
        """The address, quoted for a shell."""
        return shlex.quote(self.address)


def place_command(commands: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    """Add a command that takes a repository and its keys, and return its parser."""
    parser = new_command(commands, name, summary)
    add_folder(parser)
    add_why(parser)
    add_key_options(parser.add_argument_group("options for keys"))
    return parser


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names a repository, and ``--database``."""
    parser.add_argument("address", metavar="DIR", help="a folder, or s3://BUCKET/PREFIX")
    add_database(parser)


def add_database(parser: argparse.ArgumentParser) -> None:
    """Add ``--database``."""
    parser.add_argument(
        "--database", metavar="URL",
        help="the PostgreSQL database that remembers what is signed, for a repository of many "
        "machines (default: $SECUREPIP_DATABASE, where a password is better placed; without one, "
        "the folder remembers)",
    )  # fmt: skip


def place_at(arguments: argparse.Namespace) -> Place:
    """The place that the arguments of ``add_folder`` name."""
    return Place(arguments.address, database=arguments.database)


def add_offline_keys(parser: argparse.ArgumentParser, text: str) -> None:
    """Add ``--offline-keys``, which names one folder; ``text`` is its help."""
    parser.add_argument("--offline-keys", type=Path, metavar="DIR", help=text)


def add_restore(parser: argparse.ArgumentParser) -> None:
    """Add ``--restore``."""
    parser.add_argument(
        "--restore", action="store_true", help="also what was removed from the repository before"
    )


def place_of(arguments: argparse.Namespace, offline_keys: Iterable[Path | None] = ()) -> Place:
    """The place that the arguments of ``place_command`` and ``--offline-keys`` name."""
    further = tuple(folder for folder in offline_keys if folder is not None)
    return Place(arguments.address, keys_of(arguments), further, arguments.why, arguments.database)


def _in_one_line(command: str, what: list[str]) -> str:
    """One line for the log, without passwords: an argument may be an address that has one."""
    return " ".join(harmless(f"{command} {first_of(what, _SHOWN_WORDS)}").split())
