"""A project that was seen in a repository does not become an unknown one."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from packaging.utils import NormalizedName, canonicalize_name

from securepip.dirs import replace_file
from securepip.errors import VerificationError
from securepip.index import Store, VerifiedIndex
from securepip.signing.publish.remove import remove
from securepip.transport import Transport
from securepip.trust import TrustStore
from securepip.updater.seen import Seen
from tests.index.conftest import Served
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

ALPHA, BETA, GAMMA = (canonicalize_name(name) for name in ("alpha", "beta", "gamma"))
Client = Callable[..., VerifiedIndex]


def test_a_project_that_was_there_is_not_looked_for_elsewhere(
    served: Served, tmp_path: Path
) -> None:
    other = make_repository(tmp_path / "other", make_wheel(tmp_path / "evil", "gamma", "99.0"))
    trust = TrustStore(tmp_path / "two")
    trust.add("made", served.server.url, served.made.root.read_bytes())
    trust.add("other", other.folder.as_uri() + "/", other.root.read_bytes())

    def index() -> VerifiedIndex:
        return VerifiedIndex(trust.read(), Transport(), Store(tmp_path / "two-store"))

    first = index()
    assert first.page(GAMMA) is not None
    first.close()
    remove(served.made.repository, "gamma")
    fresh = trust.read().named("made").state / "projects-seen"
    kept = fresh.read_bytes()
    # What a client that never saw it there does, and did before.
    fresh.unlink()
    page = index().page(GAMMA)
    assert page is not None
    assert page.file("gamma-99.0-py3-none-any.whl")
    fresh.write_bytes(kept)
    for _ in range(2):
        with pytest.raises(VerificationError, match="does not know gamma any more") as caught:
            index().page(GAMMA)
        assert "removed the project" in str(caught.value)
        assert "hides it" in str(caught.value)
    with pytest.raises(VerificationError):
        index().limited_to(["made"]).page(GAMMA)
    assert Seen(trust.read().named("made").state).forget(GAMMA)
    assert index().page(GAMMA) == page


def test_a_hidden_dependency_ends_an_install_until_its_removal_is_accepted(
    machine: Machine, made: MadeRepository
) -> None:
    machine.trust(made, made.folder.as_uri())
    assert machine.install("--dry-run", "app").code == 0
    remove(made.repository, "lib")
    done = machine.install("app")
    assert done.code == 3, done.err
    assert "trust forget made lib" in done.err
    assert machine.version_of("app") is None
    assert machine.run("trust", "forget", "made", "lib").code == 0
    assert "nothing to forget" in machine.run("trust", "forget", "made", "lib").out


def test_a_run_writes_what_it_saw_once_and_a_run_that_saw_nothing_new_writes_nothing(
    client: Client,
) -> None:
    with mock.patch("securepip.updater.seen.replace_file", wraps=replace_file) as write:
        for written in (1, 1):
            index = client()
            for project in (ALPHA, BETA, GAMMA, NormalizedName("unknown")):
                index.page(project)
            del index
            gc.collect()
            assert write.call_count == written


def test_many_processes_that_see_projects_at_once_forget_none(tmp_path: Path) -> None:
    names = [NormalizedName(f"project-{number}") for number in range(12)]

    def run(name: NormalizedName) -> None:
        own = Seen(tmp_path)
        own.add(name)
        own.keep()

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(name in Seen(tmp_path) for name in names)
