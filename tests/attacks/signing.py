"""Signs what no command of securepip would publish."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tuf.api.metadata import Metadata, TargetFile, Targets

from securepip.formats.digests import sha256_of
from securepip.formats.layout import consistent_path
from securepip.signing.repository.repository import Repository
from tests.support.repositories import MadeRepository


def sign(made: MadeRepository, contents: Mapping[str, bytes]) -> None:
    """Sign ``contents`` as the targets of these paths, and write the files that clients fetch."""
    repository: Repository = made.repository
    with repository.lock():
        roles = repository.roles()
        changed: dict[str, Metadata[Targets]] = {}
        for path, data in contents.items():
            name = roles.bin_of(path)
            changed[name] = roles.role(name)
            sha256 = sha256_of(data)
            target = TargetFile(len(data), {"sha256": sha256}, path)
            changed[name].signed.targets[path] = target
            for place in (path, consistent_path(path, sha256)):
                file = made.folder / place
                file.parent.mkdir(parents=True, exist_ok=True)
                file.unlink(missing_ok=True)  # it can be a hard link
                file.write_bytes(data)
        repository.sign(changed)


def read_page(made: MadeRepository, project: str) -> dict[str, Any]:
    """The current page of a project, which a test may change."""
    page: dict[str, Any] = json.loads(
        (made.folder / "simple" / project / "index.json").read_bytes()
    )
    return page


def sign_page(made: MadeRepository, project: str, page: Mapping[str, Any]) -> None:
    """Sign a project's page, whatever its contents."""
    sign(made, {f"simple/{project}/index.json": json.dumps(page).encode()})
