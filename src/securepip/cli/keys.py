"""The options that say where keys are, and the prompts for passphrases, PINs and confirmation."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from securepip.cli import console
from securepip.errors import RepositoryStateError, UsageError

_MAX_PASSPHRASE_BYTES = 4096


@dataclass(frozen=True)
class KeyOptions:
    """Where keys are, and how they are unlocked.

    Attributes:
        folder: The folder of the keys; None for the default one.
        passphrase_file: The file whose first line is the passphrase of the keys; None to prompt.
        pin_file: The file whose first line is the PIN of a key's device; None to prompt.
        may_ask: Whether prompts are allowed.
    """

    folder: Path | None = None
    passphrase_file: Path | None = None
    pin_file: Path | None = None
    may_ask: bool = True

    def folders(self) -> list[Path]:
        """The folder, if one is named.

        Raises:
            UsageError: It is not a folder.
        """
        return existing(() if self.folder is None else (self.folder,))

    def passphrase(self) -> bytes:
        """The passphrase of existing keys.

        Raises:
            RepositoryStateError: No file is named, and no prompt is possible.
            UsageError: The file cannot be read, or its first line is empty.
        """
        if self.passphrase_file is not None:
            return _read(self.passphrase_file)
        if self._is_somebody_there:
            return getpass.getpass("Passphrase of the keys: ").encode()
        raise RepositoryStateError(
            "the key is encrypted, and there is nobody to ask for its passphrase",
            remedy="--passphrase-file FILE names the file it is in.",
        )

    def pin(self) -> bytes:
        """The PIN of the device that holds a key.

        Raises:
            RepositoryStateError: No file is named, and no prompt is possible.
            UsageError: The file cannot be read, or its first line is empty.
        """
        if self.pin_file is not None:
            return _read(self.pin_file)
        if self._is_somebody_there:
            return getpass.getpass("PIN of the key's device: ").encode()
        raise RepositoryStateError(
            "the key is on a device, and there is nobody to ask for its PIN",
            remedy="--pin-file FILE names the file it is in.",
        )

    def new_passphrase(self) -> bytes | None:
        """The passphrase for new keys; None, with a warning, to store them unencrypted.

        Raises:
            UsageError: Two different passphrases were typed, or the file cannot be read, or its
                first line is empty.
        """
        if self.passphrase_file is not None:
            return _read(self.passphrase_file)
        secret = ""
        if self._is_somebody_there:
            secret = getpass.getpass("Passphrase for the new keys (empty for none): ")
            if secret and secret != getpass.getpass("The same again: "):
                raise UsageError("the two passphrases differ")
        if not secret:
            console.warn(
                "New keys are stored unencrypted: whoever reads the files can sign. With "
                "--passphrase-file FILE they are encrypted."
            )
        return secret.encode() or None

    def confirm(self, question: str, command: str) -> bool:
        """Ask the person at the terminal a yes-or-no question.

        Args:
            question: The question, without the choices.
            command: The command line that asks, for the error message.

        Raises:
            UsageError: No prompt is possible.
        """
        if not self._is_somebody_there:
            raise UsageError(
                f"`{command}` asks before it goes on, and there is no terminal to ask at",
                remedy=f"`{command} --yes` goes on without asking. Look at what it shows first.",
            )
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    @property
    def _is_somebody_there(self) -> bool:
        return self.may_ask and sys.stdin is not None and sys.stdin.isatty()


def add_key_options(
    parser: argparse._ActionsContainer, keys: str = "the online key (default: as at init)"
) -> None:
    """Add the options that say where keys are; ``keys`` says in the help which keys."""
    parser.add_argument("--keys", type=Path, metavar="DIR", help=f"the folder of {keys}")
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="the first line encrypts the keys"
    )
    parser.add_argument(
        "--pin-file", type=Path, metavar="FILE", help="the first line is the PIN of a key's device"
    )


def keys_of(arguments: argparse.Namespace) -> KeyOptions:
    """The values of the options of ``add_key_options``."""
    return KeyOptions(
        folder=arguments.keys,
        passphrase_file=arguments.passphrase_file,
        pin_file=arguments.pin_file,
        may_ask=not arguments.no_input,
    )


def existing(folders: Iterable[Path]) -> list[Path]:
    """The folders as a list, after a check that they exist.

    Raises:
        UsageError: One of them is not a folder.
    """
    checked = list(folders)
    for folder in checked:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder of keys")
    return checked


def short(keyids: Iterable[str]) -> str:
    """The first 12 characters of each key id, for people to compare."""
    return ", ".join(keyid[:12] for keyid in keyids)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            secret = stream.readline(_MAX_PASSPHRASE_BYTES).rstrip(b"\r\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if not secret:
        raise UsageError(f"{path} holds no passphrase in its first line")
    return secret
