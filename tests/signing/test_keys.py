"""Key files: private, encrypted on request, found by their id."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from securesystemslib.signer import Signer

from securepip.errors import RepositoryStateError, UsageError
from securepip.signing.keys import ring as keys
from securepip.signing.keys.encrypted import is_outdated
from securepip.signing.publish.add import add
from securepip.signing.publish.create import create
from securepip.signing.repository.repository import Repository
from tests.support.wheels import make_wheel


@pytest.mark.usefixtures("quick_passphrases")
def test_encrypted_keys_sign_with_their_passphrase_only(tmp_path: Path) -> None:
    secret = "gräßlich geheim".encode()
    create(
        tmp_path / "repository",
        expected_files=1,
        online_keys=tmp_path / "online",
        offline_keys=tmp_path / "offline",
        passphrase=secret,
    )
    for path in (*(tmp_path / "online").iterdir(), *(tmp_path / "offline").iterdir()):
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        load_pem_private_key(path.read_bytes(), secret)
    wheel = make_wheel(tmp_path, "one", "1.0")
    with (
        Repository.open(tmp_path / "repository", passphrase=lambda: b"wrong") as repository,
        pytest.raises(RepositoryStateError, match="cannot be loaded"),
    ):
        add(repository, [wheel])
    with (
        Repository.open(tmp_path / "repository") as repository,
        pytest.raises(RepositoryStateError, match="no passphrase"),
    ):
        add(repository, [wheel])
    with Repository.open(tmp_path / "repository", passphrase=lambda: secret) as repository:
        assert add(repository, [wheel]).projects == ("one",)


def test_a_key_file_of_before_is_encrypted_anew_when_it_is_used(tmp_path: Path) -> None:
    """And any tool reads what was written: the form is the standard's."""
    (signer,) = keys.generate(tmp_path / "keys", ["online"], b"sesame")
    (path,) = (tmp_path / "keys").iterdir()
    private = load_pem_private_key(path.read_bytes(), b"sesame")
    weak = BestAvailableEncryption(b"sesame")
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, weak))
    path.chmod(0o600)
    uri = keys.file_uri(tmp_path / "keys", signer.public_key.keyid)
    assert uri is not None

    def use(passphrase: bytes) -> Signer | None:
        ring = keys.KeyRing((), {signer.public_key.keyid: uri}, lambda: passphrase)
        return ring.find(signer.public_key)

    assert use(b"sesame") is not None
    if openssl := shutil.which("openssl"):
        words = [openssl, "asn1parse", "-in", str(path)]
        described = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert "scrypt" in described
        assert "PBKDF2" not in described
        words = [openssl, "pkey", "-in", str(path), "-passin", "pass:sesame", "-pubout"]
        assert subprocess.run(words, capture_output=True, check=True).stdout == (
            private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
    assert not is_outdated(path.read_bytes())
    assert path.stat().st_mode & 0o777 == 0o600
    once = path.read_bytes()
    assert use(b"sesame") is not None
    assert path.read_bytes() == once
    with pytest.raises(RepositoryStateError, match="cannot be loaded"):
        use(b"another")


def test_keys_that_were_moved_are_found_in_the_folder_that_is_named(tmp_path: Path) -> None:
    create(
        tmp_path / "repository",
        expected_files=1,
        online_keys=tmp_path / "online",
        offline_keys=tmp_path / "offline",
    ).repository.ledger.close()
    (tmp_path / "online").rename(tmp_path / "elsewhere")
    wheel = make_wheel(tmp_path, "one", "1.0")
    with (
        Repository.open(tmp_path / "repository") as repository,
        pytest.raises(RepositoryStateError, match="0 of 1 keys are here"),
    ):
        add(repository, [wheel])
    with Repository.open(tmp_path / "repository", keys=[tmp_path / "elsewhere"]) as repository:
        assert add(repository, [wheel]).projects == ("one",)


def test_another_key_under_the_name_of_the_online_key_signs_nothing(tmp_path: Path) -> None:
    create(
        tmp_path / "repository",
        expected_files=1,
        online_keys=tmp_path / "online",
        offline_keys=tmp_path / "offline",
    ).repository.ledger.close()
    (online,) = (tmp_path / "online").iterdir()
    keys.generate(tmp_path / "other", ["other"], None)
    (other,) = (tmp_path / "other").iterdir()
    online.write_bytes(other.read_bytes())
    with (
        Repository.open(tmp_path / "repository") as repository,
        pytest.raises(RepositoryStateError, match="cannot be loaded"),
    ):
        add(repository, [make_wheel(tmp_path, "one", "1.0")])


def test_a_folder_whose_name_cannot_be_in_a_uri_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryStateError, match="cannot be kept"):
        keys.generate(tmp_path / "what?", ["online"], None)


def test_keys_get_folders_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    (tmp_path / "home" / "notes.txt").touch()
    with pytest.raises(RepositoryStateError, match="other things than keys"):
        keys.generate(tmp_path / "home", ["online"], None)
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o755
    with pytest.raises(RepositoryStateError, match="a folder each"):
        create(tmp_path / "new", online_keys=tmp_path / "keys", offline_keys=tmp_path / "keys")


@pytest.mark.parametrize(
    ("uri", "library", "extra"),
    [
        ("awskms:alias/packages", "boto3", "awskms"),
        ("gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k", "google.cloud.kms", "gcpkms"),
        ("azurekms://vault.vault.azure.net/keys/online", "azure.keyvault", "azurekms"),
        ("hv:online", "hvac", "hashivault"),
    ],
)
def test_a_key_service_says_which_extra_it_needs(uri: str, library: str, extra: str) -> None:
    try:
        there = importlib.util.find_spec(library) is not None
    except ModuleNotFoundError:
        there = False
    if there:
        pytest.skip(f"{library} is installed: it would be asked")
    ring = keys.KeyRing((), {}, keys.no_passphrase)
    with pytest.raises(RepositoryStateError) as refused:
        ring.public_key(uri)
    assert f"the key {uri} cannot be reached" in refused.value.what
    assert refused.value.remedy.endswith(f"source: python -m pip install '.[{extra}]'")


def test_a_key_file_is_found_by_its_uri(tmp_path: Path) -> None:
    (signer,) = keys.generate(tmp_path / "clear", ["online"], None)
    (secret,) = keys.generate(tmp_path / "secret", ["online"], b"sesame")
    ring = keys.KeyRing((), {}, lambda: b"sesame")
    for each, folder in ((signer, "clear"), (secret, "secret")):
        uri = keys.file_uri(tmp_path / folder, each.public_key.keyid)
        assert uri is not None
        place, key = ring.public_key(uri)
        assert (place, key.keyid) == (uri, each.public_key.keyid)
        ring.remember({key.keyid: place})
        assert ring.find(key) is not None
    with pytest.raises(UsageError, match="not the URI of a key"):
        ring.public_key("gopher:online")
