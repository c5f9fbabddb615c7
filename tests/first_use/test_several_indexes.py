"""Several indexes: those of a company, and those that a command names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from securepip.errors import VerificationError
from securepip.first_use import pages
from securepip.first_use.setup import protect
from securepip.first_use.signer import Signers
from securepip.index import Store
from securepip.signing.publish.on_demand import publish_on_demand
from securepip.transport import TransportOptions
from securepip.trust import FirstUseRules, TrustStore
from tests.support.indexes import Index, serve_index
from tests.support.machine import Machine
from tests.support.wheels import make_wheel


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Index]:
    """Another index: ``app`` 9.0, and ``tool`` 1.0."""
    with serve_index() as other:
        folder = tmp_path / "other"
        other.offer(make_wheel(folder, "app", "9.0"), make_wheel(folder, "tool", "1.0"))
        yield other


def test_the_first_index_that_knows_a_project_speaks_for_it(
    protected: Machine, other: Index
) -> None:
    """An index that is added later cannot take the name of a package over."""
    assert protected.run("trust", "first-use", "--index-url", other.url).code == 0
    done = protected.install("app", "tool")
    assert done.code == 0, done.err
    assert protected.freeze() == ["app==2.0", "lib==1.0", "tool==1.0"]
    assert protected.run("trust", "first-use", "--index-url", other.url).code == 0


def test_of_two_first_sights_of_a_file_at_one_moment_the_second_is_refused(
    index: Index, other: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes, two indexes: neither has signed yet when both have asked."""
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "data"))
    other.offer(make_wheel(tmp_path / "evil", "app", "2.0", files={"app/evil.py": ""}))
    store, app = TrustStore(tmp_path / "data" / "trust"), canonicalize_name("app")
    names = [protect(each.url, FirstUseRules(), store).repository.name for each in (index, other)]
    with Signers(TransportOptions(), Store(tmp_path / "store")) as signers:
        first, second = (signers(store.read())[name] for name in names)
        beside = Thread(target=second.prepare_pages, args=([app],))

        def publish_late(*what: Any) -> object:
            if beside.ident is None:
                beside.start()
                beside.join(0.7)
            return publish_on_demand(*what)

        monkeypatch.setattr(pages, "publish_on_demand", publish_late)
        first.prepare_pages([app])
        beside.join()
    wheel = "app-2.0-py3-none-any.whl"
    first.check_file(app, wheel)
    with pytest.raises(VerificationError):
        second.check_file(app, wheel)


def test_an_index_that_nobody_believes_is_refused(protected: Machine, other: Index) -> None:
    done = protected.install("--index-url", other.url, "tool")
    assert done.code == 1
    assert "first-use" in done.err
    assert protected.freeze() == []


def test_the_password_of_any_index_reaches_its_server_and_nothing_that_is_shown_or_served(
    protected: Machine, index: Index, other: Index
) -> None:
    other.credentials = "somebody:s3cret"
    protected.run("trust", "first-use", "--index-url", index.url, "--any-index")
    done = protected.install("-vv", "--index-url", other.url, "tool")
    assert done.code == 0, done.err
    assert protected.freeze() == ["tool==1.0"]
    listed = protected.run("trust", "list")
    assert "s3cret" not in done.out + done.err + listed.out
    folders = [*(protected.folder / "data" / "first-use").iterdir()]
    served = [
        path
        for folder in folders
        for name in ("metadata", "simple", "packages")
        for path in (folder / name).rglob("*")
        if path.is_file()
    ]
    assert served
    assert not any(b"s3cret" in path.read_bytes() for path in served)


def test_any_index_is_believed_for_the_command_that_names_it_alone(
    protected: Machine, index: Index, other: Index
) -> None:
    done = protected.run("trust", "first-use", "--index-url", index.url, "--any-index")
    assert done.code == 0, done.err
    done = protected.install("--index-url", other.url, "tool")
    assert done.code == 0, done.err
    done = protected.install("--extra-index-url", other.url, "tool", "--force-reinstall")
    assert done.code == 0, done.err
    other.seen.clear()
    unknown = protected.install("tool", "--force-reinstall")
    assert unknown.code == 1
    assert other.seen == []


def test_list_and_show_say_which_index_is_protected_how(
    machine: Machine, index: Index, other: Index
) -> None:
    """Also before anything was asked of it."""
    rules = ("--min-age", "3d", "--any-index")
    done = machine.run("trust", "first-use", "own", "--index-url", index.url, *rules)
    assert done.code == 0, done.err
    assert "left out" in machine.run("trust", "show", "own").out
    assert machine.install("--index-url", other.url, "tool").code == 0
    told = json.loads(machine.run("trust", "list", "--json").out)
    own, named = told["repositories"]
    assert (own["address"], own["projects"]) == (index.url, ["*"])
    assert (named["address"], named["projects"]) == (other.url, [])
    listed = machine.run("trust", "list").out
    assert listed.count("unless a command names its index") == 1
    assert "Any other index" in listed

    done = machine.run("trust", "first-use", "own", "--index-url", index.url, "--no-any-index")
    assert done.code == 0, done.err
    assert "whatever the index shows first is believed" in machine.run("trust", "show", "own").out
    assert "Any other index" not in machine.run("trust", "list").out


def test_who_speaks_for_what_is_said_and_what_was_bound_to_an_index_that_is_removed(
    machine: Machine, index: Index, other: Index, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path / "company", "acme-core", "1.0"))
    other.offer(make_wheel(tmp_path / "stranger", "acme-core", "9.0"))
    other.offer(make_wheel(tmp_path / "stranger", "acme-secret", "9.0"))
    assert machine.run("trust", "first-use", "company", "--index-url", index.url).code == 0
    second = machine.run("trust", "first-use", "public", "--index-url", other.url)
    assert "`securepip trust list` says which index" in second.out
    # As the guide says.
    path = machine.folder / "data" / "trust" / "map.json"
    trust = json.loads(path.read_text())
    bound = {"paths": ["simple/acme-*/*", "packages/acme-*/*"], "repositories": ["company"]}
    trust["mapping"].insert(0, {**bound, "terminating": True, "threshold": 1})
    path.write_text(json.dumps(trust))

    listed = machine.run("trust", "list").out
    assert "  for:     acme-* (nobody else), any project\n" in listed
    assert "  for:     any project that company does not know\n" in listed
    done = machine.install("--dry-run", "acme-core", "tool")
    assert done.out.endswith("Would install acme-core-1.0 tool-1.0\n"), done.out
    assert machine.install("--dry-run", "acme-secret").code == 1
    told = machine.run("trust", "remove", "company").out
    assert "Nobody but it spoke for acme-*: others may from now on." in told
