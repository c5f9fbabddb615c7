"""A repository in which each role has its own key, so that each key can be stolen alone.

``app`` is claimed, ``fresh`` is recently claimed, ``other`` is not claimed. The earlier state has
version 1.0 of each. Then 2.0 of each is published.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

from securesystemslib.signer import CryptoSigner, Key, Signer

from securepip.signing.claims.promote import promote
from securepip.signing.claims.transactions.accept import accept
from securepip.signing.keys.ring import store
from securepip.signing.offline.proposal import Replacement, propose
from securepip.signing.offline.rotate import execute, keyids_of
from securepip.signing.repository.config import Expiry
from securepip.signing.repository.repository import Repository
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

PROJECTS = ("app", "fresh", "other")
SERVED = ("metadata", "simple", "packages")
EXPIRY = Expiry(timestamp=1, snapshot=12, bin_n=60, recently_claimed=60, claimed=35)
_ONLINE = ("timestamp", "snapshot", "recently-claimed", "bin-n")
_CLOCKS = (
    "repository.commit",
    "offline.proposal",
    "publish.refresh",
    "claims.transactions.compose",
)


@dataclass(frozen=True)
class World:
    """A repository, its past, and all of its private keys.

    Attributes:
        made: The repository, with 2.0 of everything, signed now.
        earlier: The folder of the earlier state, with 1.0 of everything, signed some days ago.
        keys: The private keys by role; ``project`` is the key of ``app``.
    """

    made: MadeRepository
    earlier: Path
    keys: Mapping[str, tuple[Signer, ...]]


def build(folder: Path, days: int) -> World:
    """Make a world whose earlier state was signed ``days`` ago.

    In that state, the timestamp expires after 1 day, the snapshot after 12, ``claimed`` after 35,
    bins after 60, and everything after a year. With a year, the earlier state has no claims.
    """
    built = folder / "built"
    owner, newcomer = Maintainers.of(1), Maintainers.of(1)
    with ago(days):
        made = make_repository(
            folder / "repository",
            *(make_wheel(built, name, "1.0") for name in PROJECTS),
            expected_files=1,
            expiry=EXPIRY,
        )
        _give_own_keys(made)
        made = replace(made, repository=opened(made))
        if days < EXPIRY.root:
            claim(made, "app", owner)
            with opened(made) as repository:
                promote(repository)
            claim(made, "fresh", newcomer)
    earlier = folder / "earlier"
    for name in SERVED:
        shutil.copytree(made.folder / name, earlier / name)
    with opened(made) as repository:
        keys = {
            name: tuple(
                signer
                for keyid in keyids_of(repository.roles(), name)
                if (signer := repository.keys.find(_key(repository, name, keyid)))
            )
            for name in ("root", "targets", "bins", "claimed", *_ONLINE)
        }
    if days < EXPIRY.root:
        requests = folder / "requests"
        for name, maintainers in (("app", owner), ("fresh", newcomer)):
            wheel = make_wheel(built, name, "2.0")
            with opened(made) as repository:
                accept(repository, maintainers.release(made, name, requests, wheel))
        made.add(make_wheel(built, "other", "2.0"))
        with opened(made) as repository:
            frame = ("targets", "bins", "claimed")
            repository.sign({name: repository.roles().role(name) for name in frame})
    made.repository.ledger.close()
    return World(made, earlier, {**keys, "project": owner.signers})


def ago(days: int) -> ExitStack:
    """Sign as if it were so many days ago."""
    then = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=days)
    stack = ExitStack()
    for module in _CLOCKS:
        stack.enter_context(mock.patch(f"securepip.signing.{module}.now", lambda: then))
    return stack


def opened(made: MadeRepository) -> Repository:
    """Open the repository with all of its keys."""
    return Repository.open(made.folder, keys=[made.online_keys, made.offline_keys])


def _give_own_keys(made: MadeRepository) -> None:
    with opened(made) as repository, repository.lock():
        roles = repository.roles()
        signers = [(role, CryptoSigner.generate_ed25519()) for role in _ONLINE]
        store(made.online_keys, signers, None)
        replacements = [
            Replacement(role, tuple(keyids_of(roles, role)), (signer.public_key,))
            for role, signer in signers
        ]
        proposal = propose(roles, EXPIRY, why="keys of their own", replacements=replacements)
        for duty in proposal.duties(roles):
            duty.sign(repository.keys)
        execute(repository, proposal)


def _key(repository: Repository, name: str, keyid: str) -> Key:
    roles = repository.roles()
    if name in roles.root.signed.roles:
        return roles.root.signed.keys[keyid]
    delegated = next(roles.bin_names()) if name == "bin-n" else name
    return next(key for key in roles.holders(delegated).keys if key.keyid == keyid)
