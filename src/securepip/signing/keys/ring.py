"""Generates private keys, stores them in folders of their own, and loads them by URI to sign.

Rule: keys are never stored in the repository's folder, and the repository remembers only their
URIs. Key files are PKCS#8 in PEM with mode 0600, in folders with mode 0700. ``encrypted`` says how
a passphrase protects them. ``securesystemslib`` signs, with a key file or with a key at any other
URI that it knows (a hardware token or a cloud service).
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.exceptions import Error as SecuresystemslibError
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import (
    SIGNER_FOR_URI_SCHEME,
    AWSSigner,
    AzureSigner,
    CryptoSigner,
    GCPSigner,
    HSMSigner,
    Key,
    SecretsHandler,
    Signer,
    SSlibKey,
    VaultSigner,
)

from securepip.dirs import data_dir, make_folder, replace_file
from securepip.errors import FormatError, RepositoryStateError, UsageError
from securepip.formats.digests import sha256_of
from securepip.signing.keys.encrypted import (
    ENCRYPTED_HEAD_BYTES,
    encrypt,
    is_encrypted,
    is_outdated,
)

ONLINE, OFFLINE = "online", "offline"
NO_KEYS = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
    SecuresystemslibError,
)
"""The errors of reading public keys from a document that holds none, and that others have made."""

_SUFFIX = ".pem"
_UNQUOTABLE = set("?#;")
_KINDS = re.compile(
    "ed25519 ed25519|ecdsa ecdsa-sha2-nistp(256|384|521)"
    "|rsa rsa(ssa-pss|-pkcs1v15)-sha(256|384|512)"
)
_PUBLIC = re.compile(
    "[0-9a-f]{64}|-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]{1,4000}-----END PUBLIC KEY-----\n?"
)

Passphrase = Callable[[], bytes]
"""Asked for the passphrase (or PIN) when a key turns out to need one, at most once."""


def no_passphrase() -> bytes:
    """The ``Passphrase`` of callers that have no passphrase.

    Raises:
        RepositoryStateError: Always.
    """
    raise RepositoryStateError(
        "the key is encrypted, and there is no passphrase",
        remedy="--passphrase-file FILE names the file it is in.",
    )


class EncryptedFileSigner(CryptoSigner):
    """Signs with a key at ``encrypted-file:<path>``; ``file2:<path>`` is for keys in the clear."""

    SCHEME = "encrypted-file"

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> CryptoSigner:
        """Load the key, with the passphrase from ``secrets_handler``.

        A file in the older form is encrypted again in the newer one, if it can be written.

        Raises:
            ValueError: There is no ``secrets_handler``, or the passphrase is wrong.
            OSError: The file cannot be read.
        """
        path = _path(priv_key_uri)
        if secrets_handler is None or not isinstance(public_key, SSlibKey):
            raise ValueError(f"{path} needs a passphrase")
        secret = secrets_handler("passphrase").encode("utf-8", "surrogateescape")
        data = path.read_bytes()
        private = load_pem_private_key(data, secret)
        signer = CryptoSigner(private, public_key)
        if is_outdated(data):
            clear = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            with suppress(OSError):  # a read-only medium keeps the older form
                replace_file(path.resolve(), encrypt(clear, secret))
        return signer


SIGNER_FOR_URI_SCHEME[EncryptedFileSigner.SCHEME] = EncryptedFileSigner
_FILE_SCHEMES = (f"{CryptoSigner.SCHEME}:", f"{EncryptedFileSigner.SCHEME}:")


_EXTRA = {VaultSigner.SCHEME: "hashivault"}
"""The extra that a scheme needs, where its name is not that of the scheme."""


def _import_file(uri: str, secret: SecretsHandler) -> tuple[str, Key]:
    path = _path(uri).absolute()
    clear = uri.startswith(f"{CryptoSigner.SCHEME}:")
    passphrase = None if clear else secret("passphrase").encode("utf-8", "surrogateescape")
    private = load_pem_private_key(path.read_bytes(), passphrase)
    return f"{uri.partition(':')[0]}:{path}", SSlibKey.from_crypto(private.public_key())


def _import_hsm(uri: str, secret: SecretsHandler) -> tuple[str, Key]:
    parts = urlsplit(uri)
    (label,) = parse_qs(parts.query).get("label", [None])
    return HSMSigner.import_(int(parts.path) if parts.path else None, label, secret)


def _import_azure(uri: str, _secret: SecretsHandler) -> tuple[str, Key]:
    parts = urlsplit(uri)
    vault, name = parts.netloc.partition(".")[0], parts.path.removeprefix("/keys/").split("/")[0]
    return AzureSigner.import_(vault, name)


_IMPORT: Mapping[str, Callable[[str, SecretsHandler], tuple[str, Key]]] = {
    CryptoSigner.SCHEME: _import_file,
    EncryptedFileSigner.SCHEME: _import_file,
    HSMSigner.SCHEME: _import_hsm,
    AWSSigner.SCHEME: lambda uri, _: AWSSigner.import_(uri.partition(":")[2]),
    GCPSigner.SCHEME: lambda uri, _: GCPSigner.import_(uri.partition(":")[2]),
    AzureSigner.SCHEME: _import_azure,
    VaultSigner.SCHEME: lambda uri, _: VaultSigner.import_(uri.partition(":")[2].split("/")[0]),
}
"""How to get the public key behind each kind of URI, and the URI to remember it by."""


def default_folder(repository_id: str, kind: str) -> Path:
    """The default folder of the ``online`` or ``offline`` keys of a repository."""
    return data_dir() / "keys" / repository_id / kind


def generate(folder: Path, roles: Iterable[str], passphrase: bytes | None) -> list[CryptoSigner]:
    """Generate an ed25519 key for each of ``roles`` and store it.

    Args:
        folder: Where to store them; made with mode 0700.
        roles: The beginnings of the file names. They are for people: keys are found by their ids.
        passphrase: Encrypts the files; None leaves them in the clear.

    Raises:
        RepositoryStateError: As ``store``.
    """
    signers = [(role, CryptoSigner.generate_ed25519()) for role in roles]
    store(folder, signers, passphrase)
    return [signer for _, signer in signers]


def store(
    folder: Path, signers: Iterable[tuple[str, CryptoSigner]], passphrase: bytes | None
) -> None:
    """Write each key as ``<role>.<key id>.pem``.

    Args:
        folder: Where to store them; made with mode 0700.
        signers: Pairs of a role and its key.
        passphrase: Encrypts the files; None leaves them in the clear.

    Raises:
        RepositoryStateError: The folder cannot be made or written, holds other things than keys, or
            has a name that cannot be part of a URI.
    """
    folder = folder.absolute()
    if _UNQUOTABLE & set(str(folder)):
        raise RepositoryStateError(
            f"keys cannot be kept in {folder}: a folder's name without any of {'?#;'!r} is needed"
        )
    try:
        make_folder(folder)
        if any(entry.suffix != _SUFFIX for entry in folder.iterdir()):
            raise RepositoryStateError(
                f"{folder} holds other things than keys", remedy="Name a folder for keys alone."
            )
        folder.chmod(0o700)
        for role, signer in signers:
            path = folder / f"{role}.{signer.public_key.keyid}{_SUFFIX}"
            _write_private(path, _pem(signer, passphrase))
    except OSError as error:
        raise RepositoryStateError(f"keys cannot be written to {folder}: {error}") from None


def file_uri(folder: Path, keyid: str) -> str | None:
    """The URI of the key with that id in ``folder``; None if it is not there.

    Raises:
        RepositoryStateError: Its file cannot be read.
    """
    path = next(folder.absolute().glob(f"*.{glob.escape(keyid)}{_SUFFIX}"), None)
    if path is None:
        return None
    try:
        with path.open("rb") as stream:
            encrypted = is_encrypted(stream.read(ENCRYPTED_HEAD_BYTES))
    except OSError as error:
        raise RepositoryStateError(f"{path} cannot be read: {error.strerror}") from None
    scheme = EncryptedFileSigner.SCHEME if encrypted else CryptoSigner.SCHEME
    return f"{scheme}:{path}"


def file_uris(folder: Path, signers: Iterable[Signer]) -> dict[str, str]:
    """The URIs of those keys of ``signers`` that are in ``folder``, by key id.

    Raises:
        RepositoryStateError: As ``file_uri``.
    """
    keyids = (signer.public_key.keyid for signer in signers)
    return {keyid: uri for keyid in keyids if (uri := file_uri(folder, keyid))}


def check_public_key(key: Key) -> Key:
    """Check a public key from a document that somebody else wrote, and return it.

    Metadata keeps the keys of many roles in one list, by their ids. A key under the id of another
    key would take its place there, and all clients would download whatever else it holds.

    Raises:
        FormatError: It is of a kind that not all clients know, holds other fields, or does not have
            its own id.
    """
    document = key.to_dict()
    value = key.keyval if isinstance(key.keyval, dict) else {}
    public = value.get("public")
    if (
        document.keys() != {"keytype", "scheme", "keyval"}
        or value.keys() != {"public"}
        or not _KINDS.fullmatch(f"{key.keytype} {key.scheme}")
        or not isinstance(public, str)
        or not _PUBLIC.fullmatch(public)
    ):
        raise FormatError("not a public key of a kind that all clients know")
    # securesystemslib computes the ids of new keys in this way.
    if key.keyid != sha256_of(str(encode_canonical(document)).encode()):
        raise FormatError(f"a key goes by an id that is not its own: {key.keyid!r:.100}")
    return key


class KeyRing:
    """Finds the private keys of public keys by their ids, and loads each at its first use.

    Args:
        folders: Searched first, in order (those that the operator names with ``--keys``).
        uris: The other places of keys, by key id.
        passphrase: Asked once, when the first encrypted key is loaded.
        loaded: Signers that are loaded already.
        pin: Asked once, when the first device is used; None if the passphrase is the PIN.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        uris: Mapping[str, str],
        passphrase: Passphrase,
        loaded: Iterable[Signer] = (),
        pin: Passphrase | None = None,
    ) -> None:
        self._folders = tuple(folders)
        self._uris = dict(uris)
        self._secrets = {"passphrase": passphrase, HSMSigner.SECRETS_HANDLER_MSG: pin or passphrase}
        self._answers: dict[str, str] = {}
        self._signers: dict[str, Signer] = {each.public_key.keyid: each for each in loaded}

    def uri(self, keyid: str) -> str | None:
        """The URI of the private key with that id; None if it is unknown, or its file is gone.

        Raises:
            RepositoryStateError: As ``file_uri``.
        """
        for folder in self._folders:
            if in_folder := file_uri(folder, keyid):
                return in_folder
        uri = self._uris.get(keyid)
        if uri is not None and uri.startswith(_FILE_SCHEMES) and not _path(uri).exists():
            return None
        return uri

    def has(self, keyid: str) -> bool:
        """Whether the private key with that id has a known place. The key is not loaded."""
        return keyid in self._signers or self.uri(keyid) is not None

    def find(self, key: Key) -> Signer | None:
        """The signer for a public key; None if its private key is not on this machine.

        Raises:
            RepositoryStateError: The private key is here and cannot be loaded: the passphrase is
                wrong, it is another key, or its file cannot be read.
        """
        if key.keyid in self._signers:
            return self._signers[key.keyid]
        uri = self.uri(key.keyid)
        if uri is None:
            return None
        try:
            signer = Signer.from_priv_key_uri(uri, key, self._answer)
        except UnsupportedLibraryError as error:
            raise _lacks_an_extra(uri, error) from None
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm, SecuresystemslibError) as e:
            raise RepositoryStateError(
                f"the key {uri} cannot be loaded: {e}",
                remedy="Is the passphrase right? --passphrase-file FILE names the file it is in.",
            ) from None
        self._signers[key.keyid] = signer
        return signer

    def add(self, signer: Signer) -> None:
        """Add a signer that is loaded already."""
        self._signers[signer.public_key.keyid] = signer

    def remember(self, uris: Mapping[str, str]) -> None:
        """Add the places of further keys, by key id."""
        self._uris |= uris

    def public_key(self, uri: str) -> tuple[str, Key]:
        """The URI to remember the key at ``uri`` by, and its public key.

        Raises:
            UsageError: ``uri`` is not the URI of a key.
            RepositoryStateError: The key cannot be reached.
        """
        scheme = uri.partition(":")[0]
        if scheme not in _IMPORT:
            raise UsageError(
                f"not the URI of a key: {uri!r:.200}",
                remedy=f"It begins with one of: {', '.join(f'{each}:' for each in _IMPORT)}",
            )
        try:
            return _IMPORT[scheme](uri, self._answer)
        except RepositoryStateError:
            raise
        except UnsupportedLibraryError as error:
            raise _lacks_an_extra(uri, error) from None
        except Exception as error:  # each kind of device and cloud has errors of its own
            raise RepositoryStateError(
                f"the key {uri} cannot be reached: {type(error).__name__}: {error}"
            ) from None

    def _answer(self, secret: str) -> str:
        if secret not in self._answers:
            ask = self._secrets.get(secret, self._secrets["passphrase"])
            self._answers[secret] = ask().decode("utf-8", "surrogateescape")
        return self._answers[secret]


def _path(uri: str) -> Path:
    return Path(uri.partition(":")[2])


def _pem(signer: CryptoSigner, passphrase: bytes | None) -> bytes:
    clear: bytes = signer.private_bytes
    return encrypt(clear, passphrase) if passphrase else clear


def _write_private(path: Path, data: bytes) -> None:
    # O_EXCL: never overwrite a key, and never follow a link that somebody else put there.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _lacks_an_extra(uri: str, error: UnsupportedLibraryError) -> RepositoryStateError:
    scheme = uri.partition(":")[0]
    return RepositoryStateError(
        f"the key {uri} cannot be reached: {error}",
        remedy="In the folder of securepip's source: python -m pip install "
        f"'.[{_EXTRA.get(scheme, scheme)}]'",
    )
