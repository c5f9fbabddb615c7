"""The root that a person starts from: read from a file, or found by its fingerprint.

Rule: the fingerprint comes from the person, by another way than the repository. A root, or its
fingerprint, taken from the repository itself proves nothing and is never shown: it would only be
pasted back.
"""

from __future__ import annotations

import time

from securepip.errors import FormatError, TransportError, VerificationError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import METADATA_DIR
from securepip.formats.words import counted
from securepip.transport import Transport, redact

MAX_ROOT_BYTES = 512_000
MAX_ROOT_VERSIONS = 256
"""As many as python-tuf follows from one root to the newest; at one a year, enough."""

MAX_ROOTS_BYTES = 8 << 20
MAX_ROOTS_SECONDS = 300.0
"""Of all of them together: nothing is known yet of who answers, and they could go on for ever."""


def parse_root(data: bytes) -> int:
    """The version of the root metadata in ``data``, signed by its own threshold of keys.

    Raises:
        FormatError: It is not root metadata, or not signed by the keys that it names.
    """
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root

    try:
        root = Metadata[Root].from_bytes(data)
        if not isinstance(root.signed, Root):
            raise FormatError(f"this is {root.signed.type} metadata, not root metadata")
        root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
    except (RepositoryError, ValueError) as error:
        raise FormatError(f"not signed root metadata: {error}") from None
    return root.signed.version


def find_root(location: str, fingerprint: Sha256, transport: Transport) -> bytes:
    """The root metadata of the repository at ``location`` whose bytes have the fingerprint.

    The fingerprint may be that of any version: an operator's web page need not change at each
    rotation of keys.

    Raises:
        VerificationError: The repository has no root of that fingerprint.
        TransportError: The repository did not answer.
    """
    last, left, deadline = 0, MAX_ROOTS_BYTES, time.monotonic() + MAX_ROOTS_SECONDS
    for version in range(1, MAX_ROOT_VERSIONS + 1):
        url = f"{location}{METADATA_DIR}/{version}.root.json"
        try:
            data = transport.get(url, max_bytes=min(MAX_ROOT_BYTES, left)).body
        except TransportError as error:
            if error.status in (403, 404) and version > 1:
                break
            if error.status in (403, 404):
                raise TransportError(
                    f"{redact(location)} is not a signed repository: it has no "
                    f"{METADATA_DIR}/{version}.root.json",
                    url=redact(url),
                    status=error.status,
                    remedy="Check the address: it is the folder that holds `metadata`.",
                ) from None
            raise
        if sha256_of(data) == fingerprint:
            return data
        last, left = version, left - len(data)
        if time.monotonic() > deadline:
            break
    raise VerificationError(
        f"{redact(location)} does not have the fingerprint that you gave: no root file there has "
        f"the sha256 {fingerprint} ({counted(last, 'root file')} compared)",
        meaning="The fingerprint is of another repository or was mistyped, or somebody answers in "
        "the repository's place.",
        remedy="Nothing was added. Compare the fingerprint with the one that those who run the "
        "repository publish in another place, and give the command again.",
    )
