"""A first-use repository becomes the overlay of a team, with everything that it has seen."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from securepip.formats.digests import sha256_of
from securepip.signing.repository.repository import Repository
from tests.support.indexes import Index
from tests.support.machine import Machine
from tests.support.repositories import serve
from tests.support.wheels import make_wheel


@pytest.mark.parametrize("says_sizes", [True, False], ids=["sizes", "no sizes"])
def test_a_sync_completes_what_was_signed_on_demand_and_a_team_installs_from_it(
    protected: Machine, index: Index, tmp_path: Path, empty_environment: Path, says_sizes: bool
) -> None:
    index.says_sizes = says_sizes
    assert protected.install("app").code == 0
    folder = protected.folder / "data" / "first-use" / "127.0.0.1"
    for command in ("log", "audit"):
        done = protected.run("repo", command, folder)
        assert done.code == 0, done.err
    done = protected.run("repo", "sync", folder)
    assert done.code == 0, done.err
    assert f"Upstream, as the last time: {index.url}" in done.out, "not pip's own index"

    (tmp_path / "member").mkdir()
    member = Machine(tmp_path / "member", empty_environment)
    root = sha256_of((folder / "metadata" / "1.root.json").read_bytes())
    with serve(folder) as url:
        assert member.run("trust", "add", "team", url, "--root-sha256", root).code == 0
        done = member.install("app<2")  # a file that nobody had chosen
        assert done.code == 0, done.err
        assert member.freeze() == ["app==1.0"]

    index.offer(make_wheel(tmp_path / "new", "app", "3.0"))
    done = protected.install("-U", "app")
    assert done.code == 0, done.err
    assert "app==3.0" in protected.freeze(), "it still signs on demand"


def test_a_sync_keeps_what_was_read_of_an_index_that_tells_no_sha256(
    protected: Machine, index: Index
) -> None:
    index.says_sha256 = index.says_sizes = index.says_metadata = False
    assert protected.install("app").code == 0
    folder = protected.folder / "data" / "first-use" / "127.0.0.1"
    done = protected.run("repo", "sync", folder)
    assert done.code == 0, done.err
    assert "no sha256" in done.out + done.err, "it says of the other file why it is left out"
    with Repository.open(folder) as repository:
        page = repository.page(canonicalize_name("app"))
    assert page is not None
    assert [file.filename for file in page.files] == ["app-2.0-py3-none-any.whl"]
    assert protected.install("--force-reinstall", "app==1.0").code == 0, "it still reads a new one"


def test_a_sync_says_why_it_keeps_a_page_of_which_nobody_has_read_a_file(
    protected: Machine, index: Index
) -> None:
    index.says_sha256 = index.says_sizes = index.says_metadata = False
    assert protected.install("--dry-run", "app<0").code == 1
    folder = protected.folder / "data" / "first-use" / "127.0.0.1"
    done = protected.run("repo", "sync", folder)
    assert done.code == 1
    assert "the index tells no sha256 of 2 files" in done.err
    assert "--accept-loss" not in done.err


def let_pass(monkeypatch: pytest.MonkeyPatch, *, days: int) -> None:
    """Set the clock of the signing side so many days ahead."""
    moment = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=days)
    for module in ("repository.commit", "publish.refresh"):
        monkeypatch.setattr(f"securepip.signing.{module}.now", lambda: moment)


def test_its_keys_stay_on_this_machine_and_renew_everything_until_a_person_takes_them_away(
    protected: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert protected.install("app").code == 0
    folder = protected.folder / "data" / "first-use" / "127.0.0.1"
    let_pass(monkeypatch, days=30)
    done = protected.run("repo", "status", folder)
    assert (done.code, done.err) == (0, ""), "nobody has to bring a key"
    assert "2 projects, 2 files" in done.out
    assert "the offline keys stay here" in done.out
    assert protected.run("repo", "refresh", folder).code == 0
    done = protected.run("repo", "status", folder)
    assert re.search(r"^claimed .*\(in 65 days\)", done.out, re.MULTILINE), done.out

    (keys,) = (protected.folder / "data" / "keys").iterdir()
    (keys / "offline").rename(protected.folder / "safe")
    let_pass(monkeypatch, days=60)
    done = protected.run("repo", "refresh", folder)
    assert done.code == 1
    assert "The role claimed" in done.err
    safe = protected.folder / "safe"
    assert protected.run("repo", "refresh", folder, "--offline-keys", safe).code == 0
