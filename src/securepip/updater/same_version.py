"""One version of a role has one content: what a client has seen of it may not become another.

Rule: a version number is used once. Where two files were signed under one number, one of them is
what somebody wanted to undo: an offline key that signs on top of an older state gives the next
version its old number, and a snapshot that lists the new file would make clients forget the first,
a claim in it included. TUF compares version numbers alone.
"""

from __future__ import annotations

from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Targets


def check_same_version(
    role: str, known: bytes, listed: MetaFile | None, delegator: Root | Targets
) -> None:
    """See to it that a snapshot lists no other file under a version that is known already.

    Only digests can tell: a role that the snapshot lists without one is passed over.

    Args:
        role: The name of the role.
        known: The role's file that was verified last, by this client.
        listed: What the verified snapshot says of it.
        delegator: Who names its keys now. A file whose keys count no more is no evidence: who has
            stolen them could have made it, and the number must be free for those who recover.

    Raises:
        RepositoryError: It lists another.
    """
    if listed is None or not listed.hashes:
        return
    try:
        listed.verify_length_and_hashes(known)
        return
    except LengthOrHashMismatchError:
        pass
    try:
        metadata = Metadata[Targets].from_bytes(known)
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError):
        return
    if metadata.signed.version == listed.version:
        raise RepositoryError(
            f"the role {role!r:.300} was seen at version {listed.version} with other contents: two "
            "files were signed under one number"
        )
