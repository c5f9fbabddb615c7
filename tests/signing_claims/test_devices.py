"""A maintainer's key that is not a file: on a real PKCS#11 token in software, and by URI."""

from __future__ import annotations

from pathlib import Path

from tests.signing import test_devices
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, serve
from tests.support.wheels import make_wheel

pytestmark = test_devices.pytestmark
device = test_devices.device


def sign(device: Machine, *words: str | Path) -> str:
    """Run `securepip sign`, in a process of its own: a token belongs to one process."""
    done = device.process("sign", *words, "--pin-file", device.folder / "pin")
    assert done.code == 0, done.err
    return done.out


def test_a_maintainers_key_on_a_device_signs_what_is_installed(
    device: Machine, made: MadeRepository
) -> None:
    desk = device.folder / "desk"
    desk.mkdir()
    public, claim, release = desk / "key.json", desk / "claim.zip", desk / "release.zip"
    with serve(made.folder) as url:
        device.trust(made, url)
        assert "Your key:" in sign(device, "keygen", "--uri", "hsm:2", "--public", public)
        # The only key that this maintainer has is the one to claim with.
        sign(device, "claim", "app", "-o", claim)
        keys = ("--keys", made.online_keys)
        assert device.run("repo", "claim", made.folder, claim, *keys).code == 0
        sign(device, "release", "app", make_wheel(desk, "app", "3.0"), "-o", release)
        done = device.run("repo", "accept", made.folder, release, *keys)
        assert done.code == 0, done.err
        done = device.install("app")
        assert done.code == 0, done.err
    assert device.version_of("app") == "3.0"
