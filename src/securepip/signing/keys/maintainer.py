"""A maintainer's own keys on this machine, and the files in which public keys are sent.

Rule: a private key never leaves its folder or device. Maintainers send each other and the operator
the public key: one small JSON file, with an id that both sides can compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from securesystemslib.signer import Key

from securepip.dirs import data_dir, write_private
from securepip.errors import FormatError, RepositoryStateError, UsageError
from securepip.signing.keys import ring as keys
from securepip.signing.keys.ring import KeyRing, Passphrase

KIND = "maintainer"
_MAX_BYTES = 64 << 10


def default_folder() -> Path:
    """The folder of a maintainer's keys, unless another one is named."""
    return data_dir() / "keys" / KIND


def open_keys(folders: Iterable[Path], passphrase: Passphrase, pin: Passphrase) -> KeyRing:
    """Open the maintainer's keys on this machine.

    Args:
        folders: Searched before the default folder.
        passphrase: Asked when an encrypted key is used.
        pin: Asked when a device signs.

    Raises:
        RepositoryStateError: The list of keys on devices cannot be read.
    """
    return KeyRing([*folders, default_folder()], _uris(), passphrase, pin=pin)


def generate(folder: Path | None, passphrase: bytes | None) -> Key:
    """Generate a key in ``folder``, or in the default folder.

    Raises:
        RepositoryStateError: As ``ring.generate``.
    """
    (signer,) = keys.generate(folder or default_folder(), [KIND], passphrase)
    key: Key = signer.public_key
    return key


def register(ring: KeyRing, uri: str) -> Key:
    """Remember a key that exists already, on a device or in a key service.

    Args:
        ring: Reaches the key.
        uri: Where the key is.

    Returns:
        The public key.

    Raises:
        UsageError: ``uri`` is not the URI of a key.
        RepositoryStateError: The key cannot be reached, or the list of keys cannot be read.
        SecurepipError: The list of keys cannot be written.
    """
    uri, key = ring.public_key(uri)
    uris = _uris() | {key.keyid: uri}
    write_private(_uris_path(), json.dumps(uris, indent=1).encode())
    return key


def own_keys(folders: Iterable[Path]) -> list[str]:
    """The ids of the maintainer's keys on this machine.

    Raises:
        RepositoryStateError: The list of keys on devices cannot be read.
    """
    in_files = [
        path.name.split(".")[-2]
        for folder in (*folders, default_folder())
        for path in sorted(folder.glob("*.*.pem"))
    ]
    return list(dict.fromkeys([*in_files, *_uris()]))


def write_public(key: Key, path: Path) -> None:
    """Write a public key to a file that can be sent to others.

    Raises:
        RepositoryStateError: The file cannot be written.
    """
    try:
        path.write_text(json.dumps({"keyid": key.keyid, **key.to_dict()}, indent=1) + "\n")
    except OSError as error:
        raise RepositoryStateError(f"{path} cannot be written: {error.strerror}") from None


def read_public(path: Path) -> Key:
    """The public key in a file that ``write_public`` has written.

    Raises:
        UsageError: The file cannot be read.
        FormatError: It holds no public key.
    """
    try:
        with path.open("rb") as stream:
            document = json.loads(stream.read(_MAX_BYTES))
        keyid = document.pop("keyid")
        if not isinstance(keyid, str):
            raise TypeError(f"an id of {keyid!r:.80}")
        return keys.check_public_key(Key.from_dict(keyid, document))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except keys.NO_KEYS as error:
        raise FormatError(f"{path} is no public key of a maintainer: {error!r:.200}") from None


def _uris_path() -> Path:
    return data_dir() / "maintainer-keys.json"


def _uris() -> dict[str, str]:
    try:
        document = json.loads(_uris_path().read_bytes())
        return {str(keyid): str(uri) for keyid, uri in document.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise RepositoryStateError(f"{_uris_path()} cannot be read: {error}") from None
