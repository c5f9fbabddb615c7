"""Private keys in encrypted files: PKCS#8 in PEM, the passphrase stretched with scrypt.

Rule: every file has the standard form, so that other tools can read it (``openssl pkey -in FILE``)
and a key outlives this program. ``cryptography`` reads that form, but writes only an older one with
2,048 rounds of PBKDF2, and a thief of such a file can try passphrases very fast. So this module
combines scrypt and AES from ``cryptography`` as the standard says. Files in the older form are
read too, and are rewritten when their key is used.

Source: RFC 7914, 7 (scrypt in PKCS#5), RFC 8018, 6.2 (PBES2) and RFC 5958, 3 (PKCS#8). OWASP's
Password Storage Cheat Sheet lists several costs for scrypt; this one stays within the 32 MiB that
OpenSSL allows for reading a key.
"""

from __future__ import annotations

import base64
import re
import secrets

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_COST, _BLOCK, _PARALLEL = 1 << 14, 8, 5
_KEY_BYTES, _SALT_BYTES, _IV_BYTES = 32, 16, 16
_BEGIN, _END = b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"-----END ENCRYPTED PRIVATE KEY-----"
_PEM = re.compile(rb"%s\s+([A-Za-z0-9+/=\s]+)%s\s*" % (_BEGIN, _END))

# DER (ITU-T X.690), as much of it as one fixed structure needs.
_INTEGER, _OCTETS, _SEQUENCE = 0x02, 0x04, 0x30
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES256_CBC = bytes.fromhex("060960864801650304012a")


def encrypt(clear: bytes, passphrase: bytes) -> bytes:
    """Encrypt a private key.

    Args:
        clear: The key in the clear (PEM).
        passphrase: The passphrase.

    Returns:
        The contents of the encrypted file (PEM).

    Raises:
        ValueError: ``clear`` is no private key.
    """
    private = load_pem_private_key(clear, None)
    data = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, iv = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_IV_BYTES)
    key = Scrypt(salt, _KEY_BYTES, _COST, _BLOCK, _PARALLEL).derive(passphrase)
    padder = PKCS7(8 * _IV_BYTES).padder()
    padded = padder.update(data) + padder.finalize()
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    encrypted = encryptor.update(padded) + encryptor.finalize()

    cost = (_der(_INTEGER, _number(each)) for each in (_COST, _BLOCK, _PARALLEL))
    derivation = _der(_SEQUENCE, _SCRYPT, _der(_SEQUENCE, _der(_OCTETS, salt), *cost))
    cipher = _der(_SEQUENCE, _AES256_CBC, _der(_OCTETS, iv))
    scheme = _der(_SEQUENCE, _PBES2, _der(_SEQUENCE, derivation, cipher))
    text = base64.b64encode(_der(_SEQUENCE, scheme, _der(_OCTETS, encrypted)))
    lines = (text[start : start + 64] for start in range(0, len(text), 64))
    return b"\n".join([_BEGIN, *lines, _END, b""])


def is_encrypted(head: bytes) -> bool:
    """Whether a key file that begins with ``head`` is encrypted, in either form."""
    return head.startswith(_BEGIN)


ENCRYPTED_HEAD_BYTES = len(_BEGIN)
"""How many bytes of a file ``is_encrypted`` has to see."""


def is_outdated(data: bytes) -> bool:
    """Whether an encrypted file has another form than that of ``encrypt``."""
    match = _PEM.fullmatch(data)
    return match is None or _SCRYPT not in base64.b64decode(match[1])


def _der(tag: int, *contents: bytes) -> bytes:
    """One DER element."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _number(value: int) -> bytes:
    """A positive number in DER, with a zero bit in front so that it does not read as negative."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")
