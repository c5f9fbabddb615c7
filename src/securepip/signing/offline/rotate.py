"""Replaces keys: any key of any role, with the offline keys at hand.

Rule: the new keys and the proposal that names them are on disk before anything becomes current, so
a rotation that was killed is finished by running it again. If several people have the offline keys,
`repo ceremony` does the same with files that are carried to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Key

from securepip.errors import RepositoryStateError, UsageError
from securepip.formats.words import counted
from securepip.signing.keys import ring as keys
from securepip.signing.keys.memory import check_owner
from securepip.signing.offline.apply import StaleProposalError, apply
from securepip.signing.offline.bundle import read_bundle, write_bundle
from securepip.signing.offline.proposal import (
    BIN_ROLE,
    OFFLINE_ROLES,
    ONLINE_ROLES,
    Proposal,
    Replacement,
    check_signed,
    propose,
)
from securepip.signing.publish.accounted import accounted
from securepip.signing.repository.config import PENDING_DIR
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import Roles

ROTATABLE = (keys.ONLINE, *OFFLINE_ROLES, *ONLINE_ROLES)
"""What can be rotated. ``online`` is one key for all roles that are signed on the server."""


@dataclass(frozen=True)
class NewKeys:
    """Where new keys come from.

    Attributes:
        folder: Where generated keys are stored.
        passphrase: Encrypts them; None leaves them in the clear.
        uris: Keys that exist already, on devices or in services. If there are any, no key is
            generated.
    """

    folder: Path
    passphrase: bytes | None = None
    uris: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rotated:
    """The result of a rotation.

    Attributes:
        out: The ids of the keys that no longer count, and where each is or was, if known.
        came: The ids of the new keys, and where each is, if known.
        signed: The roles that were signed.
        resumed: Whether it finished an interrupted rotation, and so made no further keys.
    """

    out: Mapping[str, str | None]
    came: Mapping[str, str | None]
    signed: tuple[str, ...]
    resumed: bool


def rotate(
    repository: Repository, role: str, new: NewKeys, *, replace: Sequence[str] = ()
) -> Rotated:
    """Replace the keys of a role.

    Args:
        repository: Opened with the offline keys that have to sign.
        role: One of ``ROTATABLE``.
        new: Where the new keys come from.
        replace: The ids of the keys that go, or the beginnings of their ids; by default all keys of
            the role.

    Raises:
        UsageError: There is no such role or key, or not as many URIs as keys that go.
        RepositoryStateError: Keys are missing, or ``accounted`` refuses. Nothing was changed.
    """
    why = f"rotate {role}"
    with accounted(repository):
        resumed = resume(repository, why)
        if resumed is not None:
            return resumed
        roles = repository.roles()
        going = keys_of(roles, role, replace)
        prepared = prepare_keys(repository, role, len(set().union(*going.values())), new)
        replacements = [Replacement(name, out, prepared.keys) for name, out in going.items()]
        expiry = repository.config.expiry
        proposal = propose(roles, expiry, why=why, replacements=replacements)
        for duty in proposal.duties(roles):
            duty.sign(repository.keys)
        check_signed(
            proposal,
            roles,
            "Name the folder that the offline keys are in:\n"
            f"  securepip repo rotate DIR {role} --offline-keys FOLDER\n"
            "Where they are in several hands: `securepip repo ceremony prepare`.",
        )
        prepared.store(repository, role, new)
        return execute(repository, proposal)


def execute(repository: Repository, proposal: Proposal) -> Rotated:
    """Make a signed proposal current. If this is killed, ``resume`` can finish it.

    Raises:
        RepositoryStateError: As ``apply``.
    """
    under_way = repository.state.under_way
    write_bundle(under_way.folder(PENDING_DIR), proposal)
    under_way.keep(PENDING_DIR)
    before, uris = all_keyids(repository.roles()), dict(repository.config.signers)
    signed = apply(repository, proposal)
    under_way.forget(PENDING_DIR)
    return _result(repository, before, uris, signed, resumed=False)


def resume(repository: Repository, why: str) -> Rotated | None:
    """Finish a rotation that was killed, if there is one. The lock must be held.

    Returns:
        The result, if the killed rotation was for the same reason as ``why``; else None.

    Raises:
        RepositoryStateError: As ``apply``. A rotation that no longer fits the repository is
            forgotten instead.
    """
    under_way = repository.state.under_way
    pending = under_way.folder(PENDING_DIR)
    try:
        proposal = read_bundle(pending)
    except RepositoryStateError:
        # The proposal was not written to its end, so nothing of it can have become current.
        with suppress(OSError):
            under_way.forget(PENDING_DIR)
        return None
    before, uris = all_keyids(repository.roles()), dict(repository.config.signers)
    try:
        signed = apply(repository, proposal)
    except StaleProposalError:
        under_way.forget(PENDING_DIR)
        return None
    under_way.forget(PENDING_DIR)
    if proposal.why != why:
        return None
    return _result(repository, before, uris, signed, resumed=True)


@dataclass(frozen=True)
class PreparedKeys:
    """New keys that are not stored yet.

    Attributes:
        generated: The keys that were generated here.
        uris: Where the other keys are, by key id.
        keys: The public keys of all of them.
    """

    generated: tuple[CryptoSigner, ...]
    uris: Mapping[str, str]
    keys: tuple[Key, ...]

    def store(self, repository: Repository, role: str, new: NewKeys) -> None:
        """Write the generated keys to files, and remember where all of them are.

        Raises:
            RepositoryStateError: They cannot be written, or would be in the repository's folder.
        """
        if self.generated:
            if repository.serves(new.folder):
                raise RepositoryStateError(  # the web server would serve the private keys
                    f"keys may not be kept in the repository itself: {new.folder}"
                )
            keys.store(new.folder, [(role, signer) for signer in self.generated], new.passphrase)
        uris = {**self.uris, **keys.file_uris(new.folder, self.generated)}
        repository.set_signers({**repository.config.signers, **uris})


def prepare_keys(repository: Repository, role: str, count: int, new: NewKeys) -> PreparedKeys:
    """Generate or open new keys, so that ``repository`` can sign with them.

    Args:
        repository: The repository.
        role: What they are for. ``online`` always gets one key.
        count: How many keys.
        new: Where they come from.

    Raises:
        UsageError: There are not as many URIs as keys, or one is not the URI of a key.
        RepositoryStateError: A key cannot be reached, or an offline key has signed for another
            repository.
    """
    count = 1 if role == keys.ONLINE else count
    if not new.uris:
        generated = tuple(CryptoSigner.generate_ed25519() for _ in range(count))
        for signer in generated:
            repository.keys.add(signer)
        return PreparedKeys(generated, {}, tuple(signer.public_key for signer in generated))
    if len(new.uris) != count:
        raise UsageError(
            f"to replace {counted(count, 'key')} of {role}, as many new ones are needed"
        )
    named = [repository.keys.public_key(uri) for uri in new.uris]
    uris = {key.keyid: uri for uri, key in named}
    if role != keys.ONLINE and role not in ONLINE_ROLES:
        check_owner(uris, repository.config.root_sha256)
    repository.keys.remember(uris)
    return PreparedKeys((), uris, tuple(key for _, key in named))


def keys_of(roles: Roles, role: str, named: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """The ids of keys, for each role that ``role`` stands for.

    Args:
        roles: The current roles.
        role: One of ``ROTATABLE``.
        named: The ids to choose, or the beginnings of ids; if empty, all keys.

    Raises:
        UsageError: There is no such role or key.
    """
    if role not in ROTATABLE:
        raise UsageError(f"not a role: {role!r:.80}", remedy=f"One of: {', '.join(ROTATABLE)}")
    names = ONLINE_ROLES if role == keys.ONLINE else (role,)
    before = {name: tuple(keyids_of(roles, name)) for name in names}
    starts = tuple(named)
    if not starts:
        return before
    everything = {keyid for keyids in before.values() for keyid in keyids}
    for start in starts:
        if sum(keyid.startswith(start) for keyid in everything) != 1:
            raise UsageError(
                f"not the id of one key of {role}: {start!r:.80}",
                remedy=f"Its keys are: {', '.join(sorted(everything))}",
            )
    return {
        name: tuple(keyid for keyid in keyids if keyid.startswith(starts))
        for name, keyids in before.items()
    }


def keyids_of(roles: Roles, name: str) -> list[str]:
    """The ids of the keys of a role, or of all bins (``bin-n``)."""
    if name in roles.root.signed.roles:
        return list(roles.root.signed.roles[name].keyids)
    return roles.holders(next(roles.bin_names()) if name == BIN_ROLE else name).keyids


def all_keyids(roles: Roles) -> set[str]:
    """The ids of all keys of the repository, without those of projects that sign for themselves."""
    names = (*OFFLINE_ROLES, *ONLINE_ROLES)
    return {keyid for name in names for keyid in keyids_of(roles, name)}


def _result(
    repository: Repository,
    before: set[str],
    uris: Mapping[str, str],
    signed: tuple[str, ...],
    *,
    resumed: bool,
) -> Rotated:
    after = all_keyids(repository.roles())
    signers = repository.config.signers
    # Key files may have been moved since their URIs were remembered.
    uris = {keyid: repository.keys.uri(keyid) or uri for keyid, uri in uris.items()}
    repository.set_signers({keyid: uri for keyid, uri in signers.items() if keyid in after})
    return Rotated(
        {keyid: uris.get(keyid) for keyid in sorted(before - after)},
        {keyid: signers.get(keyid) for keyid in sorted(after - before)},
        signed,
        resumed,
    )
