"""The root that a person starts to trust: read from a file, or found by its fingerprint.

Rule: the person gets the fingerprint from somewhere else than the repository. The fingerprint of
what the repository itself serves proves nothing, so no message shows it: people would only paste it
back into the command.
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
"""As many root rotations as python-tuf follows; at one a year, enough."""

MAX_ROOTS_BYTES = 8 << 20
MAX_ROOTS_SECONDS = 300.0
"""Limits for all root files together: a server that is not trusted yet could send roots forever."""


def parse_root(data: bytes) -> int:
    """The version of the root metadata in ``data``, signed by its own threshold of keys.

    Raises:
        FormatError: It is not root metadata, or not signed by a threshold of the keys it names.
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
    """The bytes of the root metadata with that fingerprint, in the repository at ``location``.

    The fingerprint may be that of any version, so that an operator's web page need not change when
    keys are rotated.

    Raises:
        VerificationError: The repository has no root with that fingerprint.
        TransportError: The repository did not answer, or has no root at all.
    """
    compared, left, deadline = 0, MAX_ROOTS_BYTES, time.monotonic() + MAX_ROOTS_SECONDS
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
        compared, left = version, left - len(data)
        if time.monotonic() > deadline:
            break
    raise VerificationError(
        f"{redact(location)} does not have the fingerprint that you gave: no root file there has "
        f"the sha256 {fingerprint} ({counted(compared, 'root file')} compared)",
        meaning="The fingerprint is of another repository or was mistyped, or somebody answers in "
        "the repository's place.",
        remedy="Nothing was added. Compare the fingerprint with the one that those who run the "
        "repository publish in another place, and give the command again.",
    )
