"""A server on loopback that takes uploads for a repository."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from securepip.signing.repository.repository import Repository
from securepip.signing.uploads.form import Limits
from securepip.signing.uploads.server import UploadServer
from tests.support.hostile import running
from tests.support.repositories import MadeRepository, make_repository
from tests.uploads.sending import Site


@contextmanager
def taking_uploads(made: MadeRepository, limits: Limits | None = None) -> Iterator[Site]:
    """Take uploads for a repository, with a token for all projects."""

    def open_repository() -> Repository:
        return Repository.open(made.folder, keys=[made.online_keys])

    said: list[str] = []
    _, token = made.repository.state.tokens.create(None)
    takes = UploadServer(made.folder, open_repository, say=said.append, limits=limits)
    with takes as server, running(server):
        yield Site(server.upload_url, token, made, said)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for a whole module, in which each test uploads a project of its own."""
    made = make_repository(tmp_path_factory.mktemp("uploads") / "repository")
    # Files of at most a megabyte.
    with taking_uploads(made, Limits(file_bytes=1 << 20)) as at:
        yield at


@pytest.fixture
def made(tmp_path: Path) -> MadeRepository:
    """An empty repository."""
    return make_repository(tmp_path / "repository")
