"""A claim takes effect in one snapshot, with everything that was published before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from tuf.api.metadata import DelegatedRole

from securepip.errors import RefusedError, RepositoryStateError, UsageError
from securepip.formats.page import ProjectPage
from securepip.signing.claims.promote import promote
from securepip.signing.claims.transactions.accept import accept, claim
from securepip.signing.claims.transactions.compose import draft
from securepip.signing.claims.transactions.state import state_in
from securepip.signing.publish.remove import remove
from securepip.signing.repository.claim_tree import TOPS
from securepip.signing.repository.config import parse_expiry
from securepip.signing.repository.repository import Repository
from tests.signing.clients import fetch_everything, read_plainly, updater
from tests.support.machine import Machine
from tests.support.maintainers import Maintainers
from tests.support.maintainers import claim as claim_for
from tests.support.repositories import MadeRepository, serve
from tests.support.wheels import make_wheel

APP = NormalizedName("app")


def delegation(made: MadeRepository, delegator: str, name: str) -> DelegatedRole:
    role = made.repository.roles().role(delegator).signed.get_delegated_role(name)
    assert isinstance(role, DelegatedRole)
    return role


def test_a_claim_leaves_every_release_and_takes_the_project_out_of_the_bins(
    made: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    before = fetch_everything(made.folder, tmp_path / "client")
    claim_for(made, "app", alice)
    roles = made.repository.roles()
    in_bins = {path for name in roles.bin_names() for path in roles.role(name).signed.targets}
    assert in_bins == {path for path in before if "/lib/" in path}
    # A client that saw the project before, and one that starts now.
    for client in ("client", "new"):
        assert fetch_everything(made.folder, tmp_path / client) == before
    assert read_plainly(made.folder) == {path.rpartition("/")[2] for path in before} - {
        "index.json"
    }


def test_a_claimed_project_is_found_in_its_own_role_alone(
    claimed: MadeRepository, tmp_path: Path
) -> None:
    found = claimed.repository.roles().claim(APP)
    assert found is not None
    assert (found.top, found.delegator) == ("recently-claimed", "recently-claimed")
    role = delegation(claimed, "recently-claimed", "project.app")
    assert role.terminating
    assert role.paths == ["simple/app/*", "packages/app/*"]
    client = updater(claimed.folder, tmp_path / "client")
    assert client.get_targetinfo("packages/app/app-1.0-py3-none-any.whl") is not None
    assert client.get_targetinfo("packages/app/app-9.0-py3-none-any.whl") is None
    # Terminating: nobody looks into the bins for what the project does not sign.
    assert not list((tmp_path / "client" / "metadata").glob("bin*"))


def test_the_threshold_that_a_project_asks_for_holds_in_recently_claimed_too(
    made: MadeRepository, tmp_path: Path
) -> None:
    two = Maintainers.of(3, threshold=2)
    with pytest.raises(RefusedError, match="too few of the keys"):
        claim(made.repository, two.request(made, "app", tmp_path, signatures=1))
    assert made.repository.roles().claim(APP) is None
    claim(made.repository, two.request(made, "app", tmp_path, signatures=2))
    found = made.repository.roles().claim(APP)
    assert found is not None and found.holders == two.holders
    wheel = make_wheel(tmp_path / "dist", "app", "3.0")
    with pytest.raises(RefusedError, match="1 of the project's keys"):
        accept(made.repository, two.release(made, "app", tmp_path, wheel, signatures=1))


def test_a_request_that_does_not_cover_what_is_published_now_is_refused(
    made: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    request = alice.request(made, "app", tmp_path)
    made.add(make_wheel(tmp_path / "dist", "app", "3.0"))
    with pytest.raises(RefusedError, match="not of the page of app that is published now"):
        claim(made.repository, request)
    state = state_in(made.repository, APP)
    smaller = replace(state.page, files=state.page.files[:1])
    request = alice.write(draft(state, smaller, holders=alice.holders), tmp_path)
    with pytest.raises(RefusedError, match="not of the page"):
        claim(made.repository, request)


def test_a_claim_of_a_project_that_nobody_has_published_begins_without_files(
    made: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    claim_for(made, "new", alice)
    assert made.repository.page(NormalizedName("new")) == ProjectPage(NormalizedName("new"))
    wheel = make_wheel(tmp_path / "dist", "new", "1.0")
    accept(made.repository, alice.release(made, "new", tmp_path, wheel))
    assert f"packages/new/{wheel.name}" in fetch_everything(made.folder, tmp_path / "client")


def test_a_second_claim_of_one_project_is_refused_and_a_repeated_one_does_nothing(
    made: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    request = alice.request(made, "app", tmp_path)
    claim(made.repository, request)
    snapshot = made.repository.roles().snapshot.signed.version
    assert claim(made.repository, request).checked is None
    assert made.repository.roles().snapshot.signed.version == snapshot
    mallory = Maintainers.of(1)
    with pytest.raises(RepositoryStateError, match="signs for itself already"):
        claim(made.repository, mallory.request(made, "app", tmp_path))


def test_a_request_without_the_private_keys_that_it_names_is_refused(
    made: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    state = state_in(made.repository, APP)
    # Bob's key, of which only Alice knows: with it, nobody could release any more.
    both = Maintainers((*alice.signers, *Maintainers.of(1).signers), threshold=2)
    made_draft = draft(state, state.page, holders=both.holders)
    with pytest.raises(RefusedError, match="too few"):
        claim(made.repository, alice.write(made_draft, tmp_path))


def test_a_request_is_not_accepted_as_a_release(
    made: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    with pytest.raises(RepositoryStateError, match="asks that app signs for itself") as refused:
        accept(made.repository, alice.request(made, "app", tmp_path))
    assert "repo claim" in refused.value.remedy


def test_the_repository_does_not_sign_for_a_claimed_project(
    claimed: MadeRepository, tmp_path: Path
) -> None:
    before = claimed.repository.page(APP)
    wheel = make_wheel(tmp_path / "dist", "app", "3.0")
    lib = make_wheel(tmp_path / "dist", "lib", "2.0")
    with pytest.raises(RepositoryStateError, match="app signs for itself"):
        claimed.add(lib, wheel)
    for what in ("app", "app==1.0", "app-1.0-py3-none-any.whl"):
        with pytest.raises(RepositoryStateError, match="app signs for itself"):
            remove(claimed.repository, what)
    assert claimed.repository.page(APP) == before
    assert not claimed.repository.ledger.is_withdrawn(APP, "app-1.0-py3-none-any.whl")
    # All or nothing: `lib` came in the same run.
    assert "lib-2.0" not in str(claimed.repository.page(NormalizedName("lib")))


def test_promotion_puts_claims_under_the_offline_keys(
    claimed: MadeRepository, tmp_path: Path
) -> None:
    everything = fetch_everything(claimed.folder, tmp_path / "client")
    done = promote(claimed.repository)
    assert done.promotion.moved == [APP]
    roles = claimed.repository.roles()
    found = roles.claim(APP)
    assert found is not None
    assert (found.top, found.delegator) == ("claimed", "claimed.ap")
    assert not list(roles.claims_below("recently-claimed").claims())
    shard = delegation(claimed, "claimed.a", "claimed.ap")
    assert not shard.terminating
    assert shard.paths == ["simple/ap*/*", "packages/ap*/*"]
    # As before for who saw it recently claimed, for who starts now, and for all other projects.
    for client in ("client", "new"):
        assert fetch_everything(claimed.folder, tmp_path / client) == everything
    assert promote(claimed.repository).promotion.moved == []


def test_promotion_needs_the_offline_key(claimed: MadeRepository) -> None:
    for key in claimed.offline_keys.glob("claimed.*.pem"):
        key.unlink()
    with Repository.open(claimed.folder) as repository:
        with pytest.raises(RepositoryStateError, match=r"claimed\S* cannot be signed"):
            promote(repository)
        assert repository.roles().claim(APP) is not None
        with pytest.raises(RepositoryStateError, match="lib waits for nothing"):
            promote(repository, {NormalizedName("lib")})


def test_many_claims_are_promoted_together_and_the_shards_live_as_long_as_claimed(
    made: MadeRepository, tmp_path: Path
) -> None:
    for name in ("app", "lib", "a", "zope-interface"):
        claim_for(made, name, Maintainers.of(1))
    promote(made.repository)
    roles = made.repository.roles()
    names = list(roles.claims_below("claimed").roles())
    assert {"claimed", "claimed.a", "claimed.ap", "claimed.li", "claimed.zo"} <= set(names)
    assert len({roles.role(name).signed.expires for name in names}) == 1
    assert sum(1 for top in TOPS for _ in roles.claims_below(top).claims()) == 4
    fetch_everything(made.folder, tmp_path / "client")


def test_pip_and_securepip_install_claimed_and_unclaimed_projects_alike(
    claimed: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    with serve(claimed.folder) as url:
        machine.trust(claimed, url)
        done = machine.install("app", "lib")
        assert done.code == 0, done.err
        promote(claimed.repository)
        again = machine.install("-U", "app", "lib")
        assert again.code == 0, again.err
        assert machine.version_of("app") == "2.0"
        machine.remove("app")
        assert machine.pip_install(f"{url}simple/", "app").code == 0
    assert machine.version_of("app") == "2.0"


def test_what_an_operator_had_removed_comes_back_only_when_the_operator_says_so(
    made: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    remove(made.repository, "app==2.0")
    claim_for(made, "app", alice)
    wheel = tmp_path / "built" / "app-2.0-py3-none-any.whl"
    path = alice.release(made, "app", tmp_path, wheel)
    with pytest.raises(RepositoryStateError, match="was removed from this repository"):
        accept(made.repository, path)
    accept(made.repository, path, restore=True)
    assert wheel.name in read_plainly(made.folder)


@pytest.mark.parametrize("days", ["36", "365"])
def test_claimed_lives_no_longer_than_35_days(days: str) -> None:
    # As long as an older one is good, a new client can be shown that the project is not claimed.
    with pytest.raises(UsageError, match="not an expiry"):
        parse_expiry([f"claimed={days}"])
    assert parse_expiry(["claimed=35"]).of("claimed.ap") == timedelta(days=35)
