"""A hostile server proposes to key holders what no command of securepip proposes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, TargetFile, Targets

from securepip.signing.repository.repository import Repository
from tests.signing.ceremonies import Ceremony, edit_new
from tests.support.maintainers import Maintainers, claim


@pytest.mark.parametrize("shown", [False, True])
def test_an_older_state_is_not_signed_again_under_a_number_that_is_new_here(
    ceremony: Ceremony, tmp_path: Path, shown: bool
) -> None:
    """The server proposes the state under a higher version than any that the holder has signed."""
    made = replace(ceremony.made, repository=Repository.open(ceremony.made.folder))
    shutil.copytree(made.folder, tmp_path / "before")
    claim(made, "app", Maintainers.of(1))
    ceremony.prepare()
    assert ceremony.sign("cem").code == 0
    assert ceremony.collect().code == 0
    shutil.rmtree(tmp_path / "bundle")
    bundle = tmp_path / "bundle"
    words = ("repo", "ceremony", "prepare", tmp_path / "before", bundle, "--renew", "claimed")
    assert ceremony.machine.run(*words, SECUREPIP_DATA_DIR=str(tmp_path / "thief")).code == 0
    edit_new(ceremony, "2.claimed.json", lambda claimed: setattr(claimed, "version", 3))
    (bundle / "new" / "2.claimed.json").rename(bundle / "new" / "3.claimed.json")
    if shown:  # as where a copy is recovered from: it is compared with then
        shutil.copy2(made.folder / "metadata" / "2.claimed.json", bundle / "current")
    done = ceremony.sign("cem")
    assert done.code != 0
    if shown:
        assert "claimed.a is delegated to no more" in done.out
        assert "no project of claimed.a would sign for itself any more" in done.err
    else:
        assert "calls version 1 the current one" in done.err


def test_the_first_of_two_roots_takes_no_number_that_was_signed_here(
    ceremony: Ceremony, tmp_path: Path
) -> None:
    """New keys in a root between two signed ones would be another history of root."""
    shutil.copytree(ceremony.made.folder, tmp_path / "before")
    ceremony.prepare("--renew", "root")
    assert ceremony.sign("ann").code == 0
    (tmp_path / "thief").mkdir(mode=0o700)
    done = ceremony.machine.run(
        *("repo", "ceremony", "prepare", tmp_path / "before", tmp_path / "again"),
        *("--new-online-key", "--keys", tmp_path / "thief"),
        SECUREPIP_DATA_DIR=str(tmp_path / "thief"),
    )
    assert done.code == 0, done.err
    done = ceremony.sign("ann", "again")
    assert done.code == 1
    assert "version 2 of root was signed on this machine before" in done.err


def drop_shard(claimed: Targets) -> None:
    claimed.delegations = Delegations({}, {})


def rekey_shard(claimed: Targets) -> None:
    key = CryptoSigner.generate_ed25519().public_key
    assert claimed.delegations is not None and claimed.delegations.roles is not None
    claimed.delegations.keys[key.keyid] = key
    claimed.delegations.roles["claimed.a"].keyids = [key.keyid]


def claim_before_shard(claimed: Targets) -> None:
    key = CryptoSigner.generate_ed25519().public_key
    assert claimed.delegations is not None and claimed.delegations.roles is not None
    project = DelegatedRole("project.app", [key.keyid], 1, True, ["simple/app/*", "packages/app/*"])
    claimed.delegations.keys[key.keyid] = key
    claimed.delegations.roles = {"project.app": project, **claimed.delegations.roles}


@pytest.mark.parametrize(
    ("edit", "warning"),
    [
        (drop_shard, "no project of claimed.a would sign for itself any more"),
        (rekey_shard, "claimed.a would be signed by other keys than those of claimed"),
        (claim_before_shard, "app would be claimed beside claimed.a"),
    ],
)
def test_a_claim_is_not_cut_off_above_the_shard_in_which_it_stands(
    ceremony: Ceremony, edit: Callable[[Targets], None], warning: str
) -> None:
    """The shard itself is unchanged, and so it is not in the bundle."""
    made = replace(ceremony.made, repository=Repository.open(ceremony.made.folder))
    claim(made, "app", Maintainers.of(1))
    ceremony.prepare()
    assert ceremony.sign("cem").code == 0
    assert ceremony.collect().code == 0
    shutil.rmtree(ceremony.folder / "bundle")
    ceremony.prepare("--renew", "claimed")
    for path in (ceremony.folder / "bundle" / "new").glob("*.claimed.*.json"):
        path.unlink()
    edit_new(ceremony, "3.claimed.json", edit)
    done = ceremony.sign("cem")
    assert done.code == 2
    assert warning in done.err


def unclaim(targets: Targets) -> None:
    assert targets.delegations is not None and targets.delegations.roles is not None
    targets.delegations.roles.pop("claimed")


def reorder(targets: Targets) -> None:
    assert targets.delegations is not None and targets.delegations.roles is not None
    targets.delegations.roles = dict(reversed(targets.delegations.roles.items()))


def sign_itself(targets: Targets) -> None:
    targets.targets["simple/app/index.json"] = TargetFile(
        1, {"sha256": "0" * 64}, "simple/app/index.json"
    )


@pytest.mark.parametrize(
    ("edit", "warning"),
    [
        (unclaim, "targets would delegate to other roles"),
        (reorder, "targets would delegate to other roles, in another order"),
        (sign_itself, "targets would sign for targets itself"),
        (lambda targets: targets.unrecognized_fields.pop("x-securepip-named"), "take back"),
    ],
)
def test_nothing_of_the_frame_but_its_keys_is_changed_without_a_person_who_knows_why(
    ceremony: Ceremony, edit: Callable[[Targets], object], warning: str
) -> None:
    ceremony.prepare("--renew", "targets")
    edit_new(ceremony, "2.targets.json", edit)
    done = ceremony.sign("ann")
    assert done.code == 2
    assert warning in done.err
