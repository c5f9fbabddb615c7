"""The user names a URL with a digest, which the file must have before it is read."""

from __future__ import annotations

from securepip.formats.digests import sha256_of
from tests.support.hostile import HostileServer, flip_byte
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository


def test_a_direct_address_that_delivers_other_bytes_installs_nothing(
    client: Machine, hostile: HostileServer, shared_repository: MadeRepository
) -> None:
    path = "packages/app/app-1.0-py3-none-any.whl"
    digest = sha256_of((shared_repository.folder / path).read_bytes())
    asked = f"app @ {hostile.url}{path}#sha256={digest}"
    hostile.alter(path, flip_byte)
    refused = client.install(asked)
    assert refused.code == 3
    assert "does not have the hash that you named" in refused.err
    assert f"{hostile.url}{path}" in refused.err
    assert not client.freeze()
    hostile.honest()
    assert client.install(asked).code == 0
    assert client.freeze()[:2] == ["app", "@"]
