"""A server forges the index page and the distribution alike: pip cannot notice it."""

from __future__ import annotations

from pathlib import Path

import pytest

from securepip.formats.digests import sha256_of
from tests.attacks.refusals import assert_refused
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import make_repository
from tests.support.wheels import make_wheel, metadata_text

WHEEL = "app-2.0-py3-none-any.whl"


@pytest.fixture
def evil(tmp_path: Path) -> bytes:
    """A wheel with the name and metadata of app 2.0, and the attacker's code."""
    code = {"app/__init__.py": "VERSION = 'evil'\n"}
    return make_wheel(tmp_path / "evil", "app", "2.0", requires=["lib"], files=code).read_bytes()


def test_pip_installs_a_consistently_forged_wheel_and_securepip_refuses_it(
    client: Machine, hostile: HostileServer, evil: bytes
) -> None:
    hostile.forge("app", WHEEL, evil)
    fooled = client.pip_install(f"{hostile.url}simple/", "app")
    assert fooled.code == 0, fooled.err
    assert client.version_of("app") == "evil"
    client.remove("app", "lib")

    before = client.installed()
    assert_refused(client.install("app"), hostile, "simple/app/.*")
    assert client.installed() == before
    hostile.honest()
    assert client.install("app").code == 0
    assert client.version_of("app") == "2.0"


def test_a_forged_wheel_behind_the_signed_page_is_refused(
    client: Machine, hostile: HostileServer, evil: bytes
) -> None:
    hostile.alter(rf"packages/app/.*{WHEEL}", lambda data: evil)
    before = client.installed()
    assert_refused(client.install("app"), hostile, f"packages/app/.*{WHEEL}")
    assert client.installed() == before


def test_the_wheel_of_another_version_in_its_place_is_refused(
    client: Machine, hostile: HostileServer
) -> None:
    """The wheel is signed: it is a release with a known vulnerability."""
    old = hostile.folder / "packages" / "app" / "app-1.0-py3-none-any.whl"
    hostile.alter(rf"packages/app/.*{WHEEL}", lambda data: old.read_bytes())
    assert_refused(client.install("app"), hostile, f"packages/app/.*{WHEEL}")


def test_a_release_that_nobody_signed_is_not_seen_on_unsigned_pages(
    client: Machine, hostile: HostileServer, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path / "evil", "app", "99.0")
    link = f'<a href="../../packages/app/{wheel.name}">{wheel.name}</a>'.encode()
    hostile.alter("simple/app/", lambda page: page.replace(b"</body>", link + b"</body>"))
    hostile.alter(f"packages/app/{wheel.name}", lambda data: wheel.read_bytes())
    fooled = client.pip_install(f"{hostile.url}simple/", "app")
    assert fooled.code == 0, fooled.err
    assert client.version_of("app") == "99.0"
    client.remove("app")
    done = client.install("app")
    assert done.code == 0, done.err
    assert client.version_of("app") == "2.0"


def test_a_forged_dependency_makes_pip_install_it_and_securepip_refuse(
    client: Machine, hostile: HostileServer, tmp_path: Path
) -> None:
    """Forged metadata is enough: the code of its requirement runs."""
    evil = make_wheel(tmp_path / "evil", "app", "2.0", requires=["other"])
    lie = metadata_text("app", "2.0", ["other"]).encode()
    genuine = hostile.folder / "packages" / "app" / f"{WHEEL}.metadata"
    hostile.forge("app", WHEEL, evil.read_bytes())
    old, new = sha256_of(genuine.read_bytes()), sha256_of(lie)
    hostile.alter(r"simple/app/.*", lambda page: page.replace(old.encode(), new.encode()))
    hostile.alter(rf"packages/app/.*{WHEEL}\.metadata", lambda data: lie)
    fooled = client.pip_install(f"{hostile.url}simple/", "app")
    assert fooled.code == 0, fooled.err
    assert client.version_of("other") == "1.0"
    client.remove("app", "other")
    assert_refused(client.install("app"), hostile, "simple/app/.*")
    assert client.version_of("other") is None


def test_a_page_redirected_to_another_server_is_still_the_signed_page_or_nothing(
    client: Machine, hostile: HostileServer, evil: bytes
) -> None:
    with serve_hostile(hostile.folder) as other:
        other.forge("app", WHEEL, evil)
        hostile.redirect("(simple|packages)/app/.*", other.url)
        fooled = client.pip_install(f"{hostile.url}simple/", "app")
        assert fooled.code == 0, fooled.err
        assert client.version_of("app") == "evil"
        client.remove("app", "lib")
        before = client.installed()
        assert_refused(client.install("app"), hostile, "simple/app/.*")
        assert client.installed() == before
        other.honest()
        assert client.install("app").code == 0
        assert client.version_of("app") == "2.0"


def test_metadata_redirected_to_another_server_is_still_verified(
    client: Machine, hostile: HostileServer, tmp_path: Path
) -> None:
    theirs = make_repository(tmp_path / "theirs", make_wheel(tmp_path / "evil", "app", "3.0"))
    with serve_hostile(theirs.folder) as other:
        hostile.redirect("metadata/.*", other.url)
        assert_refused(client.install("app"), hostile, "metadata/.*")
