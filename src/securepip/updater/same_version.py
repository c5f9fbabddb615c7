"""One version of a role has one content: what a client has seen of it may not become another.

Rule: a version number is used once. Where two files were signed under one number, one of them is
what somebody wanted to undo: an offline key that signs on top of an older state gives the next
version its old number, and a snapshot that lists the new file would make clients forget the first,
a claim in it included. TUF compares version numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Targets


def check_same_version(
    role: str,
    known: bytes,
    listed: MetaFile | None,
    delegator: Root | Targets,
    *,
    only_onward: Callable[[], bool],
) -> None:
    """See to it that a snapshot lists no other file under a version that is known already.

    Only digests can tell two files of one version apart: where the snapshot lists none, the file
    that is known stays.

    Args:
        role: The name of the role.
        known: The role's file that was verified last, by this client.
        listed: What the verified snapshot says of it.
        delegator: Who names its keys now. A file whose keys count no more is no evidence: who has
            stolen them could have made it, and the number must be free for those who recover.
        only_onward: Whether it may not list an older version either. Asked where it does.

    Raises:
        RepositoryError: It lists another, or an older one.
    """
    if listed is None:
        return
    with suppress(LengthOrHashMismatchError):
        listed.verify_length_and_hashes(known)
        if listed.hashes:
            return
    try:
        metadata = Metadata[Targets].from_bytes(known)
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError):
        return
    version = metadata.signed.version
    if version > listed.version and only_onward():
        raise RepositoryError(
            f"the role {role!r:.300} was seen at version {version}, and is listed at version "
            f"{listed.version}: somebody shows an older state"
        )
    if version == listed.version and listed.hashes:
        raise RepositoryError(
            f"the role {role!r:.300} was seen at version {listed.version} with other contents: two "
            "files were signed under one number"
        )
