"""A tool inside a gateway connects to no other server.

The signed metadata of a project, a requirements file and the command line tell it to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pip
import pytest
import uv

from securepip.formats.digests import sha256_of
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.indexes import Index, serve_index
from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

_PIP = Path(pip.__file__).with_name("__pip-runner__.py")
_NO_REPOSITORY = "stands for no repository that this machine trusts"
Command = Callable[..., list[str | Path]]


def pip_install(client: Machine, *words: str | Path) -> list[str | Path]:
    """The command line of an install with pip."""
    return [client.python, _PIP, "install", "--no-cache-dir", "--no-compile", *words]


def uv_install(client: Machine, *words: str | Path) -> list[str | Path]:
    """The command line of an install with uv."""
    options = ("--no-cache", "--python", client.python)
    return [uv.find_uv_bin(), "pip", "install", *options, *words]


TOOLS = pytest.mark.parametrize("command", [pip_install, uv_install])


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An index without signatures that has ``evil`` and ``app`` 99.0."""
    with serve_index() as index:
        index.offer(make_wheel(tmp_path, "evil", "1.0"), make_wheel(tmp_path, "app", "99.0"))
        yield index


@pytest.fixture
def address(index: Index) -> str:
    """The URL of ``evil``."""
    return f"http://{index.host}/files/evil-1.0-py3-none-any.whl"


@contextmanager
def trusted(machine: Machine, made: MadeRepository) -> Iterator[HostileServer]:
    """Serve a repository that the machine trusts."""
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        yield server


def assert_refused(client: Machine, index: Index, done: Finished, *reasons: str) -> None:
    """Check that the command failed with the reason, and sent no request to the index."""
    assert done.code != 0, done
    assert client.version_of("evil") is None
    assert client.version_of("app") is None
    for reason in reasons:
        assert reason in done.out + done.err, done
    assert not index.seen


@pytest.mark.parametrize("scheme", ["http", "file", "marked", "hashed"])
def test_an_address_in_signed_metadata_is_not_fetched(
    machine: Machine,
    made: MadeRepository,
    index: Index,
    address: str,
    tmp_path: Path,
    scheme: str,
) -> None:
    # uv takes no URL from metadata, and says so.
    digest = sha256_of((tmp_path / "evil-1.0-py3-none-any.whl").read_bytes())
    requirement = {
        "http": f"evil @ {address}",
        # A folder in which any other user can make files.
        "file": f"evil @ {(tmp_path / 'evil-1.0-py3-none-any.whl').as_uri()} ; python_version>'3'",
        "marked": f"evil @ {address} ; python_version > '3'",
        "hashed": f"evil @ {address}#sha256={digest}",
    }[scheme]
    made.add(make_wheel(tmp_path / "signed", "thing", "1.0", requires=[requirement]))
    with trusted(machine, made) as server:
        words = pip_install(machine, "thing", "--index-url", f"{server.url}simple/")
        fooled = machine.command(*words)
        assert fooled.code == 0, fooled.err
        assert machine.version_of("evil") == "1.0"
        machine.remove("thing", "evil")
        index.seen.clear()
        assert machine.install("thing").code != 0
        done = machine.process("gateway", "--", *pip_install(machine, "thing"))
        assert_refused(machine, index, done, "nobody" if scheme != "marked" else "listed on no")


@TOOLS
@pytest.mark.parametrize("option", ["--index-url", "--extra-index-url", "--find-links"])
def test_an_index_that_a_requirements_file_names_is_not_asked(
    client: Machine,
    index: Index,
    tmp_path: Path,
    command: Command,
    option: str,
) -> None:
    file = tmp_path / "requirements.txt"
    url = f"http://{index.host}/simple/evil/" if "links" in option else index.url
    file.write_text(f"{option} {url}\nevil\n")
    words = command(client, "-r", file)
    fooled = client.command(*words)
    assert fooled.code == 0, fooled.err
    client.remove("evil")
    index.seen.clear()
    done = client.process("gateway", "--", *words)
    # uv prefers its variables to a file: it asks only the gateway.
    overruled = command is uv_install and option == "--index-url"
    assert_refused(client, index, done, "evil" if overruled else _NO_REPOSITORY)


@TOOLS
def test_an_address_of_the_users_is_fetched_by_its_hash_alone(
    client: Machine, index: Index, address: str, command: Command, tmp_path: Path
) -> None:
    (digest,) = (file.sha256 for file in index.projects["evil"].values())
    assert client.command(*command(client, f"evil @ {address}")).code == 0
    client.remove("evil")
    index.seen.clear()
    done = client.process("gateway", "--", *command(client, f"evil @ {address}"))
    assert_refused(client, index, done, "no sha256, sha384 or sha512 hash was given")

    file = tmp_path / "requirements.txt"
    file.write_text(f"evil @ {address}#sha256={digest}\n")
    index.projects["evil"]["evil-1.0-py3-none-any.whl"].data += b"changed"
    done = client.process("gateway", "--", *command(client, "-r", file))
    assert done.code != 0
    assert "does not have the hash that you named" in done.err
    assert client.version_of("evil") is None
    data = index.projects["evil"]["evil-1.0-py3-none-any.whl"]
    data.data = data.data.removesuffix(b"changed")
    done = client.process("gateway", "--", *command(client, "-r", file))
    assert done.code == 0, done.err
    assert client.version_of("evil") == "1.0"


@TOOLS
def test_a_dependency_that_nobody_signs_brings_no_older_release(
    machine: Machine, made: MadeRepository, tmp_path: Path, command: Command
) -> None:
    made.add(
        make_wheel(tmp_path, "grown", "1.0"),
        make_wheel(tmp_path, "grown", "2.0", requires=["unsigned"]),
    )
    with trusted(machine, made) as server:
        fooled = machine.command(*command(machine, "grown", "--index-url", f"{server.url}simple/"))
        assert (fooled.code, machine.version_of("grown")) == (0, "1.0")
        machine.remove("grown")
        done = machine.process("gateway", "--", *command(machine, "grown"))
        assert done.code != 0
        assert machine.version_of("grown") is None
        assert "knows the project unsigned, which grown-2.0-py3-none-any.whl requires" in done.err
        words = ("gateway", "--allow-older-releases", "--", *command(machine, "grown"))
        assert machine.process(*words).code == 0
        assert machine.version_of("grown") == "1.0"


def test_a_securepip_inside_reaches_its_repositories_by_itself(
    client: Machine, index: Index, address: str
) -> None:
    words = ("-m", "securepip", "install", "--python", client.environment, "app")
    done = client.process("gateway", "--", sys.executable, *words)
    assert done.code == 0, done.err
    assert client.version_of("app") == "2.0"


FETCH = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode()[:9])
"""


@pytest.mark.parametrize("allowed", [(), ("--allow", "localhost"), ("--allow", "127.0.0.1:1")])
def test_nothing_else_is_reached_either(
    client: Machine, index: Index, allowed: tuple[str, ...]
) -> None:
    url = f"{index.url}evil/"
    assert client.command(sys.executable, "-c", FETCH, url).code == 0
    index.seen.clear()
    done = client.process(
        "gateway", *allowed, "--", sys.executable, "-c", FETCH, url, no_proxy="127.0.0.1"
    )
    assert done.code == 1
    assert _NO_REPOSITORY in done.err
    assert not index.seen


@pytest.mark.parametrize("host", ["127.0.0.1", "{host}"])
def test_a_host_that_the_user_allows_is_reached(client: Machine, index: Index, host: str) -> None:
    allowed = ("--allow", host.format(host=index.host))
    words = (sys.executable, "-c", FETCH, f"{index.url}evil/")
    done = client.process("gateway", *allowed, "--", *words)
    assert done.code == 0, done.err
    assert done.out == "<meta nam\n"


@pytest.mark.parametrize("settings", [(), ("-c", "http.proxy=")])
def test_git_is_held_unless_its_own_settings_name_another_proxy(
    client: Machine, index: Index, settings: tuple[str, ...]
) -> None:
    words = ("git", *settings, "ls-remote", f"http://{index.host}/evil.git")
    client.command(*words)
    assert index.seen.count("GET /evil.git/info/refs") == 1
    done = client.process("gateway", "--", *words)
    assert done.code != 0
    assert index.seen.count("GET /evil.git/info/refs") == (2 if settings else 1)
