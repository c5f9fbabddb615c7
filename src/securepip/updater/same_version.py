"""Refuses a second file for a version of a role that this client has seen before.

Rule: a version number names one file. TUF compares version numbers only. If somebody signs with an
offline key on top of an older state (a backup), the new file gets the number of a file that was
already published. A snapshot that lists the new file would make clients replace the published one,
and so forget a claim that it holds.
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
    """Check that a snapshot lists no other file under a version that this client has seen.

    Two files of one version are told apart by digest. If the snapshot lists no digests, python-tuf
    keeps the known file.

    Args:
        role: The name of the role.
        known: The role's file that this client verified last.
        listed: What the verified snapshot lists for the role; None if it does not list it.
        delegator: The role that delegates to it now. A known file that is not signed with the
            delegated keys is ignored: those keys may have been stolen and replaced, and the
            recovered repository must be free to use the number.
        only_onward: Whether an older version is refused too. Called only if one is listed.

    Raises:
        RepositoryError: The snapshot lists another file of the known version, or a refused older
            version.
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
