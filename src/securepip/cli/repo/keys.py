"""How the commands of the signing side find keys and passphrases."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.errors import RepositoryStateError, UsageError

if TYPE_CHECKING:
    from securepip.signing.repository.repository import Repository

_MAX_PASSPHRASE_BYTES = 4096


def add_key_options(
    parser: argparse._ActionsContainer, keys: str = "the online key (default: as at init)"
) -> None:
    """Where keys and their passphrase are; ``keys`` says which."""
    parser.add_argument("--keys", type=Path, metavar="DIR", help=f"the folder of {keys}")
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="the first line encrypts the keys"
    )
    parser.add_argument(
        "--pin-file", type=Path, metavar="FILE", help="the first line is the PIN of a key's device"
    )


def open_repository(
    arguments: argparse.Namespace, folders: tuple[Path | None, ...] = ()
) -> Repository:
    """The repository in ``arguments.folder``, with its keys; ``folders`` may hold further ones.

    Raises:
        UsageError: One of ``folders`` is none.
        RepositoryStateError: No repository there.
    """
    from securepip.signing.repository.repository import Repository

    named = [folder for folder in (arguments.keys, *folders) if folder is not None]
    for folder in named:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder of keys")
    return Repository.open(
        arguments.folder,
        keys=named,
        passphrase=lambda: passphrase(arguments),
        pin=lambda: pin(arguments),
        why=_why(arguments),
    )


def pin(arguments: argparse.Namespace) -> bytes:
    """The PIN of the device that holds a key.

    Raises:
        RepositoryStateError: There is nobody to ask.
    """
    if arguments.pin_file is not None:
        return _read(arguments.pin_file)
    if _may_ask(arguments):
        return getpass.getpass("PIN of the key's device: ").encode()
    raise RepositoryStateError(
        "the key is on a device, and there is nobody to ask for its PIN",
        remedy="--pin-file FILE names the file it is in.",
    )


def new_passphrase(arguments: argparse.Namespace) -> bytes | None:
    """What new keys are to be encrypted with; None leaves them in the clear, with a warning.

    Raises:
        UsageError: Two different passphrases were typed.
    """
    if arguments.passphrase_file is not None:
        return _read(arguments.passphrase_file)
    secret = ""
    if _may_ask(arguments):
        secret = getpass.getpass("Passphrase for the new keys (empty for none): ")
        if secret and secret != getpass.getpass("The same again: "):
            raise UsageError("the two passphrases differ")
    if not secret:
        console.warn(
            "The keys are stored unencrypted: whoever reads the files can sign. With "
            "--passphrase-file FILE they are encrypted."
        )
    return secret.encode() or None


def passphrase(arguments: argparse.Namespace) -> bytes:
    """What the keys are encrypted with.

    Raises:
        RepositoryStateError: There is nobody to ask.
    """
    if arguments.passphrase_file is not None:
        return _read(arguments.passphrase_file)
    if _may_ask(arguments):
        return getpass.getpass("Passphrase of the keys: ").encode()
    raise RepositoryStateError(
        "the key is encrypted, and there is nobody to ask for its passphrase",
        remedy="--passphrase-file FILE names the file it is in.",
    )


def confirm(arguments: argparse.Namespace, question: str) -> bool:
    """Whether the person at the terminal says yes; ``--yes`` says it for them.

    Raises:
        UsageError: There is nobody to ask.
    """
    if arguments.yes:
        return True
    if not _may_ask(arguments):
        raise UsageError("there is nobody to ask", remedy="With --yes it is done without asking.")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _why(arguments: argparse.Namespace) -> str:
    """What the log says of the reason: the command, without options, whose values may be secret."""
    words = [word for word in arguments.words if not word.startswith("-")]
    return " ".join(words[:2])


def _may_ask(arguments: argparse.Namespace) -> bool:
    return not arguments.no_input and sys.stdin is not None and sys.stdin.isatty()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            secret = stream.readline(_MAX_PASSPHRASE_BYTES).rstrip(b"\r\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if not secret:
        raise UsageError(f"{path} holds no passphrase in its first line")
    return secret
