"""What a client sees of claims: the same installs, in few requests, and nothing behind a claim."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName
from tuf.api.metadata import TargetFile

from securepip.formats.layout import page_target
from securepip.index import Store, VerifiedIndex
from securepip.signing.claims.promote import promote
from securepip.signing.overlay import SyncReport
from securepip.signing.overlay.sync import SyncOptions, sync
from securepip.signing.overlay.upstream.sources import open_sources
from securepip.transport import Transport, TransportOptions
from securepip.trust import TrustStore
from securepip.updater import Session
from tests.support.begun import all_answered
from tests.support.indexes import serve_index
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import MadeRepository, serve
from tests.support.wheels import make_wheel

APP = NormalizedName("app")


@contextmanager
def session(made: MadeRepository, folder: Path) -> Iterator[tuple[Session, list[str]]]:
    """A new session of one client, and the metadata files that it asks for."""
    requests: list[str] = []
    with serve(made.folder, requests) as url, Transport(TransportOptions(retries=0)) as transport:
        yield (
            Session("made", f"{url}metadata/", folder, transport, made.root.read_bytes()),
            requests,
        )


def asked(requests: list[str]) -> list[str]:
    """The metadata files that were asked for, those included that were begun and not needed."""
    all_answered()
    return [found[1] for line in requests if (found := re.search(r"/metadata/([^']+)", line))]


def test_all_that_leads_to_a_claimed_project_is_fetched_at_once(
    claimed: MadeRepository, tmp_path: Path
) -> None:
    promote(claimed.repository)
    with session(claimed, tmp_path / "client") as (client, requests):
        client.refresh()
        before = len(asked(requests))
        client.prefetch([page_target(APP)])
        assert client.target(page_target(APP)) is not None
        fetched = asked(requests)[before:]
        # Each once, and no bin: the project's own role says it all.
        assert sorted(fetched) == [
            "1.claimed.a.json", "1.claimed.ap.json", "1.project.app.json", "2.claimed.json",
            "3.recently-claimed.json",
        ]  # fmt: skip
    with session(claimed, tmp_path / "client") as (client, requests):
        client.refresh()
        client.prefetch([page_target(APP)])
        assert client.target(page_target(APP)) is not None
        assert set(asked(requests)) == {"2.root.json", "timestamp.json"}


def test_a_project_that_is_not_claimed_costs_no_request_more_where_nothing_is_claimed(
    made: MadeRepository, tmp_path: Path
) -> None:
    with session(made, tmp_path / "client") as (client, requests):
        client.prefetch([page_target(APP)])
        assert client.target(page_target(APP)) is not None
        assert sorted(asked(requests)) == sorted(
            [
                "2.root.json", "timestamp.json", *asked_at_first(made),
                "1.claimed.json", "1.recently-claimed.json", "1.bins.json",
                *(name for name in asked(requests) if "bin-" in name),
            ]
        )  # fmt: skip
        assert sum("bin-" in name for name in asked(requests)) == 1


def asked_at_first(made: MadeRepository) -> list[str]:
    roles = made.repository.roles()
    return [f"{roles.snapshot.signed.version}.snapshot.json", "1.targets.json"]


@pytest.mark.parametrize("promoted", [False, True])
def test_a_claimed_project_cannot_be_hidden_behind_the_bins(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path, promoted: bool
) -> None:
    if promoted:
        promote(claimed.repository)
    # The online key signs a page and a file of the project, as a thief would.
    repository = claimed.repository
    evil = "packages/app/app-9.0-py3-none-any.whl"
    with repository.lock():
        roles = repository.roles()
        changed = {}
        for path in (evil, page_target(APP)):
            name = roles.bin_of(path)
            changed[name] = roles.role(name)
            changed[name].signed.targets[path] = TargetFile(4, {"sha256": "0" * 64}, path)
        repository.sign(changed)
    with session(claimed, tmp_path / "client") as (client, _):
        assert client.target(evil) is None
        page = client.target(page_target(APP))
        assert page is not None and page.hashes["sha256"] != "0" * 64


def test_an_index_gives_pages_metadata_and_files_of_claimed_projects(
    claimed: MadeRepository, tmp_path: Path
) -> None:
    promote(claimed.repository)
    trust = TrustStore(tmp_path / "trust")
    with serve(claimed.folder) as url, Transport(TransportOptions(retries=0)) as transport:
        trust.add("made", url, claimed.root.read_bytes())
        index = VerifiedIndex(trust.read(), transport, Store(tmp_path / "store"))
        names = [APP, NormalizedName("lib"), NormalizedName("application")]
        index.prefetch_pages(names)
        page = index.page(APP)
        assert page is not None
        index.prefetch_metadata(APP, page.files)
        assert b"Name: app" in index.core_metadata(APP, page.files[0])
        assert len(index.fetch([(APP, file) for file in page.files])) == 2
        assert index.page(names[1]) is not None
        # In a shard of claims, and not claimed itself.
        assert index.page(names[2]) is None


def test_a_sync_leaves_claimed_projects_to_their_maintainers(
    tmp_path: Path, made: MadeRepository
) -> None:
    with serve_index() as index, Transport(TransportOptions(retries=0)) as transport:
        index.offer(make_wheel(tmp_path / "up", "flask", "1.0", requires=["jinja"]))
        index.offer(make_wheel(tmp_path / "up", "jinja", "1.0"))
        run = syncing(made, index.url, transport)
        assert run("flask", "jinja").signed == ["flask", "jinja"]
        alice = Maintainers.of(1)
        claim(made, "flask", alice)
        before = made.repository.page(NormalizedName("flask"))
        index.offer(make_wheel(tmp_path / "up", "flask", "2.0"))
        index.offer(make_wheel(tmp_path / "up", "jinja", "2.0"))
        for names in (("flask", "jinja"), ()):
            report = run(*names)
            assert report.claimed == ["flask"]
            assert report.problems == []
        assert made.repository.page(NormalizedName("flask")) == before
        jinja = made.repository.page(NormalizedName("jinja"))
        assert jinja is not None and len(jinja.files) == 2


def syncing(made: MadeRepository, url: str, transport: Transport) -> Callable[..., SyncReport]:
    def run(*names: str) -> SyncReport:
        options = SyncOptions([Requirement(name) for name in names], with_dependencies=True)
        return sync(made.repository, open_sources([url], (), transport), transport, options)

    return run
