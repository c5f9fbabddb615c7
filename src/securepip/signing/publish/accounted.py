"""Checks, before an offline key signs, that the current state is the one that was signed here last.

Rule: every command that uses an offline key, or collects what one has signed, works within
``accounted``; nothing else makes this check. A thief of the online key can prepare a state that
every client accepts: a claim with his own keys, or ``claimed`` as it was before a claim. If an
offline key signed on top of that state, it would make the thief's changes permanent. So nothing is
signed unless

* every current file is the one that the log says was signed here last, by version and digest;
* nothing is older than what this machine saw when an offline key was last used on it;
* no offline key that is here has signed for another repository on this machine.

If one of these fails, a person has to decide which state is true, with `repo recover`. The check
stops a thief of the online key, and an attacker who can change served files. It does not stop an
attacker who controls the server with its log and this memory: he can make all of them agree. Only
the memory on a key holder's own machine stops him, which is why offline keys are better used in a
ceremony.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tuf.api.metadata import Metadata, Root, Targets

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import CLAIMED_ROLE, METADATA_DIR
from securepip.signing.keys.memory import Versions, check_owner, recall, remembering
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import FRAME, Roles
from securepip.signing.repository.state.log import Entry, SignedRole, anchor_of
from securepip.signing.repository.storage.interface import Reader

FEW_BINS = 1024
"""The number of bins that can be read and compared with the log in about a second."""


@contextmanager
def accounted(repository: Repository) -> Iterator[None]:
    """Hold the repository's lock, with a current state that offline keys may build on.

    At the end of the block, the state that is current then is remembered as seen on this machine.

    Raises:
        RepositoryStateError: The state is not the one that was signed last, an offline key has
            signed for another repository, or the memory of this machine cannot be used. Nothing was
            changed.
    """
    with repository.lock():
        check_own(repository)
        _check_not_older(repository)
        check_owner(offline_keys_here(repository), repository.config.root_sha256)
        yield
        remember_seen(repository)


def check_own(repository: Repository) -> tuple[Entry, ...]:
    """Check that the log says of every current file that it was signed here last.

    A thief of a key can sign a state that every client accepts, but the log shows that it was not
    signed here. His snapshot may also list older files that were signed here, so each role has to
    have the version that was signed last.

    Returns:
        The entries of the log.

    Raises:
        RepositoryStateError: The log was changed; a current file is not in it or cannot be read; or
            the state, or one of its roles, is older than the one that was signed last.
    """
    return check_signed_here(repository, repository.roles(), repository.storage.below(METADATA_DIR))


def check_recent(repository: Repository) -> None:
    """Check as ``check_own`` does if that is quick; if not, only check the end of the log.

    This is for callers that check often. `repo audit` always checks everything.

    Raises:
        RepositoryStateError: As ``check_own``.
    """
    roles = repository.roles()
    if roles.succinct.number_of_bins <= FEW_BINS:
        check_own(repository)
    else:
        repository.log.check_made(roles.timestamp.signed)


def check_signed_here(repository: Repository, roles: Roles, metadata: Reader) -> tuple[Entry, ...]:
    """Check, as ``check_own`` does, any state of the repository, for example that of a copy.

    For an older state, the entries of the log up to that state count.

    Args:
        repository: The repository whose log is read.
        roles: The state, verified.
        metadata: Where its files are.

    Returns:
        The entries of the log.

    Raises:
        RepositoryStateError: As ``check_own``.
    """
    entries = repository.log.check(roles.timestamp.signed)
    everything = {(each.role, each.version): each for entry in entries for each in entry.signed}
    for version in range(1, roles.root.signed.version + 1):
        _check_file(metadata, "root", version, everything.get(("root", version)))
    last = _last_signed(roles, entries)
    snapshot = roles.snapshot.signed
    current = {"snapshot": snapshot.version}
    current |= {name.removesuffix(".json"): meta.version for name, meta in snapshot.meta.items()}
    for role, version in current.items():
        signed = last.get(role)
        if signed is not None and signed.version != version:
            raise RepositoryStateError(
                f"the snapshot names version {version} of {role}, but version {signed.version} "
                "was signed here last",
                meaning="Somebody who has the online key has put an older version back: perhaps "
                "one from before a claim, or from before keys were changed.",
                remedy="securepip repo recover replaces the keys and comes back to the state that "
                "you know to be yours.",
            )
        _check_file(metadata, role, version, signed)
    return entries


def remember_seen(repository: Repository) -> None:
    """Remember the current state as seen here, and that the offline keys here sign for it.

    Raises:
        RepositoryStateError: It is not signed as it has to be, or the memory cannot be read.
        SecurepipError: The memory cannot be written.
    """
    with remembering(repository.config.root_sha256) as update:
        known = replace(update.value, seen=_offline_versions(repository.roles()))
        update.value = known.with_keys(offline_keys_here(repository))


def offline_keys_here(repository: Repository) -> tuple[str, ...]:
    """The ids of the keys at hand that sign offline roles.

    Raises:
        RepositoryStateError: The state is not signed as it has to be.
    """
    roles = repository.roles()
    signers = (roles.delegator(name).get_delegated_role(name).keyids for name in ("root", *FRAME))
    named = dict.fromkeys(keyid for keyids in signers for keyid in keyids)
    return tuple(keyid for keyid in named if repository.keys.has(keyid))


def _last_signed(roles: Roles, entries: tuple[Entry, ...]) -> dict[str, SignedRole]:
    """The last entry of each role in the log that became current, up to the state ``roles``.

    The timestamp of that state names its log entry. Later entries are from runs that were killed
    before they became current. So is an entry that is followed by one with the same or a lower
    version of the timestamp: every run that becomes current signs a higher version.
    """
    anchor = anchor_of(roles.timestamp.signed)
    last: dict[str, SignedRole] = {}
    following: int | None = None
    for entry in reversed(entries):
        if anchor is None or entry.number > anchor.entries:
            continue
        made = next((each.version for each in entry.signed if each.role == "timestamp"), None)
        if made is not None:
            if following is not None and following <= made:
                continue
            following = made
        for each in entry.signed:
            last.setdefault(each.role, each)
    return last


def _check_file(metadata: Reader, role: str, version: int, signed: SignedRole | None) -> None:
    name = f"{version}.{role}.json"
    path = f"{metadata.address}/{name}"
    try:
        sha256 = sha256_of(metadata.read(name))
    except FileNotFoundError as error:
        raise RepositoryStateError(
            f"{path} cannot be read: {error.strerror}",
            meaning="It is current: without it, clients cannot install what it is about.",
            remedy="Restore it from a backup or a mirror, and run this again.",
        ) from None
    if signed is None or signed.sha256 != sha256:
        raise RepositoryStateError(
            f"{path} was not signed by this repository, by what its log says",
            meaning="Somebody else has a key of this repository, and has signed it.",
            remedy="securepip repo recover replaces the keys and restores what was changed.",
        )


def _check_not_older(repository: Repository) -> None:
    remembered = recall(repository.config.root_sha256)
    if remembered is None:
        return
    current = _offline_versions(repository.roles())
    for role, (version, digest) in remembered.seen.items():
        present, contents = current.get(role, (0, None))
        if present < version or (present == version and contents != digest):
            other = "with other contents" if present == version else f"not {present or 'missing'}"
            raise RepositoryStateError(
                f"{repository.address}: {role} was of version {version} when an offline key was "
                f"last used on this machine, {other}",
                meaning="Somebody put back an older state, its log included, or a backup of it was "
                "restored. Signed on top of it, claims and changes of keys would be undone.",
                remedy="Put the newest state back. If it is lost, or somebody had a hand in it, "
                "`securepip repo recover` makes a new one that clients accept.",
            )


def _offline_versions(roles: Roles) -> Versions:
    """The version and digest of every current role that offline keys have signed."""
    shards = (name for name in roles.claims_below(CLAIMED_ROLE).roles() if name not in FRAME)
    below = {name: roles.role(name) for name in (*FRAME, *shards)}
    current: dict[str, Metadata[Root] | Metadata[Targets]] = {"root": roles.root, **below}
    return {name: (each.signed.version, _digest(each)) for name, each in current.items()}


def _digest(metadata: Metadata[Root] | Metadata[Targets]) -> Sha256:
    return sha256_of(metadata.signed_bytes)
