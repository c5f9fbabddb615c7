"""``repo recover`` after the online key was stolen: the restored state, and the clients."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from tuf.api.metadata import MetaFile, TargetFile

from securepip.errors import RepositoryStateError
from securepip.formats.digests import sha256_of
from securepip.formats.layout import consistent_path
from securepip.signing.claims.promote import promote
from securepip.signing.claims.transactions.accept import accept
from securepip.signing.offline.aftermath import Recovered
from securepip.signing.offline.recover import Findings, OfflineKeys, recover
from securepip.signing.offline.restore import _versions
from securepip.signing.offline.rotate import NewKeys
from securepip.signing.publish.accounted import check_own, check_signed_here
from securepip.signing.publish.add import add
from securepip.signing.publish.remove import remove
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import Roles
from securepip.signing.repository.state.log import Reason
from securepip.signing.repository.storage.interface import StorageError
from securepip.signing.repository.storage.local import Folder
from tests.signing.clients import fetch_everything, read_plainly, updater
from tests.signing.killing import kill_points, run_until
from tests.support.indexes import serve_index
from tests.support.machine import Machine
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import MadeRepository, make_repository, serve
from tests.support.wheels import make_wheel

EVIL = {"app/__init__.py": "VERSION = 'evil'\n"}


@pytest.fixture
def own(tmp_path: Path) -> MadeRepository:
    """A repository with ``app`` 1.0 and 2.0 and ``lib`` 1.0; a copy of it is in ``good``."""
    made = make_repository(
        tmp_path / "own",
        make_wheel(tmp_path, "app", "1.0"),
        make_wheel(tmp_path, "app", "2.0"),
        make_wheel(tmp_path, "lib", "1.0"),
        expected_files=1,
    )
    made.repository.ledger.close()
    for name in ("metadata", "simple", "packages"):
        shutil.copytree(made.folder / name, tmp_path / "good" / name)
    return made


def attack(made: MadeRepository, tmp_path: Path, ahead: int = 0) -> None:
    """As a thief of the online key and the server, replace app 2.0 by an evil 3.0, and remove lib.

    Args:
        made: The repository.
        tmp_path: The folder for the evil wheel.
        ahead: The number by which the versions of timestamp and snapshot are too high.
    """
    wheel = make_wheel(tmp_path / "evil", "app", "3.0", files=EVIL)
    with Repository.open(made.folder, keys=[made.online_keys]) as repository:
        roles = Roles(made.folder / "metadata", made.root_sha256)
        page = json.loads((made.folder / "simple" / "app" / "index.json").read_bytes())
        entry = dict(page["files"][-1], filename=wheel.name, url=f"../../packages/app/{wheel.name}")
        entry |= {"size": wheel.stat().st_size, "hashes": {"sha256": sha256_of(wheel.read_bytes())}}
        entry.pop("core-metadata", None)
        page["files"] = [page["files"][0], entry]
        page["versions"] = ["1.0", "3.0"]
        contents = {
            "simple/app/index.json": json.dumps(page).encode(),
            f"packages/app/{wheel.name}": wheel.read_bytes(),
        }
        changed = {}
        for path, data in contents.items():
            name = roles.bin_of(path)
            changed[name] = roles.role(name)
            sha256 = sha256_of(data)
            changed[name].signed.targets[path] = TargetFile(len(data), {"sha256": sha256}, path)
            for place in (made.folder / path, made.folder / consistent_path(path, sha256)):
                place.unlink(missing_ok=True)  # it can be a hard link
                place.write_bytes(data)
        for path in ("simple/lib/index.json", "packages/lib/lib-1.0-py3-none-any.whl"):
            name = roles.bin_of(path)
            changed[name] = roles.role(name)
            changed[name].signed.targets.pop(path)
        roles.timestamp.signed.version += ahead
        roles.snapshot.signed.version += ahead
        for name in changed:
            meta = roles.snapshot.signed.meta[f"{name}.json"]
            roles.snapshot.signed.meta[f"{name}.json"] = MetaFile(meta.version + ahead)
        # The thief uses his own program, which does not write to the log.
        log = (made.folder / "state" / "log.jsonl").read_bytes()
        repository.sign(changed, base=roles)
        (made.folder / "state" / "log.jsonl").write_bytes(log)


def recovered(made: MadeRepository, good: Path, *stolen: str) -> Recovered:
    keys = [made.online_keys, made.offline_keys]
    with Repository.open(made.folder, keys=keys, reason=Reason("repo recover")) as repository:
        done = recover(
            repository,
            good,
            online=NewKeys(made.online_keys),
            offline=OfflineKeys(NewKeys(made.offline_keys)),
            stolen=stolen,
            confirm=lambda findings: True,
        )
    assert isinstance(done, Recovered)
    return done


@pytest.mark.parametrize("ahead", [0, 2**40], ids=["next-version", "fast-forward"])
def test_a_client_that_saw_what_the_thief_signed_comes_back_by_itself(
    own: MadeRepository, machine: Machine, tmp_path: Path, ahead: int
) -> None:
    with serve(own.folder) as url:
        machine.trust(own, url)
        attack(own, tmp_path, ahead)
        fooled = machine.install("app")
        assert fooled.code == 0, fooled.err
        assert machine.version_of("app") == "evil"
        audit = machine.run("repo", "audit", own.folder)
        assert audit.code == 1
        recovered(own, tmp_path / "good")
        done = machine.install("--force-reinstall", "app", "lib")
        assert done.code == 0, done.err
        assert machine.version_of("app") == "2.0"
        fetch_everything(own.folder, tmp_path / "fresh")
        assert read_plainly(own.folder) == read_plainly(tmp_path / "good")
        with Repository.open(own.folder) as repository:
            check_own(repository)
            repository.publish({})


def test_the_command_shows_what_is_wrong_asks_and_reports(
    own: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    attack(own, tmp_path)
    for name, data in (("as-in-the-copy.txt", b"good"), ("changed.txt", b"evil")):
        (tmp_path / "good" / "packages" / "app" / name).write_bytes(b"good")
        (own.folder / "packages" / "app" / name).write_bytes(data)
    words: list[str | Path] = [
        "repo", "recover", own.folder, "--good", tmp_path / "good",
        "--offline-keys", own.offline_keys, "--keys", own.online_keys,
    ]  # fmt: skip
    refused = machine.run(*words)
    assert refused.code == 2
    assert "not in the copy: packages/app/app-3.0-py3-none-any.whl" in refused.out
    assert "changed since: simple/app/index.json" in refused.out
    assert "gone since: simple/lib/index.json" in refused.out
    done = machine.run(*words, "--yes")
    assert done.code == 0, done.err
    assert "restored: simple/app/index.json" in done.out
    assert "restored: packages/lib/lib-1.0-py3-none-any.whl" in done.out
    assert "dropped: packages/app/app-3.0-py3-none-any.whl" in done.out
    assert f"The new online key is in {own.online_keys}\n" in done.out
    assert f"The new offline keys are in {own.offline_keys}: take them away" in done.out
    (report,) = (own.folder / "state" / "reports").iterdir()
    assert json.loads(report.read_text())["dropped"] == ["packages/app/app-3.0-py3-none-any.whl"]
    (aside,) = (own.folder / "state" / "set-aside").iterdir()
    assert [path for path in aside.rglob("*.whl") if "app-3.0" in path.name]
    assert [path.name for path in aside.rglob("*.txt")] == ["changed.txt"]
    compared = machine.run("repo", "audit", tmp_path / "good", own.folder)
    assert compared.code == 1
    assert "added" not in compared.out
    assert "changed " not in compared.out
    assert "key of timestamp that only the second names" in compared.out
    assert machine.run("repo", "audit", own.folder).code == 0
    wheel = make_wheel(tmp_path, "app", "2.1")
    again = machine.run("repo", "add", own.folder, wheel)
    assert again.code == 0, again.err


@pytest.mark.parametrize("how", ["copied too late", "the log was emptied"])
def test_a_copy_for_which_the_log_does_not_vouch_needs_a_person_who_knows_it(
    own: MadeRepository, machine: Machine, tmp_path: Path, how: str
) -> None:
    """The signatures of a copy of the thief's state are valid as well."""
    if how == "copied too late":
        attack(own, tmp_path)
        for name in ("metadata", "simple", "packages"):
            shutil.rmtree(tmp_path / "good" / name)
            shutil.copytree(own.folder / name, tmp_path / "good" / name)
    else:
        (own.folder / "state" / "log.jsonl").write_bytes(b"")
    before = {path.name for path in (own.folder / "metadata").iterdir()}
    words = ("repo", "recover", own.folder, "--good", tmp_path / "good", "--yes")
    keys = ("--offline-keys", own.offline_keys, "--keys", own.online_keys)
    done = machine.run(*words, *keys)
    assert done.code == 2
    assert "does not vouch for the copy" in done.err
    assert {path.name for path in (own.folder / "metadata").iterdir()} == before
    recovered(own, tmp_path / "good")  # answered by a person
    assert ("app-3.0-py3-none-any.whl" in read_plainly(own.folder)) == (how == "copied too late")


def test_a_copy_with_another_file_for_one_of_many_bins_is_not_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is genuine, and has no digests because there are many bins."""
    monkeypatch.setattr("securepip.signing.repository.commit.MAX_PINNED_BINS", 0)
    wheel = make_wheel(tmp_path, "app", "1.0")
    made = make_repository(tmp_path / "many", wheel, expected_files=1)
    copied = tmp_path / "copied"
    shutil.copytree(made.folder / "metadata", copied)
    roles = Roles(copied, made.root_sha256)
    check_signed_here(made.repository, roles, Folder(copied))
    name = roles.bin_of("simple/app/index.json")
    role = roles.role(name)
    role.signed.targets.clear()
    signer = made.repository.keys.find(roles.holders(name).keys[0])
    assert signer is not None
    role.sign(signer)
    role.to_file(str(copied / f"{role.signed.version}.{name}.json"))
    again = Roles(copied, made.root_sha256)
    assert not again.role(name).signed.targets
    with pytest.raises(RepositoryStateError, match=name):
        check_signed_here(made.repository, again, Folder(copied))


def test_files_that_were_overwritten_are_restored_and_what_is_lost_is_left_out(
    own: MadeRepository, tmp_path: Path
) -> None:
    for path in (own.folder / "packages").rglob("*.whl"):
        path.write_bytes(b"overwritten")
    (wheel,) = (tmp_path / "good" / "packages" / "app").glob("????*.app-1.0-*.whl")
    shutil.rmtree(tmp_path / "good" / "packages" / "lib")
    done = recovered(own, tmp_path / "good")
    assert done.lost == {"packages/lib/lib-1.0-py3-none-any.whl": "the file is lost"}
    fetch_everything(own.folder, tmp_path / "client")
    (here,) = (own.folder / "packages" / "app").glob("????*.app-1.0-*.whl")
    assert here.read_bytes() == wheel.read_bytes()
    assert len(read_plainly(own.folder)) == 2


def test_what_was_removed_since_the_copy_stays_removed(own: MadeRepository, tmp_path: Path) -> None:
    with Repository.open(own.folder) as repository:
        remove(repository, "app==1.0")
    attack(own, tmp_path)
    done = recovered(own, tmp_path / "good")
    assert done.lost == {"packages/app/app-1.0-py3-none-any.whl": "it was removed"}
    assert "app-1.0-py3-none-any.whl" not in read_plainly(own.folder)


def test_a_state_that_does_not_verify_any_more_is_recovered_from(
    own: MadeRepository, tmp_path: Path
) -> None:
    for path in (own.folder / "metadata").iterdir():
        path.write_bytes(b"{}")
    (own.folder / "state" / "log.jsonl").write_bytes(b"{}\n")
    recovered(own, tmp_path / "good")
    fetch_everything(own.folder, tmp_path / "client")
    with Repository.open(own.folder) as repository:
        check_own(repository)
    assert (own.folder / "state" / "log.jsonl.1").read_bytes() == b"{}\n"


def test_a_copy_that_is_not_signed_is_no_copy(own: MadeRepository, tmp_path: Path) -> None:
    timestamp = tmp_path / "good" / "metadata" / "timestamp.json"
    document = json.loads(timestamp.read_bytes())
    document["signed"]["version"] += 1
    timestamp.write_text(json.dumps(document))
    before = {path: path.read_bytes() for path in own.folder.rglob("*") if path.is_file()}
    with pytest.raises(Exception, match="timestamp is not signed as it has to be") as refused:
        recovered(own, tmp_path / "good")
    assert getattr(refused.value, "exit_code", None) == 3
    after = {path: path.read_bytes() for path in own.folder.rglob("*") if path.is_file()}
    after = {path: data for path, data in after.items() if path.name != "lock"}
    assert {path: before[path] for path in after if "ledger" not in path.name} == {
        path: data for path, data in after.items() if "ledger" not in path.name
    }


@pytest.mark.parametrize("stolen", ["targets", "bins", "claimed", "root"])
def test_an_offline_key_that_was_stolen_too_counts_no_more(
    own: MadeRepository, tmp_path: Path, stolen: str
) -> None:
    fetch_everything(own.folder, tmp_path / "client")
    old = {path.name.split(".")[1] for path in own.offline_keys.glob(f"{stolen}*")}
    done = recovered(own, tmp_path / "good", stolen)
    assert old <= set(done.keys_gone)
    for client in ("client", "fresh"):
        fetch_everything(own.folder, tmp_path / client)


def test_killed_at_any_step_it_is_never_worse_and_is_finished_by_running_it_again(
    own: MadeRepository, tmp_path: Path
) -> None:
    attack(own, tmp_path, 2**30)
    good = tmp_path / "good"

    def copy(number: int) -> MadeRepository:
        folder, keys = tmp_path / f"copy-{number}", tmp_path / f"copy-{number}.keys"
        # A new machine: one that has seen the newer state would refuse the older one.
        os.environ["SECUREPIP_DATA_DIR"] = str(tmp_path / f"copy-{number}.data")
        shutil.copytree(own.folder, folder)
        shutil.copytree(own.online_keys.parent, keys)
        return replace(
            own, folder=folder, online_keys=keys / "online", offline_keys=keys / "offline"
        )

    counted = copy(-1)
    steps = kill_points(lambda: recovered(counted, good))
    for step in steps:
        made, saw = copy(step), tmp_path / f"saw-{step}"
        updater(made.folder, saw).refresh()
        finished = run_until(step, lambda made=made: recovered(made, good))  # type: ignore[misc] # bound
        assert finished == (step == steps[-1])
        updater(made.folder, tmp_path / f"between-{step}").refresh()
        if not finished:
            recovered(made, good)
        for client in (saw, tmp_path / f"between-{step}", tmp_path / f"fresh-{step}"):
            fetch_everything(made.folder, client)
        assert read_plainly(made.folder) == read_plainly(good)
        with Repository.open(made.folder) as repository:
            check_own(repository)


def test_offline_keys_that_are_elsewhere_sign_by_way_of_a_bundle(
    own: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    ann, ben = tmp_path / "ann", tmp_path / "ben"
    for holder, patterns in ((ann, ["root-1.*", "targets.*"]), (ben, ["root-2.*", "bins.*"])):
        holder.mkdir(mode=0o700)
        for pattern in patterns:
            (path,) = own.offline_keys.glob(pattern)
            path.rename(holder / path.name)
    shutil.rmtree(own.offline_keys)
    attack(own, tmp_path, 1 << 30)
    bundle = tmp_path / "bundle"
    words: list[str | Path] = [
        "repo", "recover", own.folder, "--good", tmp_path / "good", "--yes",
        "--keys", own.online_keys, "--bundle", bundle,
    ]  # fmt: skip
    assert "--new-key targets=FILE" in machine.run(*words).err
    for holder, role in ((ann, "targets"), (ben, "bins")):
        public = tmp_path / f"{role}.json"
        assert machine.run("sign", "keygen", "--keys", holder, "--public", public).code == 0
        words += ["--new-key", f"{role}={public}"]
    before = {path.name for path in (own.folder / "metadata").iterdir()}
    done = machine.run(*words)
    assert done.code == 0, done.err
    assert "Carry" in done.out
    assert {path.name for path in (own.folder / "metadata").iterdir()} == before
    assert "is not signed" in machine.run(*words).err
    for holder in (ann, ben):
        sign = ("repo", "ceremony", "sign", bundle, "--root-sha256", own.root_sha256)
        signed = machine.run(*sign, "--keys", holder, "--yes")
        assert signed.code == 0, signed.err
    assert "It is complete" in signed.out
    done = machine.run(*words)
    assert done.code == 0, done.err
    assert "dropped: packages/app/app-3.0-py3-none-any.whl" in done.out
    fetch_everything(own.folder, tmp_path / "client")
    assert read_plainly(own.folder) == read_plainly(tmp_path / "good")


def test_an_overlay_is_recovered_whose_files_are_elsewhere(
    own: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "good")
    with serve_index() as index, serve(own.folder) as url:
        index.offer(make_wheel(tmp_path / "up", "flask", "1.0"))
        words: list[str | Path] = ["repo", "sync", own.folder, "--upstream", index.url]
        assert machine.run(*words, "flask").code == 0
        for name in ("metadata", "simple", "packages"):
            shutil.copytree(own.folder / name, tmp_path / "good" / name)
        machine.trust(own, url)
        attack(own, tmp_path, 1 << 30)
        assert machine.install("app").code == 0
        done = recovered(own, tmp_path / "good")
        assert not done.lost
        assert machine.install("--force-reinstall", "app", "flask").code == 0
        assert machine.version_of("app") == "2.0"
        assert machine.version_of("flask") == "1.0"
        index.offer(make_wheel(tmp_path / "up", "flask", "1.1"))
        synced = machine.run(*words)
        assert synced.code == 0, synced.err
        assert machine.install("-U", "flask").code == 0
        assert machine.version_of("flask") == "1.1"


@pytest.mark.parametrize("how", ["no state", "an older list", "another shard"])
def test_a_thief_cannot_have_claims_undone_that_are_newer_than_the_copy(
    own: MadeRepository, tmp_path: Path, how: str
) -> None:
    maintainers = Maintainers.of(1)
    with Repository.open(own.folder, keys=[own.online_keys, own.offline_keys]) as repository:
        made = replace(own, repository=repository)
        claim(made, "app", maintainers)
        promote(repository)
        metadata = own.folder / "metadata"
        if how == "no state":
            (metadata / "timestamp.json").write_bytes(b"{}")
        else:
            with repository.lock():
                roles = repository.roles()
                if how == "another shard":
                    data = (metadata / "1.claimed.a.json").read_bytes()
                    (metadata / "9.claimed.ap.json").write_bytes(data)
                roles.snapshot.signed.meta["claimed.json"] = MetaFile(1)
                repository.sign({})
    recovered(own, tmp_path / "good")
    with Repository.open(own.folder) as repository:
        found = repository.roles().claim(NormalizedName("app"))
        assert found is not None
        assert found.holders == maintainers.holders
    fetch_everything(own.folder, tmp_path / "client")


def test_an_older_version_of_a_role_is_not_taken_because_the_last_cannot_be_read_just_now(
    own: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Folder.read

    def failing(folder: Folder, name: str) -> bytes:
        if name == f"{last}.{role}.json":
            raise StorageError("s3://shelf", "it does not answer", "", "")
        return read(folder, name)

    with Repository.open(own.folder, keys=[own.online_keys]) as repository:
        add(repository, [make_wheel(tmp_path, "app", "3.0")])
        role = repository.roles().bin_of("simple/app/index.json")

        def versions() -> Iterator[int]:
            found = _versions(repository, tmp_path / "good", role)
            return (each.signed.version for each in found)

        last, before, *_ = versions()
        assert last > before
        with monkeypatch.context() as storage:
            storage.setattr(Folder, "read", failing)
            with pytest.raises(StorageError):
                next(versions())
        (own.folder / "metadata" / f"{last}.{role}.json").write_bytes(b"{")
        assert next(versions()) == before


def test_what_the_log_says_after_a_recovery_is_what_is_current(
    own: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    """The log has a newer version of a role than the copy, and nobody signs the role again."""
    maintainers = Maintainers.of(1)
    with Repository.open(own.folder, keys=[own.online_keys]) as repository:
        made = replace(own, repository=repository)
        claim(made, "app", maintainers)
        shutil.rmtree(tmp_path / "good")
        for name in ("metadata", "simple", "packages"):
            shutil.copytree(own.folder / name, tmp_path / "good" / name)
        wheel = make_wheel(tmp_path, "app", "5.0")
        accept(repository, maintainers.release(made, "app", tmp_path / "requests", wheel))
    attack(own, tmp_path)
    assert recovered(own, tmp_path / "good").unclaimed == ("app",)
    audit = machine.run("repo", "audit", own.folder)
    assert audit.code == 0, audit.err


def test_what_offline_keys_have_signed_and_nobody_has_any_more_is_said(
    own: MadeRepository, tmp_path: Path
) -> None:
    """This machine has seen a claim; the thief has removed all of its files from the server."""
    with Repository.open(own.folder, keys=[own.online_keys, own.offline_keys]) as repository:
        claim(replace(own, repository=repository), "app", Maintainers.of(1))
        promote(repository)
    for path in (own.folder / "metadata").glob("*.claimed*"):
        path.unlink()
    found: list[Findings] = []

    def look(findings: Findings) -> bool:
        found.append(findings)
        return True

    with Repository.open(own.folder, keys=[own.online_keys, own.offline_keys]) as repository:
        recover(
            repository,
            tmp_path / "good",
            online=NewKeys(own.online_keys),
            offline=OfflineKeys(NewKeys(own.offline_keys)),
            confirm=look,
        )
    assert set(found[0].lost) == {("claimed", 2), ("claimed.a", 1), ("claimed.ap", 1)}
