"""A thief of the online keys gives a role the name of one of a claim, to replace that."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, TargetFile, Targets

from securepip.errors import RepositoryStateError, VerificationError
from securepip.formats.layout import page_target
from securepip.formats.roles import name_role
from securepip.signing.claims.promote import promote
from securepip.signing.publish import create
from securepip.signing.repository import commit
from securepip.signing.repository.commit import now
from securepip.signing.repository.config import Expiry
from securepip.signing.repository.roles import Roles
from securepip.transport import Transport, TransportOptions
from securepip.updater import Session
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import MadeRepository, make_repository, serve
from tests.support.wheels import make_wheel

APP, API, LIB = NormalizedName("app"), NormalizedName("api"), NormalizedName("lib")
EVIL = "packages/app/app-9.0-py3-none-any.whl"


@pytest.fixture
def claimed(tmp_path: Path) -> MadeRepository:
    """``app`` is claimed; ``api``, of the same shard, and ``lib`` are not."""
    wheels = [make_wheel(tmp_path / "built", name, "1.0") for name in (APP, API, LIB)]
    made = make_repository(tmp_path / "repository", *wheels, expected_files=1)
    claim(made, "app", Maintainers.of(1))
    promote(made.repository)
    return made


@contextmanager
def session(made: MadeRepository, served: Path, state: Path) -> Iterator[Session]:
    with serve(served) as url, Transport(TransportOptions(retries=0)) as transport:
        yield Session("made", f"{url}metadata/", state, transport, made.root.read_bytes())


def attack(made: MadeRepository, tmp_path: Path, role: str, evil: Mapping[str, Targets]) -> Path:
    """Let the online keys delegate ``lib`` to a role with the name of one of the claim's.

    The snapshot lists the versions that clients have seen.
    """
    thief = CryptoSigner.generate_ed25519()
    key = thief.public_key
    repository = made.repository
    with repository.lock():
        roles = repository.roles()
        recent = roles.role("recently-claimed")
        recent.signed.delegations = Delegations(
            {key.keyid: key}, {role: DelegatedRole(role, [key.keyid], 1, False, ["simple/lib/*"])}
        )
        for name in evil:
            roles.snapshot.signed.meta[f"{name}.json"].hashes = None
            roles.snapshot.signed.meta[f"{name}.json"].length = None
        repository.sign({"recently-claimed": recent})
    served = tmp_path / "served"
    shutil.copytree(made.folder, served)
    for name, signed in evil.items():
        signed.version = made.repository.roles().meta(name).version
        signed.expires = now() + Expiry().of(name)
        if signed.delegations is not None:
            signed.delegations.keys = {key.keyid: key}
            for delegated in (signed.delegations.roles or {}).values():
                delegated.keyids = [key.keyid]
        name_role(signed, name, made.root_sha256)
        metadata = Metadata(signed)
        metadata.sign(thief)
        (served / "metadata" / f"{signed.version}.{name}.json").write_bytes(metadata.to_bytes())
    return served


def evil_project() -> Targets:
    return Targets(targets={EVIL: TargetFile(4, {"sha256": "e" * 64}, EVIL)})


def evil_shard() -> Targets:
    name = "project.app"
    return Targets(
        delegations=Delegations({}, {name: DelegatedRole(name, ["x"], 1, True, ["packages/app/*"])})
    )


@pytest.mark.parametrize("first", [APP, API])
@pytest.mark.parametrize("shard", [False, True])
def test_a_role_of_a_claim_is_never_taken_from_another_delegator(
    claimed: MadeRepository, tmp_path: Path, first: NormalizedName, shard: bool
) -> None:
    # python-tuf keeps one role of each name: a look-up of `lib`, which the thief may answer,
    # would replace the role that was verified for `app` by his own.
    with session(claimed, claimed.folder, tmp_path / "client") as client:
        assert client.target(page_target(APP)) is not None
    evil = {"project.app": evil_project()}
    if shard:
        evil = {"claimed.ap": evil_shard(), **evil}
    served = attack(claimed, tmp_path, next(iter(evil)), evil)
    with session(claimed, served, tmp_path / "client") as client:
        client.target(page_target(first))
        with pytest.raises(VerificationError, match=r"two delegators|signed by 0/1 keys"):
            client.target(page_target(LIB))
            client.target(EVIL)
        with suppress(VerificationError):
            assert client.target(EVIL) is None
    # The thief can make the repository unusable, and nothing else.
    with session(claimed, served, tmp_path / "client") as client, suppress(VerificationError):
        assert client.target(EVIL) is None


@pytest.mark.parametrize("other", ["1.claimed.bo", "1.claimed.b", "1.claimed", "2.claimed"])
def test_a_shard_cannot_pass_for_another(
    claimed: MadeRepository, tmp_path: Path, other: str
) -> None:
    # One key signs all shards, and TUF does not write a role's name into it: with another shard in
    # place of its own, a claimed project would be looked up in the bins.
    claim(claimed, "bob", Maintainers.of(1))
    promote(claimed.repository)
    with session(claimed, claimed.folder, tmp_path / "client") as client:
        assert client.target(page_target(APP)) is not None
    repository = claimed.repository
    data = (claimed.folder / "metadata" / f"{other}.json").read_bytes()
    version = Metadata[Targets].from_bytes(data).signed.version
    served = tmp_path / "served"
    with repository.lock():
        roles = repository.roles()
        meta = MetaFile.from_data(version, data, ["sha256"])
        roles.snapshot.signed.meta["claimed.ap.json"] = meta
        name = roles.bin_of(EVIL)
        changed = roles.role(name)
        changed.signed.targets[EVIL] = TargetFile(4, {"sha256": "e" * 64}, EVIL)
        repository.sign({name: changed})
    shutil.copytree(claimed.folder, served)
    (served / "metadata" / f"{version}.claimed.ap.json").write_bytes(data)
    # A client that has seen the shard has other contents for this version.
    for name, why in (("client", r"other contents|served as"), ("new", r"served as the role")):
        with (
            session(claimed, served, tmp_path / name) as client,
            pytest.raises(VerificationError, match=why),
        ):
            client.target(EVIL)
    # No command signs on top of it either.
    roles = Roles(served / "metadata", claimed.root_sha256)
    with pytest.raises(RepositoryStateError):
        roles.claim(APP)


def test_roles_of_other_tools_need_not_say_what_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "name_role", lambda role, name, repository: None)
    monkeypatch.setattr(create, "ALL_ROLES", None)
    wheel = make_wheel(tmp_path / "built", LIB, "1.0")
    made = make_repository(tmp_path / "repository", wheel, expected_files=1)
    assert b"x-securepip-role" not in (made.folder / "metadata" / "1.claimed.json").read_bytes()
    with session(made, made.folder, tmp_path / "client") as client:
        assert client.target(page_target(LIB)) is not None
        assert client.target(page_target(APP)) is None
