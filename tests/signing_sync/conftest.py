"""An index, an empty repository, and a sync of the repository from the index."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from securepip.signing.overlay import SyncReport
from securepip.signing.overlay.sync import SyncOptions, sync
from securepip.signing.overlay.upstream.sources import open_sources
from securepip.signing.overlay.work import threads
from securepip.transport import Transport, TransportOptions
from tests.support.indexes import Index, serve_index
from tests.support.repositories import MadeRepository, make_repository

Sync = Callable[..., SyncReport]


@pytest.fixture
def index() -> Iterator[Index]:
    with serve_index() as index:
        yield index


def let_the_time_be_over(patched: pytest.MonkeyPatch) -> None:
    """Let the time limit of the next sync end after a few answers, not after a time."""
    hours = itertools.count()
    patched.setattr(threads, "time", SimpleNamespace(monotonic=lambda: 3600.0 * next(hours)))


@pytest.fixture
def overlay(tmp_path: Path) -> MadeRepository:
    return make_repository(tmp_path / "overlay")


@pytest.fixture
def run(overlay: MadeRepository, index: Index) -> Sync:
    """Syncs the overlay: ``run("flask>=2", with_dependencies=True, indexes=[…])``."""

    def run(
        *requirements: str,
        indexes: list[str] | None = None,
        find_links: tuple[str, ...] = (),
        constraints: tuple[str, ...] = (),
        **options: Any,
    ) -> SyncReport:
        transport = Transport(TransportOptions(timeout=60, retries=0))
        sources = open_sources([index.url] if indexes is None else indexes, find_links, transport)
        try:
            return sync(
                overlay.repository,
                sources,
                transport,
                SyncOptions(
                    [Requirement(each) for each in requirements],
                    [Requirement(each) for each in constraints],
                    **options,
                ),
            )
        finally:
            transport.close()

    return run
