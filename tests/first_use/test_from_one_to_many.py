"""A person's first-use repository becomes a team's overlay: what was seen is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from securepip.formats.digests import sha256_of
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
    for command in ("status", "log", "audit"):
        done = protected.run("repo", command, folder)
        assert done.code == 0, done.err
    done = protected.run("repo", "sync", folder, "--upstream", index.url)
    assert done.code == 0, done.err

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
