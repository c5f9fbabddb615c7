"""A command line becomes a request, which Python code can make and run as well."""

from __future__ import annotations

import os
from collections.abc import Sequence
from unittest import mock

import pytest

from securepip.cli.options import Network
from securepip.cli.pip_commands import install
from securepip.cli.pip_commands.parser import read
from securepip.cli.pip_commands.requests import (
    AnyRequest,
    Builds,
    Choosing,
    Destination,
    DownloadRequest,
    InstallRequest,
    LockRequest,
    Named,
    Places,
    Target,
)
from tests.support.machine import Machine

APP = Named(words=("app",))


@pytest.mark.usefixtures("no_configuration")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["install", "app"], InstallRequest(named=APP)),
        (["download", "app"], DownloadRequest(named=APP)),
        (["lock", "app"], LockRequest(named=APP)),
        (
            ["install", "-Ut", "there", "app", "-r", "a.txt", "-e", ".", "--only-binary=x,y"],
            InstallRequest(
                named=Named(words=("app",), requirements=("a.txt",), editables=(".",)),
                choosing=Choosing(formats=(("--only-binary", "x,y"),)),
                destination=Destination(folder="there"),
                upgrade=True,
            ),
        ),
        (
            ["install", "--no-user", "--no-compile", "--no-cache-dir", "-C", "a=b", "app"],
            InstallRequest(
                named=Named(words=("app",), config_settings={"a": "b"}),
                destination=Destination(user=False),
                compile=False,
                no_cache=True,
            ),
        ),
        (
            ["download", "--python-version=3.9", "--abi=cp39", "--no-deps", "--no-clean", "app"],
            DownloadRequest(
                named=APP,
                choosing=Choosing(no_deps=True),
                target=Target(python_version=(3, 9), abis=("cp39",)),
                builds=Builds(keep=True),
            ),
        ),
        (
            ["lock", "-i", "file:/x", "-f", "links", "--timeout=3", "--no-proxy-env", "app"],
            LockRequest(
                named=APP,
                places=Places(index_url="file:/x", find_links=("links",)),
                network=Network(timeout=3.0, proxy_from_environment=False),
            ),
        ),
    ],
)
def test_a_command_line_is_read_into_the_request_that_a_caller_from_python_would_make(
    words: Sequence[str], expected: AnyRequest
) -> None:
    assert read(words[0], words[1:]) == expected


def test_a_request_that_was_made_in_python_is_installed(client: Machine) -> None:
    request = InstallRequest(named=APP, target=Target(python=str(client.python)))
    with mock.patch.dict(os.environ, client.variables, clear=True):
        assert install.run(request) == 0
    assert client.freeze() == ["app==2.0", "lib==1.0"]
