"""The files that a repository remembers, and the roles that its signers accept."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    Targets,
)

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256
from securepip.formats.layout import ALL_ROLES, NAMED_FIELD, ROLE_FIELD, page_target
from securepip.formats.roles import Naming
from securepip.signing.keys.canonical import CANONICAL
from securepip.signing.keys.ring import KeyRing, no_passphrase
from securepip.signing.repository import commit
from securepip.signing.repository.commit import MAX_PINNED_BINS, Committer
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import Roles, next_version, write_next
from securepip.signing.repository.state.later import Later
from securepip.signing.repository.state.ledger import Ledger, Withdrawn
from securepip.signing.repository.state.sqlite import open_sqlite
from securepip.signing.repository.storage.local import Folder, LocalStorage
from tests.support.repositories import MadeRepository

APP, LIB = NormalizedName("app"), NormalizedName("lib")
A, B = Sha256("a" * 64), Sha256("b" * 64)
WHEEL, SDIST, NEXT = "app-1.0-py3-none-any.whl", "app-1.0.tar.gz", "app-2.0.tar.gz"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(open_sqlite(tmp_path / "ledger"))
    yield made
    made.close()


def test_a_file_keeps_the_bytes_that_were_accepted_last(ledger: Ledger) -> None:
    ledger.record([(APP, WHEEL, A), (LIB, "lib-1.0.tar.gz", B)])
    ledger.record([(APP, WHEEL, A)])
    assert ledger.known(APP) == {WHEEL: A}
    assert ledger.signed_as(WHEEL) == [(APP, A)]
    with pytest.raises(RepositoryStateError, match="no change of"):
        ledger.accept_change(WHEEL)
    ledger.refuse(APP, WHEEL, A)
    ledger.refuse(APP, WHEEL, B)
    assert ledger.refused_as(WHEEL) == [(APP, B)]
    assert ledger.accept_change(WHEEL) == [(APP, B)]
    assert ledger.known(APP) == {WHEEL: B}
    assert ledger.signed_as(WHEEL) == [(APP, A), (APP, B)]
    assert ledger.refused_as(WHEEL) == []
    # Back to the first one: it was signed before, and is now the last one again.
    ledger.refuse(APP, WHEEL, A)
    ledger.accept_change(WHEEL)
    assert ledger.known(APP) == {WHEEL: A}


def test_a_page_is_no_indexs_alone_when_files_of_the_repositorys_own_are_signed(
    ledger: Ledger,
) -> None:
    """Otherwise the index could add releases to a project that this repository publishes itself."""
    connection = ledger.connection
    with connection:
        connection.executemany(
            "INSERT INTO upstream_page VALUES (?, '', '', '', NULL)", [(APP,), (LIB,)]
        )
    later = Later(connection)
    ledger.own([APP], later)
    later.flush()
    assert connection.execute("SELECT project FROM upstream_page").fetchall() == [(LIB,)]


@pytest.mark.parametrize(
    ("marks", "covered"),
    [
        ([], []),
        ([{}], [WHEEL, SDIST, NEXT, "odd"]),
        ([{"version": Version("1.0")}], [WHEEL, SDIST]),
        ([{"filename": SDIST}], [SDIST]),
        ([{"filename": "odd"}], ["odd"]),
        ([{"filename": SDIST}, {"version": Version("2.0")}], [SDIST, NEXT]),
    ],
)
def test_what_was_revoked_covers_its_files(
    ledger: Ledger, marks: list[dict[str, Any]], covered: list[str]
) -> None:
    for mark in (*marks, *marks):
        ledger.withdraw(APP, **mark)
    withdrawn = ledger.withdrawn(APP)
    names = (WHEEL, SDIST, NEXT, "odd")
    assert [name for name in names if withdrawn.covers(name)] == covered
    assert [name for name in names if ledger.is_withdrawn(APP, name)] == covered
    assert ledger.is_withdrawn(APP) == withdrawn.whole == (marks == [{}])
    assert not ledger.is_withdrawn(LIB, "lib-1.0.tar.gz")
    assert ledger.withdrawn(LIB) == Withdrawn(LIB, frozenset())


def test_what_is_restored_is_free_again_and_nothing_else(ledger: Ledger) -> None:
    def revoke() -> None:
        ledger.withdraw(APP)
        ledger.withdraw(APP, version=Version("1.0"))
        ledger.withdraw(APP, version=Version("2.0"))
        ledger.withdraw(APP, filename=SDIST)
        ledger.withdraw(APP, filename=NEXT)
        ledger.withdraw(LIB)

    revoke()
    ledger.restore(APP, SDIST)
    assert ledger.withdrawn(APP).marks == {("2.0", ""), ("", NEXT)}
    revoke()
    ledger.restore(APP, "odd")
    assert ("", "") not in ledger.withdrawn(APP).marks
    assert len(ledger.withdrawn(APP).marks) == 4
    ledger.restore(APP)
    assert ledger.withdrawn(APP).marks == frozenset()
    assert ledger.is_withdrawn(LIB)


def test_what_is_left_to_do_is_remembered_until_it_is_done(ledger: Ledger) -> None:
    assert ledger.unfinished() == []
    ledger.begin([LIB, APP, APP])
    assert ledger.unfinished() == [APP, LIB]
    ledger.finish()
    assert ledger.unfinished() == []
    assert ledger.list_due() is None
    ledger.want_list(5.5)
    ledger.want_list(7.0)
    assert ledger.list_due() == 5.5
    ledger.list_written()
    assert ledger.list_due() is None
    assert ledger.partial() == frozenset()
    ledger.begin_partial([APP, LIB])
    ledger.begin_partial([APP])
    ledger.complete([LIB])
    assert ledger.partial() == {APP}
    assert ledger.current() == (0, 0)
    ledger.set_current(1, 2)
    ledger.set_current(3, 4)
    assert ledger.current() == (3, 4)
    ledger.flush()
    ledger.close()
    with pytest.raises(sqlite3.ProgrammingError):
        ledger.current()


# Roles on disk.


def read(made: MadeRepository) -> Roles:
    return Roles(made.folder / "metadata", made.root_sha256)


def path_of(made: MadeRepository, name: str) -> Path:
    meta = read(made).meta(name)
    return made.folder / "metadata" / f"{meta.version}.{name}.json"


def test_the_roles_are_read_once_and_each_by_its_delegator(made: MadeRepository) -> None:
    roles = read(made)
    assert roles.role("targets") is roles.targets
    assert roles.read_once("targets") is roles.targets
    name = roles.bin_of(page_target(APP))
    once = roles.read_once(name)
    assert roles.read_once(name) is not once
    assert roles.role(name) is roles.role(name)
    assert roles.target(page_target(APP)) is not None
    assert roles.target("simple/nobody/index.json") is None
    assert roles.target("elsewhere") is None
    assert roles.claim(APP) is None
    assert roles.unnamed() == []
    assert roles.holders("snapshot").threshold == 1
    assert len(roles.holders(name).keys) == 1
    assert roles.delegator("targets") is roles.root.signed
    for odd in ("project.app", "nobody", "claimed.x", "bin-zz"):
        with pytest.raises(RepositoryStateError, match="nobody delegates to"):
            roles.delegator(odd)
    with pytest.raises(RepositoryStateError, match="the role nobody is not signed as"):
        roles._verify(roles.root.signed, "nobody", roles.timestamp)
    with pytest.raises(RepositoryStateError, match="the snapshot does not list nobody"):
        roles.meta("nobody")
    for bins in (Targets(), Targets(delegations=Delegations({}, {}))):
        without = read(made)
        without._targets["bins"] = Metadata(bins)
        with pytest.raises(RepositoryStateError, match="bins delegates to no hash bins"):
            _ = without.succinct
    changed = {"targets": Metadata(Targets(delegations=Delegations({}, {})))}
    with pytest.raises(RepositoryStateError, match="nobody delegates to bins"):
        roles.delegator("bins", changed)


def _unsigned(data: dict[str, Any]) -> None:
    data["signatures"] = []


def _changed(data: dict[str, Any]) -> None:
    data["signed"]["expires"] = "2099-01-01T00:00:00Z"


@pytest.mark.parametrize("name", ["timestamp", "snapshot", "root", "targets", "bins", "bin"])
@pytest.mark.parametrize("damage", [_unsigned, _changed, None, b"", b"{}", b"\xff", b"gone"])
def test_no_role_is_believed_because_it_lies_there(
    made: MadeRepository, name: str, damage: Callable[[dict[str, Any]], None] | bytes | None
) -> None:
    roles = read(made)
    name = roles.bin_of(page_target(APP)) if name == "bin" else name
    metadata = made.folder / "metadata"
    path = {
        "timestamp": metadata / "timestamp.json",
        "snapshot": metadata / f"{roles.snapshot.signed.version}.snapshot.json",
        "root": metadata / "1.root.json",
    }.get(name) or path_of(made, name)
    if callable(damage):
        document = json.loads(path.read_bytes())
        damage(document)
        path.write_text(json.dumps(document))
    elif damage == b"gone":
        path.unlink()
    elif damage is None:  # with a valid signature, but another role
        other = metadata / "timestamp.json" if name != "timestamp" else metadata / "1.root.json"
        path.write_bytes(other.read_bytes())
    else:
        path.write_bytes(damage)
    with pytest.raises(RepositoryStateError) as refused:
        read(made).role(name if name.startswith("bin") else "targets")
    assert "restore the folder from a backup" in refused.value.remedy


def resign(made: MadeRepository, path: Path, edit: Callable[[Any], None]) -> None:
    """Sign a file with its own keys, in another state."""
    metadata: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    edit(metadata.signed)
    root: Metadata[Root] = Metadata.from_bytes(made.root.read_bytes())
    (keyid,) = metadata.signatures
    signer = made.repository.keys.find(root.signed.keys[keyid])
    assert signer is not None
    metadata.sign(signer, signed_serializer=CANONICAL)
    path.write_bytes(metadata.to_bytes())


def test_a_role_under_another_number_is_not_believed(made: MadeRepository) -> None:
    roles = read(made)
    metadata = made.folder / "metadata"
    snapshot = metadata / f"{roles.snapshot.signed.version}.snapshot.json"
    before = snapshot.read_bytes()
    resign(made, snapshot, lambda signed: setattr(signed, "version", signed.version + 1))
    with pytest.raises(RepositoryStateError, match=r"snapshot\.json is of another version"):
        read(made)
    snapshot.write_bytes(before)
    name = roles.bin_of(page_target(APP))
    bin_path = path_of(made, name)

    def other_version(signed: Any) -> None:
        signed.version += 1

    resign(made, bin_path, other_version)
    with pytest.raises(RepositoryStateError, match="not the one that was made current"):
        read(made).role(name)

    # Also if the snapshot has no digests.
    def without_digests(signed: Any) -> None:
        signed.meta[f"{name}.json"] = MetaFile(signed.meta[f"{name}.json"].version)

    resign(made, snapshot, without_digests)
    with pytest.raises(RepositoryStateError, match=rf"{name}\.json is of another version"):
        read(made).role(name)


def test_a_root_that_does_not_follow_is_not_believed(made: MadeRepository) -> None:
    metadata = made.folder / "metadata"
    second = metadata / "2.root.json"
    second.write_bytes((metadata / "1.root.json").read_bytes())
    with pytest.raises(RepositoryStateError, match=r"2\.root\.json is of another version"):
        read(made)
    second.unlink()
    with Repository.open(made.folder, keys=[made.offline_keys]) as repository:
        with repository.lock():
            repository.sign_root()
        assert repository.roles().root.signed.version == 2
    good = second.read_bytes()
    document = json.loads(good)
    document["signatures"] = document["signatures"][:1]
    second.write_text(json.dumps(document))
    with pytest.raises(RepositoryStateError, match="the role root is not signed as it has to be"):
        read(made)
    second.write_bytes(good)
    assert read(made).root.signed.version == 2
    with pytest.raises(RepositoryStateError, match="not the root that this repository began with"):
        Roles(metadata, A)


@pytest.mark.parametrize("by_the_old", [True, False])
def test_a_new_root_is_signed_by_the_keys_of_the_old_one_and_by_its_own(
    made: MadeRepository, by_the_old: bool
) -> None:
    root: Metadata[Root] = Metadata.from_bytes(made.root.read_bytes())
    old = [made.repository.keys.find(root.signed.keys[each]) for each in root.signatures]
    new = [CryptoSigner.generate_ed25519() for _ in range(2)]
    root.signed.version = 2
    role = root.signed.roles["root"]
    role.keyids[:] = [each.public_key.keyid for each in new]
    root.signed.keys.update({each.public_key.keyid: each.public_key for each in new})
    root.signatures.clear()
    second = made.folder / "metadata" / "2.root.json"
    for signer in old if by_the_old else new:
        assert signer is not None
        root.sign(signer, append=True)
    second.write_bytes(root.to_bytes())
    with pytest.raises(RepositoryStateError, match="the role root is not signed as it has to be"):
        read(made)
    for signer in new if by_the_old else old:
        assert signer is not None
        root.sign(signer, append=True)
    second.write_bytes(root.to_bytes())
    assert read(made).root.signed.version == 2


def test_the_timestamp_that_was_read_is_the_one_that_counts(made: MadeRepository) -> None:
    data = (made.folder / "metadata" / "timestamp.json").read_bytes()
    with made.repository.lock():
        made.repository.sign({})
    version = read(made).timestamp.signed.version
    before = Roles(made.folder / "metadata", made.root_sha256, data)
    assert before.timestamp.signed.version == version - 1


def test_a_role_that_is_called_otherwise_is_not_believed(made: MadeRepository) -> None:
    roles = read(made)
    assert roles.naming.named == ALL_ROLES
    name = roles.bin_of(page_target(APP))
    assert roles.role("bins") and roles.role(name)
    assert roles.naming.named == ALL_ROLES

    def without_digests(signed: Any) -> None:
        signed.meta[f"{name}.json"] = MetaFile(signed.meta[f"{name}.json"].version)

    metadata = made.folder / "metadata"
    resign(made, metadata / f"{roles.snapshot.signed.version}.snapshot.json", without_digests)
    bin_path = path_of(made, name)
    resign(made, bin_path, lambda signed: signed.unrecognized_fields.update({ROLE_FIELD: "bin-x"}))
    with pytest.raises(RepositoryStateError, match="restore the folder from a backup"):
        read(made).role(name)


def test_names_are_promised_when_all_roles_say_theirs(made: MadeRepository) -> None:
    """The repository was made by an earlier version."""
    roles = read(made)
    name = roles.bin_of(page_target(APP))
    del roles.role(name).signed.unrecognized_fields[ROLE_FIELD]
    roles._naming = Naming(roles.repository)
    assert roles.unnamed() == [name]
    targets = Targets()
    roles.promise_names(targets, ())
    assert NAMED_FIELD not in targets.unrecognized_fields
    roles.promise_names(targets, [name])
    assert targets.unrecognized_fields[NAMED_FIELD] == ALL_ROLES


def test_the_next_number_is_one_that_nobody_has_used(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    for version in (3, 4, 6):
        (tmp_path / "metadata" / f"{version}.bins.json").touch()
    storage = Folder(tmp_path)
    found = [next_version(storage, "bins", after) for after in range(7)]
    assert found == [1, 2, 5, 5, 5, 7, 7]
    assert next_version(storage, "other", 0) == 1


@pytest.mark.parametrize(("version", "written"), [(0, 1), (2, 5), (5, 7)])
def test_who_writes_a_role_gives_it_such_a_number_too(
    tmp_path: Path, version: int, written: int
) -> None:
    storage = LocalStorage(tmp_path, tmp_path / "unfinished")
    for taken in (3, 4, 6):
        assert storage.create(f"metadata/{taken}.bins.json", b"of before")
        assert not storage.create(f"metadata/{taken}.bins.json", b"other")
        assert storage.read(f"metadata/{taken}.bins.json") == b"of before"
    role = Targets()
    role.version = version
    data = write_next(storage, "bins", role, lambda: f"signed as {role.version}".encode())
    assert (role.version, data) == (written, f"signed as {written}".encode())
    assert storage.read(f"metadata/{written}.bins.json") == data


# Commits.


KEY, ONLINE = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()


def root_of(*keyids: str, threshold: int = 1) -> Root:
    root = Root()
    root.roles["snapshot"].keyids[:] = list(keyids)
    root.roles["snapshot"].threshold = threshold
    return root


def bins_of(bits: int, *keyids: str) -> Targets:
    return Targets(
        delegations=Delegations({}, succinct_roles=SuccinctRoles(list(keyids), 1, bits, "bin"))
    )


@pytest.mark.parametrize(
    ("delegator", "root", "is_unpinned"),
    [
        (bins_of(9, "a"), root_of("a"), True),
        (bins_of(8, "a"), root_of("a"), False),
        (bins_of(9, "b"), root_of("a"), False),
        (bins_of(9, "b"), root_of("a", "b"), False),  # the new keys come first
        (bins_of(9, "b"), root_of("a", "b", threshold=2), True),
        (bins_of(9, "a", "b"), root_of("a"), False),
        (Targets(), root_of("a"), False),
        (
            Targets(
                delegations=Delegations({}, {"x": DelegatedRole("x", ["a"], 1, True, paths=["*"])})
            ),
            root_of("a"),
            False,
        ),
        (root_of("a"), root_of("a"), False),
    ],
)
def test_only_of_many_bins_with_the_snapshots_keys_are_no_digests_given(
    delegator: Root | Targets, root: Root, is_unpinned: bool
) -> None:
    assert MAX_PINNED_BINS == 256
    assert commit._is_unpinned_bin(delegator, root) == is_unpinned


@pytest.mark.parametrize(("pinned", "has_digest"), [(256, True), (1, False)])
def test_the_digest_of_one_of_many_bins_is_in_no_snapshot(
    made: MadeRepository, monkeypatch: pytest.MonkeyPatch, pinned: int, has_digest: bool
) -> None:
    monkeypatch.setattr(commit, "MAX_PINNED_BINS", pinned)
    roles = made.repository.roles()
    name = roles.bin_of(page_target(APP))
    with made.repository.lock():
        made.repository.sign({name: roles.role(name)})
    meta = read(made).meta(name)
    assert bool(meta.hashes) == has_digest
    assert meta.length == path_of(made, name).stat().st_size


def test_a_number_is_not_given_twice_because_its_file_is_gone(made: MadeRepository) -> None:
    name = read(made).bin_of(page_target(APP))
    for _ in range(2):
        before = read(made).meta(name).version
        for old in (made.folder / "metadata").glob(f"*.{name}.json"):
            if old != path_of(made, name):
                old.unlink()
        with made.repository.lock():
            made.repository.sign({name: made.repository.roles().role(name)})
        assert read(made).meta(name).version == before + 1


def test_as_many_keys_sign_as_have_to(made: MadeRepository) -> None:
    repository = made.repository
    roles = repository.roles()
    needed = roles.root.signed.roles["root"].threshold
    assert needed == 2
    metadata: Metadata[Root] = Metadata(roles.root.signed)

    def committer(keys: KeyRing) -> Committer:
        return Committer(repository.storage, repository.config.expiry, keys, repository.log)

    found = map(repository.keys.find, roles.holders("root").keys)
    signers = [signer for signer in found if signer is not None]
    assert len(signers) > needed, "there is one more than have to sign"
    for few in range(needed):
        ring = KeyRing((), {}, no_passphrase, loaded=signers[:few])
        with pytest.raises(RepositoryStateError, match=f"be signed: {few} of 2 keys are here"):
            committer(ring).add_signatures(metadata, roles.root.signed, "root")
    committer(repository.keys).add_signatures(metadata, roles.root.signed, "root")
    assert len(metadata.signatures) == needed
    # A root that is signed again has no signatures of earlier signers.
    strange = CryptoSigner.generate_ed25519()
    metadata.sign(strange, append=True)
    metadata.signed.version += 1
    with repository.lock():
        committer(repository.keys).sign_root(
            metadata, roles.root.signed, repository.roles().timestamp.signed
        )
    assert len(read(made).root.signatures) == needed
    assert strange.public_key.keyid not in read(made).root.signatures


def test_what_is_signed_lives_as_long_as_is_said_and_names_what_it_replaces(
    made: MadeRepository,
) -> None:
    repository = made.repository
    before = repository.roles()
    name = before.bin_of(page_target(APP))
    versions = {each: before.meta(each).version for each in ("targets", "bins", name)}
    numbers = (before.timestamp.signed.version, before.snapshot.signed.version)
    moment = commit.now()
    with repository.lock():
        repository.sign({name: before.role(name)})
    after = read(made)
    assert after.meta(name).version == versions[name] + 1
    found = (after.timestamp.signed.version, after.snapshot.signed.version)
    assert found == (numbers[0] + 1, numbers[1] + 1)
    assert after.meta("bins").version == versions["bins"]
    assert after.snapshot.signed.version == before.snapshot.signed.version
    assert after.timestamp.signed.snapshot_meta.hashes is not None
    assert after.meta(name).hashes, "whose key is stolen cannot serve another file"
    for role, metadata in (
        ("timestamp", after.timestamp),
        ("snapshot", after.snapshot),
        (name, after.role(name)),
    ):
        lives = metadata.signed.expires - moment
        assert abs(lives - repository.config.expiry.of(role)) < timedelta(minutes=5)
    assert isinstance(after.snapshot.signed, Snapshot)
    entries = list(repository.log.entries())
    said = {signed.role: signed.version for entry in entries for signed in entry.signed}
    assert said[name] == versions[name] + 1
    assert said["timestamp"] == after.timestamp.signed.version
    assert said["snapshot"] == after.snapshot.signed.version
