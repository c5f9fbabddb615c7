"""Makes, copies and serves signed repositories.

``made = make_repository(tmp_path / "repository", make_wheel(tmp_path, "flask", "3.0"))``, then
``made.add(make_wheel(tmp_path, "flask", "3.1"))``, and ``with serve(made.folder) as url:``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from securepip.formats.digests import Sha256
from securepip.signing.publish.add import add
from securepip.signing.publish.create import create
from securepip.signing.publish.serve import RepositoryServer
from securepip.signing.repository.config import CONFIG_NAME, STATE_DIR, Expiry, load_config
from securepip.signing.repository.repository import Published, Repository
from tests.support.hostile import running


@dataclass(frozen=True)
class MadeRepository:
    """A repository for a test.

    Attributes:
        folder: The repository's folder, which is also a LOCATION for clients.
        repository: The open repository, which signs.
        root: The file of its first root.
        root_sha256: The digest of that root, which clients pin.
        online_keys: The folder of the online key.
        offline_keys: The folder of the offline keys.
    """

    folder: Path
    repository: Repository
    root: Path
    root_sha256: Sha256
    online_keys: Path
    offline_keys: Path

    def add(self, *distributions: Path) -> Published:
        """Publish further distributions."""
        return add(self.repository, distributions)


def make_repository(
    folder: Path,
    *distributions: Path,
    expected_files: int = 10,
    expiry: Expiry | None = None,
) -> MadeRepository:
    """Make a repository in ``folder``, with its keys in ``<folder>.keys``."""
    keys = folder.with_name(f"{folder.name}.keys")
    created = create(
        folder,
        expected_files=expected_files,
        expiry=expiry,
        online_keys=keys / "online",
        offline_keys=keys / "offline",
    )
    made = MadeRepository(
        folder,
        created.repository,
        folder / "metadata" / "1.root.json",
        created.root_sha256,
        created.online_keys,
        created.offline_keys,
    )
    if distributions:
        made.add(*distributions)
    return made


def copy_repository(made: MadeRepository, folder: Path) -> MadeRepository:
    """Copy a repository into ``folder``, and its keys into ``<folder>.keys``."""
    keys, made_keys = folder.with_name(f"{folder.name}.keys"), made.online_keys.parent
    shutil.copytree(made.folder, folder)
    shutil.copytree(made_keys, keys)
    config = load_config(folder)
    signers = {
        keyid: uri.replace(str(made_keys), str(keys)) for keyid, uri in config.signers.items()
    }
    (folder / STATE_DIR / CONFIG_NAME).write_bytes(replace(config, signers=signers).to_json())
    return MadeRepository(
        folder,
        Repository.open(folder),
        folder / "metadata" / made.root.name,
        made.root_sha256,
        keys / "online",
        keys / "offline",
    )


@contextmanager
def serve(folder: Path, requests: list[str] | None = None) -> Iterator[str]:
    """Serve a repository on loopback, and yield its URL, which ends in a slash.

    Args:
        folder: The repository.
        requests: Gets a line for each request, such as ``200 GET '/metadata/timestamp.json'``.
    """
    log = requests.append if requests is not None else lambda line: None
    with RepositoryServer(folder, log=log) as server, running(server):
        yield server.url
