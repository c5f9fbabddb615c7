"""Offline signing by files: two key holders, and a server without offline keys."""

from __future__ import annotations

import copy
import errno
import json
import os
import shutil
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Targets

from securepip.formats.roles import name_role
from securepip.signing.claims.transactions.accept import accept
from securepip.signing.keys.ring import generate
from securepip.signing.offline import bundle
from securepip.signing.offline.proposal import OFFLINE_ROLES
from securepip.signing.repository.claim_tree import TOPS
from securepip.signing.repository.repository import Repository
from tests.signing.ceremonies import Ceremony, edit_new
from tests.signing.clients import fetch_everything
from tests.support.machine import Machine
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import serve
from tests.support.wheels import make_wheel


def test_key_holders_sign_one_after_the_other_and_no_key_is_on_the_server(
    ceremony: Ceremony, tmp_path: Path
) -> None:
    client = tmp_path / "client"
    fetch_everything(ceremony.made.folder, client)
    renew = [word for role in OFFLINE_ROLES for word in ("--renew", role)]
    done = ceremony.prepare(*renew, "--why", "a year is over")
    assert done.code == 0, done.err
    assert "root: version 1 -> version 2" in done.out
    assert "nothing else changes" in done.out
    early = ceremony.collect()
    assert early.code == 1
    assert "2.root.json is not signed: 2 more signatures of these keys" in early.err
    for holder, files in (("ann", ["root", "targets"]), ("ben", ["root", "bins"])):
        done = ceremony.sign(holder)
        assert done.code == 0, done.err
        assert ": a year is over" in done.out, "each holder is told why"
        for role in files:
            assert f"Signed 2.{role}.json" in done.out
    assert "2.claimed.json wants 1 more of" in done.out
    assert "2.claimed.json is not signed" in ceremony.collect().err
    done = ceremony.sign("cem")
    assert "It is complete" in done.out
    assert "2.root.json" not in "".join(line for line in done.out.splitlines() if "Signed" in line)
    done = ceremony.collect()
    assert done.code == 0, done.err
    assert "Nothing to do" in ceremony.collect().out
    fetch_everything(ceremony.made.folder, client)
    with Repository.open(ceremony.made.folder) as repository:
        roles = repository.roles()
        assert {roles.root.signed.version, roles.role("bins").signed.version} == {2}
        entries = list(repository.log.entries())
        assert "root" in [role.role for entry in entries for role in entry.signed]
        assert entries[-1].why == "repo ceremony collect bundle"
        assert entries[-1].words.endswith(": a year is over")


def test_all_keys_are_replaced_by_keys_that_the_holders_made_themselves(
    ceremony: Ceremony, machine: Machine, tmp_path: Path
) -> None:
    with serve(ceremony.made.folder) as url:
        machine.trust(ceremony.made, url)
        public = {holder: ceremony.public_key(holder) for holder in ("ann", "ben", "cem")}
        old = {role: ceremony.keyids(role) for role in (*OFFLINE_ROLES, "timestamp", "bin-n")}
        words = [f"root={path}" for path in public.values()]
        words += [f"targets={public['ann']}", f"bins={public['ben']}", f"claimed={public['cem']}"]
        options = [option for word in words for option in ("--new-key", word)]
        done = ceremony.prepare(*options, "--new-online-key")
        assert done.code == 0, done.err
        assert "old and new keys side by side" in done.out
        for role, keyids in old.items():
            for keyid in keyids:
                assert f"{role}: the key {keyid} goes" in done.out
        copies = {}
        for holder in public:
            copies[holder] = f"bundle-of-{holder}"
            shutil.copytree(tmp_path / "bundle", tmp_path / copies[holder])
            done = ceremony.sign(holder, copies[holder])
            assert done.code == 0, done.err
        one = ceremony.collect(copies["ann"])
        assert one.code == 1
        assert "is not signed" in one.err
        done = ceremony.collect(*copies.values())
        assert done.code == 0, done.err
        for role, keyids in old.items():
            assert not ceremony.keyids(role) & keyids
        add = machine.run("repo", "add", ceremony.made.folder, make_wheel(tmp_path, "app", "2.0"))
        assert add.code == 0, add.err
        done = machine.install("app")
        assert done.code == 0, done.err
        assert machine.version_of("app") == "2.0"


def test_one_root_key_alone_changes_nothing(ceremony: Ceremony) -> None:
    """Even if the new root names any number of new keys."""
    (own,) = generate(ceremony.folder / "mallory", ["root"], None)
    public = ceremony.folder / "mallory.json"
    public.write_text(json.dumps({"keyid": own.public_key.keyid, **own.public_key.to_dict()}))
    assert "needs the signatures of 2" in ceremony.prepare("--new-key", f"root={public}").err
    others = [ceremony.public_key(holder) for holder in ("ann",)]
    options = [word for path in (public, *others) for word in ("--new-key", f"root={path}")]
    assert ceremony.prepare(*options).code == 0
    for holder in ("ann", "mallory"):
        assert ceremony.sign(holder).code == 0
    done = ceremony.collect()
    assert done.code == 1
    assert "1 more signature of these keys" in done.err


def test_what_somebody_changed_on_the_way_is_shown_and_does_not_count(
    ceremony: Ceremony, tmp_path: Path
) -> None:
    ceremony.prepare("--renew", "targets")
    assert ceremony.sign("ann").code == 0
    path = tmp_path / "bundle" / "new" / "2.targets.json"
    targets = Metadata[Targets].from_file(str(path))
    assert targets.signed.delegations is not None
    assert targets.signed.delegations.roles is not None
    evil = copy.deepcopy(targets.signed.delegations.roles["bins"])
    evil.name = "evil"
    targets.signed.delegations.roles["evil"] = evil
    targets.signed.delegations.roles["bins"].paths = ["simple/a*/*"]
    targets.signed.unrecognized_fields["x-more"] = 1
    targets.to_file(str(path))
    shown = ceremony.sign("cem").out
    assert "evil is delegated to, signed by 1 of" in shown
    assert "bins: {" in shown
    assert "x-more: None becomes 1" in shown
    assert ceremony.collect().code == 1


def test_a_key_holder_who_knows_the_fingerprint_signs_for_no_other_repository(
    ceremony: Ceremony,
) -> None:
    ceremony.prepare("--renew", "claimed")
    done = ceremony.sign("cem", root_sha256="0" * 64)
    assert done.code == 1
    assert "not the root that this repository began with" in done.err
    done = ceremony.sign("cem")
    assert done.code == 0, done.err


def test_what_was_prepared_before_another_change_is_refused(
    ceremony: Ceremony, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ceremony.prepare("--renew", "claimed")
    (tmp_path / "bundle").rename(tmp_path / "late")
    later = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=1)
    monkeypatch.setattr("securepip.signing.offline.proposal.now", lambda: later)
    ceremony.prepare("--renew", "claimed")
    assert ceremony.sign("cem", "late").code == 0
    shutil.rmtree(ceremony.machine.folder / "data")  # the memory of the key holder's machine
    assert ceremony.sign("cem").code == 0
    assert ceremony.collect().code == 0
    done = ceremony.collect("late")
    assert done.code == 1
    assert "has changed since this was prepared: claimed is of version 2" in done.err


def test_nothing_due_prepares_nothing(ceremony: Ceremony, tmp_path: Path) -> None:
    done = ceremony.prepare()
    assert done.code == 1
    assert "there is nothing to sign" in done.err
    assert "--renew ROLE" in done.err
    assert not (tmp_path / "bundle").exists()


def test_what_is_due_is_prepared_without_being_asked_for(
    ceremony: Ceremony, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=20)
    monkeypatch.setattr("securepip.signing.publish.refresh.now", lambda: later)
    done = ceremony.prepare()
    assert done.code == 0, done.err
    assert "For: renew claimed\n" in done.out


@pytest.mark.parametrize("damage", ["gone", "no-json", "another-file", "huge"])
def test_a_damaged_bundle_is_refused(ceremony: Ceremony, tmp_path: Path, damage: str) -> None:
    ceremony.prepare("--renew", "claimed")
    bundle = tmp_path / "bundle"
    if damage == "gone":
        (bundle / "ceremony.json").unlink()
    elif damage == "no-json":
        (bundle / "new" / "2.claimed.json").write_text("{")
    elif damage == "another-file":
        (bundle / "new" / "..sneaky.json").write_text("{}")
    else:
        with (bundle / "new" / "2.claimed.json").open("wb") as stream:
            stream.truncate(65 << 20)
    for done in (ceremony.sign("cem"), ceremony.collect()):
        assert done.code == 1
        assert "is not what was prepared" in done.err


@pytest.mark.parametrize("file", ["ceremony.json", "2.claimed.json", "1.root.json"])
def test_a_bundle_that_cannot_be_read_just_now_is_not_called_damaged(
    ceremony: Ceremony, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    ceremony.prepare("--renew", "claimed")
    read = bundle._read

    def failing(path: Path) -> bytes:
        if path.name == file:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return read(path)

    monkeypatch.setattr(bundle, "_read", failing)
    done = ceremony.sign("cem")
    assert done.code == 1
    assert f"{file} cannot be used: Input/output error" in done.err
    assert "is not what was prepared" not in done.err


@pytest.mark.parametrize("kind", ["pipe", "link"])
@pytest.mark.parametrize(
    "name",
    ["ceremony.json", "new/2.claimed.json", "current/timestamp.json", "statements/app.json", "new"],
)
def test_nothing_but_plain_files_is_opened_in_a_bundle(
    ceremony: Ceremony, tmp_path: Path, kind: str, name: str
) -> None:
    """A read of a pipe would never end; a link leads to other files of the key holder."""
    ceremony.prepare("--renew", "claimed")
    path = tmp_path / "bundle" / name
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        path.rename(tmp_path / "moved")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "moved")
    for done in (ceremony.sign("cem"), ceremony.collect()):
        assert done.code == 1
        assert f"{path.name!r} is neither a file nor a folder" in done.err


def test_claims_that_wait_are_put_under_the_offline_keys(
    ceremony: Ceremony, tmp_path: Path
) -> None:
    """Two claims, one of which changes its keys later, and a third during the ceremony."""
    alice, bob, carol = (Maintainers.of(1) for _ in range(3))
    made = replace(ceremony.made, repository=Repository.open(ceremony.made.folder))
    made.add(make_wheel(tmp_path, "lib", "1.0"), make_wheel(tmp_path, "late", "1.0"))
    claim(made, "app", alice)
    claim(made, "lib", bob)
    done = ceremony.prepare()
    assert done.code == 0, done.err
    assert "For: app is claimed, lib is claimed" in done.out
    assert "project.app is delegated to, signed by 1 of" in done.out
    claim(made, "late", carol)
    shown = ceremony.sign("cem")
    assert shown.code == 0, shown.err
    assert f"key {alice.holders.keyids[0]}" in shown.out
    done = ceremony.collect()
    assert done.code == 0, done.err

    def tops() -> dict[str, str]:
        with Repository.open(made.folder) as repository:
            trees = (repository.roles().claims_below(top) for top in TOPS)
            return {claim.project: claim.top for tree in trees for claim in tree.claims()}

    assert tops() == {"app": "claimed", "lib": "claimed", "late": "recently-claimed"}
    assert len(fetch_everything(made.folder, tmp_path / "client")) == 6

    accept(made.repository, alice.hand_over(made, "app", tmp_path / "requests", carol))
    shutil.rmtree(tmp_path / "bundle")
    done = ceremony.prepare()
    assert "late is claimed, app gets other keys" in done.out
    assert f"project.app: the key {alice.holders.keyids[0]} goes" in done.out
    shutil.copytree(tmp_path / "bundle", tmp_path / "unproven")
    shutil.rmtree(tmp_path / "unproven" / "statements")
    refused = ceremony.sign("cem", "unproven")
    assert refused.code == 2
    assert "app would get other keys" in refused.err
    assert "--yes answers no question about a warning" in refused.err
    assert ceremony.sign("cem").code == 0
    done = ceremony.collect()
    assert done.code == 0, done.err
    assert tops() == {"app": "claimed", "lib": "claimed", "late": "claimed"}
    with Repository.open(made.folder) as repository:
        claimed = repository.roles().claim(NormalizedName("app"))
        assert claimed is not None
        assert claimed.holders == carol.holders
    assert len(fetch_everything(made.folder, tmp_path / "client")) == 6
    assert "Nothing to do" in ceremony.collect().out


def test_a_claim_that_is_withdrawn_while_it_is_signed_makes_the_bundle_stale(
    ceremony: Ceremony, tmp_path: Path
) -> None:
    alice = Maintainers.of(1)
    made = replace(ceremony.made, repository=Repository.open(ceremony.made.folder))
    claim(made, "app", alice)
    ceremony.prepare()
    assert ceremony.sign("cem").code == 0
    with made.repository.lock():
        tree = made.repository.roles().claims_below("recently-claimed")
        tree.drop(NormalizedName("app"))
        made.repository.sign(tree.changed)
    done = ceremony.collect()
    assert done.code == 1
    assert "has changed since this was prepared" in done.err


def test_claimed_shards_are_renewed_and_get_new_keys_with_claimed(
    ceremony: Ceremony, tmp_path: Path
) -> None:
    made = replace(ceremony.made, repository=Repository.open(ceremony.made.folder))
    claim(made, "app", Maintainers.of(1))
    ceremony.prepare()
    assert ceremony.sign("cem").code == 0
    assert ceremony.collect().code == 0
    shutil.rmtree(tmp_path / "bundle")
    public = ceremony.public_key("ben")
    done = ceremony.prepare("--new-key", f"claimed={public}")
    assert done.code == 0, done.err
    assert "claimed.ap: version 1 -> version 2" in done.out
    for holder in ("ann", "ben"):
        assert ceremony.sign(holder).code == 0
    done = ceremony.collect()
    assert done.code == 0, done.err
    assert len(fetch_everything(made.folder, tmp_path / "client")) == 2


def test_a_server_that_was_taken_over_cannot_have_a_claim_signed_away(
    ceremony: Ceremony, tmp_path: Path
) -> None:
    """It shows the state from before the claim as the current one, without a visible difference."""
    made = replace(ceremony.made, repository=Repository.open(ceremony.made.folder))
    shutil.copytree(made.folder, tmp_path / "before")
    claim(made, "app", Maintainers.of(1))
    ceremony.prepare()
    assert ceremony.sign("cem").code == 0
    assert ceremony.sign("ann").code == 1  # the proposal needs none of her keys
    assert ceremony.collect().code == 0
    where = (tmp_path / "before", tmp_path / "again")
    words = ("repo", "ceremony", "prepare", *where, "--renew", "claimed")
    # The genuine server knows its ceremonies; the thief's does not.
    assert "put back an older state" in ceremony.machine.run(*words).err
    thief = str(tmp_path / "thief")
    assert ceremony.machine.run(*words, SECUREPIP_DATA_DIR=thief).code == 0
    done = ceremony.sign("cem", "again")
    assert done.code == 1
    assert "nothing else changes" in done.out
    assert "version 2 of claimed was signed on this machine before" in done.err
    # To sign the same again changes nothing.
    assert "is signed already" in ceremony.sign("cem").err


def test_no_name_in_a_bundle_can_speak_for_the_machine_that_shows_it(ceremony: Ceremony) -> None:
    ceremony.prepare("--renew", "targets")
    about = ceremony.folder / "bundle" / "ceremony.json"
    about.write_text(json.dumps({"format": 1, "why": "x\nroot: nothing changes"}))

    def add(targets: Targets) -> None:
        assert targets.delegations is not None
        assert targets.delegations.roles is not None
        role = copy.deepcopy(targets.delegations.roles["bins"])
        role.name = "evil\n  nothing else changes"
        targets.delegations.roles[role.name] = role

    edit_new(ceremony, "2.targets.json", add)
    lines = ceremony.sign("ann").out.splitlines()
    assert "root: nothing changes" not in lines
    assert "  nothing else changes" not in lines


def test_a_key_holder_signs_no_key_under_the_id_of_another(ceremony: Ceremony) -> None:
    # The holder compares key ids; the server has put its own key under an id that he knows.
    ceremony.prepare("--new-key", f"claimed={ceremony.public_key('cem')}")
    own = CryptoSigner.generate_ed25519().public_key

    def swap(targets: Targets) -> None:
        assert targets.delegations is not None
        assert targets.delegations.roles is not None
        (keyid,) = targets.delegations.roles["claimed"].keyids
        targets.delegations.keys[keyid].keyval = own.keyval

    edit_new(ceremony, "2.targets.json", swap)
    done = ceremony.sign("ann")
    assert done.code == 1
    assert "an id that is not its own" in done.err


def test_a_key_holder_signs_no_role_under_the_name_of_another(ceremony: Ceremony) -> None:
    # One key signs all shards: a thief could show clients the signed shard as another one.
    ceremony.prepare("--renew", "claimed")
    new = ceremony.folder / "bundle" / "new"
    (new / "2.claimed.json").rename(new / "2.claimed.zz.json")
    done = ceremony.sign("cem")
    assert done.code == 1
    assert "was signed as 'claimed'" in done.err


@pytest.mark.parametrize("name", ["1.evil.json", "1.bin-99.json", "1.project.app.json"])
def test_a_role_that_nobody_delegates_to_is_refused(ceremony: Ceremony, name: str) -> None:
    ceremony.prepare("--renew", "targets")
    role = Targets()
    name_role(role, name[2:-5], ceremony.made.root_sha256)
    Metadata(role).to_file(str(ceremony.folder / "bundle" / "new" / name))
    done = ceremony.sign("ann")
    assert done.code == 1
    assert f"nobody delegates to {name[2:-5]}" in done.err


@pytest.mark.parametrize(
    ("role", "paths", "terminating"),
    [
        ("project.other", ["simple/app/*"], True),
        ("project.app", ["simple/app/*", "packages/app/*"], False),
        ("project.app", ["simple/none/*"], True),
        ("claimed.a", ["simple/*/*", "packages/*/*"], False),
        ("evil", ["simple/evil*/*", "packages/evil*/*"], False),
    ],
)
def test_a_key_holder_signs_no_claim_of_the_paths_of_others(
    ceremony: Ceremony, role: str, paths: list[str], terminating: bool
) -> None:
    ceremony.prepare("--renew", "claimed")
    key = CryptoSigner.generate_ed25519().public_key
    delegated = DelegatedRole(role, [key.keyid], 1, terminating, paths)

    def delegate(targets: Targets) -> None:
        targets.delegations = Delegations({key.keyid: key}, {role: delegated})

    edit_new(ceremony, "2.claimed.json", delegate)
    done = ceremony.sign("cem")
    assert done.code == 1
    assert "what is not its own" in done.err
