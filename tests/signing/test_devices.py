"""The online key on a device: SoftHSM, which is a real PKCS#11 token in software."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.repositories import serve
from tests.support.wheels import make_wheel

PIN = "2468"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
_MODULE = next((path for path in _MODULES if Path(path).exists()), None)
_GENERATE = """
import sys, pkcs11, pkcs11.util.ec as ec
module, pin, number = sys.argv[1:]
token = pkcs11.lib(module).get_token(token_label="securepip")
with token.open(user_pin=pin, rw=True) as session:
    curve = ec.encode_named_curve_parameters("secp256r1")
    parameters = session.create_domain_parameters(
        pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
    )
    parameters.generate_keypair(store=True, id=bytes([int(number)]), label="online " + number)
"""

pytestmark = pytest.mark.skipif(
    _MODULE is None or shutil.which("softhsm2-util") is None,
    reason="SoftHSM (Debian: softhsm2) is not on this machine",
)


@pytest.fixture
def device(machine: Machine, tmp_path: Path) -> Machine:
    """A machine with a token ``securepip`` and keys 2 and 3 on it, and its PIN in a file."""
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    variables = {"SOFTHSM2_CONF": str(configuration), "PYKCS11LIB": str(_MODULE)}
    environment = {**os.environ, **variables}
    initialize = ["softhsm2-util", "--init-token", "--free", "--label", "securepip"]
    subprocess.run(
        [*initialize, "--pin", PIN, "--so-pin", "1357"],
        env=environment, check=True, timeout=60, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for number in ("2", "3"):
        command = [sys.executable, "-c", _GENERATE, str(_MODULE), PIN, number]
        subprocess.run(command, env=environment, check=True, timeout=60)
    machine.variables.update(variables)
    (tmp_path / "pin").write_text(f"{PIN}\n")
    return machine


def repo(device: Machine, command: str, *words: str | Path, pin: str = "pin") -> str:
    """Run `securepip repo`, in a process of its own: a token belongs to one process."""
    folder = device.folder / "repository"
    done = device.process("repo", command, folder, *words, "--pin-file", device.folder / pin)
    return done.out if done.code == 0 else f"FAILED {done.code}: {done.err}"


def test_the_online_key_on_a_device_publishes_what_is_installed(device: Machine) -> None:
    made = repo(device, "init", "--expected-files", "1", "--online-key-uri", "hsm:2")
    assert "hsm:2" in made, made
    wheel = make_wheel(device.folder / "built", "app", "1.0")
    assert "Published: app" in repo(device, "add", wheel)
    with serve(device.folder / "repository") as url:
        sha256 = next(line.split()[-1] for line in made.splitlines() if "root sha256" in line)
        done = device.run("trust", "add", "made", url, "--root-sha256", sha256)
        assert done.code == 0, done.err
        done = device.install("app")
        assert done.code == 0, done.err
        assert device.version_of("app") == "1.0"
    (device.folder / "wrong").write_text("9999\n")
    refused = repo(device, "refresh", pin="wrong")
    assert "Nothing to do" in refused
    newer = make_wheel(device.folder / "built", "app", "2.0")
    refused = repo(device, "add", newer, pin="wrong")
    assert refused.startswith("FAILED 1"), refused
    assert "cannot be signed" in refused
    assert "passphrase or PIN" in refused
    assert "Published: app" in repo(device, "add", newer)


def test_a_device_that_is_not_there_makes_no_repository(device: Machine) -> None:
    said = repo(device, "init", "--online-key-uri", "hsm:9")
    assert said.startswith("FAILED 1"), said
    assert "hsm:9 cannot be reached" in said
    assert not (device.folder / "repository").exists()


@pytest.mark.parametrize("uri", ["ftp:nobody", "plain", "awskms"])
def test_another_word_is_no_uri_of_a_key(device: Machine, uri: str) -> None:
    said = repo(device, "init", "--online-key-uri", uri)
    assert said.startswith(("FAILED 2", "FAILED 1")), said


def test_the_online_key_moves_to_another_place_on_the_device_and_back_to_a_file(
    device: Machine,
) -> None:
    keys = ("--keys", device.folder / "online", "--offline-keys", device.folder / "offline")
    made = repo(device, "init", "--expected-files", "1", *keys)
    assert "online key" in made, made
    wheel = make_wheel(device.folder / "built", "app", "1.0")
    assert "Published: app" in repo(device, "add", wheel)
    with serve(device.folder / "repository") as url:
        sha256 = next(line.split()[-1] for line in made.splitlines() if "root sha256" in line)
        assert device.run("trust", "add", "made", url, "--root-sha256", sha256).code == 0
        for number, uri in enumerate(("hsm:2", "hsm:3?label=securepip"), 1):
            said = repo(device, "rotate", "online", *keys[2:], "--new-key-uri", uri)
            assert f"new key: {uri}" in said, said
            newer = make_wheel(device.folder / "built", "app", f"2.{number}")
            assert "Published: app" in repo(device, "add", newer)
            assert device.install("-U", "app").code == 0
            assert device.version_of("app") == f"2.{number}"
        assert "old key, of no use any more: hsm:3" in repo(device, "rotate", "online", *keys)
        newer = make_wheel(device.folder / "built", "app", "3.0")
        assert "Published: app" in repo(device, "add", newer)
        assert device.install("-U", "app").code == 0
        assert device.version_of("app") == "3.0"
