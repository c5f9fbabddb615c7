"""Key rings: where keys are found, who is asked for their secrets, and the errors of keys."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from filelock import FileLock
from securesystemslib.exceptions import StorageError as AnErrorOfTheLibrary
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import (
    AWSSigner,
    AzureSigner,
    CryptoSigner,
    GCPSigner,
    HSMSigner,
    Key,
    Signature,
    Signer,
    SSlibKey,
    VaultSigner,
)
from tuf.api.metadata import (
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
)
from tuf.api.serialization import SerializationError

from securepip.dirs import data_dir
from securepip.errors import FormatError, RepositoryStateError, UsageError
from securepip.formats.digests import Sha256, sha256_of
from securepip.signing.keys import encrypted, maintainer, memory
from securepip.signing.keys import ring as keys
from securepip.signing.keys.canonical import CANONICAL, COMPACT, add_signature, sign_anew
from securepip.signing.keys.memory import Remembered, check_owner, recall, remembering

SIGNER = CryptoSigner.generate_ed25519()
KEY: Key = SIGNER.public_key
OURS, OTHER = Sha256("a" * 64), Sha256("b" * 64)
DIGESTS = [Sha256(letter * 64) for letter in "cdef"]


def ring(*folders: Path, at: str | None = None, secret: bytes = b"sesame") -> keys.KeyRing:
    """Makes a key ring over folders; ``at`` is the key's default place."""
    return keys.KeyRing(folders, {KEY.keyid: at} if at else {}, lambda: secret)


# Files.


def test_a_file_of_keys_is_private_and_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "deep" / "keys"
    waited: list[int] = []
    monkeypatch.setattr("os.fsync", lambda number: waited.append(os.fstat(number).st_size))
    keys.store(folder, [("online", SIGNER)], None)
    (path,) = folder.iterdir()
    assert waited == [path.stat().st_size], "a power cut takes no key that was signed for"
    assert path.name == f"online.{KEY.keyid}.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    for each in (folder, folder.parent):
        assert each.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    before = path.read_bytes()
    with pytest.raises(RepositoryStateError, match="keys cannot be written to"):
        keys.store(folder, [("online", SIGNER)], b"another form")
    assert path.read_bytes() == before
    assert folder.stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(RepositoryStateError, match="keys cannot be written to"):
        keys.store(tmp_path / "file", [], None)
    for character in "?#;":
        with pytest.raises(RepositoryStateError, match="keys cannot be kept"):
            keys.store(tmp_path / f"a{character}b", [], None)


def test_a_file_is_found_by_the_id_of_its_key_and_opened_with_its_passphrase(
    tmp_path: Path,
) -> None:
    folder, secret = tmp_path / "keys", b"\xff\xfe odd"
    keys.store(folder, [("online", SIGNER)], secret)
    uri = keys.file_uri(folder, KEY.keyid)
    assert uri == f"encrypted-file:{folder}/online.{KEY.keyid}.pem"
    other = CryptoSigner.generate_ed25519()
    assert keys.file_uris(folder, [SIGNER, other]) == {KEY.keyid: uri}
    assert keys.file_uri(folder, "*") is None
    assert ring(secret=secret).public_key(uri) == (uri, KEY)
    assert ring(folder, secret=secret).find(KEY) is not None
    with pytest.raises(RepositoryStateError, match="cannot be loaded"):
        ring(folder, secret=b"wrong").find(KEY)
    (folder / f"x.{other.public_key.keyid}.pem").mkdir()
    with pytest.raises(RepositoryStateError, match="cannot be read"):
        keys.file_uri(folder, other.public_key.keyid)


@pytest.mark.parametrize("can_be_written", [True, False])
def test_a_file_of_an_older_form_signs_and_is_written_anew_where_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_be_written: bool
) -> None:
    folder = tmp_path / "keys"
    keys.store(folder, [("online", SIGNER)], None)
    (path,) = folder.iterdir()
    private = load_pem_private_key(path.read_bytes(), None)
    weak = BestAvailableEncryption(b"sesame")
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, weak))
    before = path.read_bytes()
    assert encrypted.is_outdated(before)
    assert encrypted.is_outdated(b"something else")
    if not can_be_written:

        def fails(path: Path, data: bytes) -> None:
            raise OSError("read-only")

        monkeypatch.setattr(keys, "replace_file", fails)
    assert ring(folder).find(KEY) is not None
    assert (path.read_bytes() == before) != can_be_written


def test_a_key_that_needs_a_passphrase_is_not_opened_without_one(tmp_path: Path) -> None:
    keys.store(tmp_path / "keys", [("online", SIGNER)], b"sesame")
    uri = keys.file_uri(tmp_path / "keys", KEY.keyid)
    assert uri is not None
    with pytest.raises(ValueError, match="needs a passphrase"):
        keys.EncryptedFileSigner.from_priv_key_uri(uri, KEY, None)

    class OtherKey(SSlibKey):
        pass

    class NoKeyOfTheLibrary:
        keyid = KEY.keyid

    with pytest.raises(ValueError, match="needs a passphrase"):
        keys.EncryptedFileSigner.from_priv_key_uri(uri, NoKeyOfTheLibrary(), lambda _: "sesame")  # type: ignore[arg-type] # it is none
    with pytest.raises(RepositoryStateError, match="no passphrase"):
        keys.KeyRing([tmp_path / "keys"], {}, keys.no_passphrase).find(KEY)
    with pytest.raises(RepositoryStateError, match="no passphrase"):
        keys.KeyRing((), {}, keys.no_passphrase).public_key(uri)


@pytest.mark.parametrize(
    ("value", "data"), [(1, "01"), (127, "7f"), (128, "0080"), (255, "00ff"), (256, "0100")]
)
def test_a_number_is_written_as_a_positive_one(value: int, data: str) -> None:
    assert encrypted._number(value).hex() == data


@pytest.mark.parametrize(
    ("size", "head"), [(127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100")]
)
def test_a_length_is_written_as_the_standard_says(size: int, head: str) -> None:
    data = encrypted._der(0x04, bytes(size))
    assert data.hex().startswith(head)
    assert len(data) == len(bytes.fromhex(head)) + size


def test_the_cost_of_a_guess_is_what_is_said_of_it(tmp_path: Path) -> None:
    clear = SIGNER.private_bytes
    once, twice = (encrypted.encrypt(clear, b"sesame") for _ in range(2))
    assert once != twice, "each has a salt of its own"
    assert max(map(len, once.splitlines())) == 64
    der = encrypted._PEM.fullmatch(once)
    assert der is not None
    assert (encrypted._COST, encrypted._BLOCK, encrypted._PARALLEL) == (16384, 8, 5)
    assert load_pem_private_key(once, b"sesame") is not None
    head = once[: encrypted.ENCRYPTED_HEAD_BYTES]
    assert encrypted.is_encrypted(head)
    assert not encrypted.is_encrypted(head[:-1])


# The ring.


def test_folders_come_before_what_is_remembered_and_a_file_that_is_gone_is_none(
    tmp_path: Path,
) -> None:
    for name in ("first", "second"):
        keys.store(tmp_path / name, [("online", SIGNER)], None)
    place = f"{{}}/online.{KEY.keyid}.pem"
    first = "file2:" + place.format(tmp_path / "first")
    second = "file2:" + place.format(tmp_path / "second")
    assert ring(tmp_path / "first", tmp_path / "second").uri(KEY.keyid) == first
    assert ring(tmp_path / "second", at=first).uri(KEY.keyid) == second
    assert ring(at=first).uri(KEY.keyid) == first
    for gone in (f"file2:{tmp_path}/gone", f"encrypted-file:{tmp_path}/gone"):
        assert ring(at=gone).uri(KEY.keyid) is None
        assert not ring(at=gone).has(KEY.keyid)
        assert ring(at=gone).find(KEY) is None
    assert ring(at="awskms:x").uri(KEY.keyid) == "awskms:x"
    keys.store(tmp_path / "with:colon", [("online", SIGNER)], None)
    odd = "file2:" + place.format(tmp_path / "with:colon")
    assert ring(at=odd).uri(KEY.keyid) == odd
    assert ring(at=odd).find(KEY) is not None
    assert ring().public_key(odd)[0].removeprefix("file2:") == odd.removeprefix("file2:")
    empty = ring()
    assert not empty.has(KEY.keyid)
    empty.remember({KEY.keyid: first})
    assert empty.has(KEY.keyid)
    found = empty.find(KEY)
    assert found is not None
    (tmp_path / "first" / f"online.{KEY.keyid}.pem").unlink()
    assert empty.has(KEY.keyid)
    assert empty.find(KEY) is found, "it is loaded once"
    fresh = ring()
    fresh.add(SIGNER)
    assert fresh.has(KEY.keyid)
    assert fresh.find(KEY) is SIGNER


def test_where_a_key_is_stays_known_when_others_are_remembered() -> None:
    known = keys.KeyRing((), {"one": "hsm:1"}, keys.no_passphrase)
    known.remember({"two": "hsm:2"})
    known.remember({"one": "hsm:3"})
    assert [known.uri(each) for each in ("one", "two", "three")] == ["hsm:3", "hsm:2", None]


@pytest.mark.parametrize(
    "error",
    [
        OSError("x"),
        ValueError("x"),
        TypeError("x"),
        UnsupportedAlgorithm("x"),
        AnErrorOfTheLibrary("x"),
    ],
    ids=repr,
)
def test_a_key_that_cannot_be_loaded_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*arguments: object) -> Signer:
        raise error

    monkeypatch.setattr(Signer, "from_priv_key_uri", staticmethod(fails))
    with pytest.raises(RepositoryStateError, match="the key hv:online cannot be loaded: x") as said:
        ring(at="hv:online").find(KEY)
    assert "--passphrase-file" in said.value.remedy


@pytest.mark.parametrize(("scheme", "extra"), [("hv", "hashivault"), ("awskms", "awskms")])
def test_a_key_service_that_is_not_installed_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, scheme: str, extra: str
) -> None:
    def fails(*arguments: object) -> Signer:
        raise UnsupportedLibraryError("no library")

    uri = f"{scheme}:own:online"
    for place, name in (
        (Signer, "from_priv_key_uri"),
        (VaultSigner, "import_"),
        (AWSSigner, "import_"),
    ):
        monkeypatch.setattr(place, name, staticmethod(fails))
    for ask in (lambda: ring(at=uri).find(KEY), lambda: ring().public_key(uri)):
        with pytest.raises(RepositoryStateError, match="cannot be reached: no library") as said:
            ask()
        assert said.value.remedy.endswith(f"source: python -m pip install '.[{extra}]'")


def _asked(monkeypatch: pytest.MonkeyPatch, kind: type, uri: str) -> tuple[object, ...]:
    asked: list[tuple[object, ...]] = []

    def imported(*arguments: object) -> tuple[str, Key]:
        asked.append(tuple(each for each in arguments if not callable(each)))
        return uri, KEY

    monkeypatch.setattr(kind, "import_", staticmethod(imported))
    assert ring().public_key(uri) == (uri, KEY)
    (found,) = asked
    return found


@pytest.mark.parametrize(
    ("kind", "uri", "arguments"),
    [
        (HSMSigner, "hsm:", (None, None)),
        (HSMSigner, "hsm:2", (2, None)),
        (HSMSigner, "hsm:2?label=yubikey", (2, "yubikey")),
        (HSMSigner, "hsm:?label=yubikey", (None, "yubikey")),
        (AWSSigner, "awskms:arn:aws:kms:1:key/2", ("arn:aws:kms:1:key/2",)),
        (GCPSigner, "gcpkms:projects/p:1", ("projects/p:1",)),
        (AzureSigner, "azurekms://v.vault.azure.net/keys/online/1", ("v", "online")),
        (AzureSigner, "azurekms://v.vault.azure.net/keys/online", ("v", "online")),
        (VaultSigner, "hv:online/1", ("online",)),
        (VaultSigner, "hv:on:line/1", ("on:line",)),
    ],
)
def test_each_kind_of_uri_is_asked_for_the_key_that_it_names(
    monkeypatch: pytest.MonkeyPatch, kind: type, uri: str, arguments: tuple[object, ...]
) -> None:
    assert _asked(monkeypatch, kind, uri) == arguments


def test_what_a_device_says_is_passed_on_and_a_wrong_uri_is_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*arguments: object) -> Signer:
        raise KeyError("no such slot")

    monkeypatch.setattr(HSMSigner, "import_", staticmethod(fails))
    with pytest.raises(RepositoryStateError, match=r"the key hsm: cannot be reached: KeyError: "):
        ring().public_key("hsm:")

    def asks(*arguments: object) -> Signer:
        raise RepositoryStateError("nobody is there to type it")

    monkeypatch.setattr(HSMSigner, "import_", staticmethod(asks))
    with pytest.raises(RepositoryStateError, match=r"^nobody is there"):
        ring().public_key("hsm:")
    for uri in ("online", "https://packages.example.org", ""):
        with pytest.raises(UsageError, match="not the URI of a key") as said:
            ring().public_key(uri)
        assert "hsm:" in said.value.remedy


def test_a_person_is_asked_once_and_for_the_pin_where_it_is_a_device() -> None:
    asked: list[str] = []

    def asking(what: str) -> Callable[[], bytes]:
        def answer() -> bytes:
            asked.append(what)
            return what.encode()

        return answer

    pin = HSMSigner.SECRETS_HANDLER_MSG
    both = keys.KeyRing((), {}, asking("passphrase"), pin=asking("pin"))
    for _ in range(2):
        assert both._answer("passphrase") == "passphrase"
        assert both._answer(pin) == "pin"
    assert both._answer("something else") == "passphrase"
    assert asked == ["passphrase", "pin", "passphrase"]
    assert keys.KeyRing((), {}, asking("passphrase"))._answer(pin) == "passphrase"


# Public keys.


def written(edit: Callable[[dict[str, Any]], object]) -> Key:
    document = KEY.to_dict()
    document["keyval"] = dict(document["keyval"])
    edit(document)
    return SSlibKey.from_dict(sha256_of(str(encode_canonical(document)).encode()), document)


@pytest.mark.parametrize(
    "edit",
    [
        lambda key: key.update(more="x"),
        lambda key: key["keyval"].update(more="x"),
        lambda key: key.update(keytype="rsa"),
        lambda key: key.update(scheme="ecdsa-sha2-nistp256"),
        lambda key: key["keyval"].update(public="a" * 63),
        lambda key: key["keyval"].update(public="A" * 64),
        lambda key: key["keyval"].update(public="a" * 65),
    ],
)
def test_a_public_key_says_what_it_has_to_and_nothing_else(
    edit: Callable[[dict[str, Any]], object],
) -> None:
    assert keys.check_public_key(written(lambda key: None)) == KEY
    with pytest.raises(FormatError, match="not a public key of a kind"):
        keys.check_public_key(written(edit))


def test_a_public_key_whose_value_is_no_mapping_or_no_text_is_none() -> None:
    for value in (["public"], {"public": 1}, {"public": None}):
        odd = SSlibKey(KEY.keyid, "ed25519", "ed25519", {"public": "a"})
        odd.keyval = value  # type: ignore[assignment] # what a file may hold
        with pytest.raises(FormatError, match="of a kind that all clients know"):
            keys.check_public_key(odd)
    twin = SSlibKey("0" * 64, KEY.keytype, KEY.scheme, KEY.keyval)
    with pytest.raises(FormatError, match="an id that is not its own"):
        keys.check_public_key(twin)


def test_a_public_key_is_handed_around_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "alice.json"
    maintainer.write_public(KEY, path)
    assert maintainer.read_public(path) == KEY
    document = json.loads(path.read_text())
    assert document["keyid"] == KEY.keyid
    for odd in (
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 9999 + b"]",
        json.dumps(document | {"keyid": 1}).encode(),
        json.dumps({key: document[key] for key in document if key != "keyid"}).encode(),
        json.dumps({key: document[key] for key in document if key != "keytype"}).encode(),
        json.dumps(document | {"keyval": 1}).encode(),
    ):
        path.write_bytes(odd)
        with pytest.raises(FormatError):
            maintainer.read_public(path)
    path.write_bytes(json.dumps(document).encode() + b" " * (64 << 10))
    assert maintainer.read_public(path) == KEY
    path.write_bytes(b" " * (64 << 10) + json.dumps(document).encode())
    with pytest.raises(FormatError):
        maintainer.read_public(path)
    with pytest.raises(UsageError, match="cannot be read"):
        maintainer.read_public(tmp_path / "gone.json")
    with pytest.raises(RepositoryStateError, match="cannot be written"):
        maintainer.write_public(KEY, tmp_path / "gone" / "alice.json")


def test_a_maintainers_keys_are_listed_once_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert maintainer.own_keys([]) == []
    made = maintainer.generate(None, None)
    assert maintainer.default_folder() == data_dir() / "keys" / "maintainer"
    named = maintainer.generate(tmp_path / "keys", b"sesame")
    keys.store(tmp_path / "twin", [("maintainer", SIGNER)], None)
    assert maintainer.own_keys([tmp_path / "keys"]) == [named.keyid, made.keyid]
    assert _asked(monkeypatch, HSMSigner, "hsm:") == (None, None)
    assert maintainer.register(ring(), "hsm:") == KEY
    assert maintainer.register(ring(), "hsm:") == KEY
    assert maintainer.own_keys([tmp_path / "twin"]) == [KEY.keyid, made.keyid]
    opened = maintainer.open_keys([tmp_path / "keys"], lambda: b"sesame", lambda: b"1234")
    assert opened.uri(KEY.keyid) == "hsm:"
    assert opened._answer(HSMSigner.SECRETS_HANDLER_MSG) == "1234"
    for key in (made, named):
        assert opened.find(key) is not None
    listed = data_dir() / "maintainer-keys.json"
    assert listed.stat().st_mode & 0o777 == 0o600
    for damage in (b"", b"[]", b"\xff"):
        listed.write_bytes(damage)
        with pytest.raises(RepositoryStateError, match="cannot be read"):
            maintainer.own_keys([])
    listed.unlink()
    listed.mkdir()
    with pytest.raises(RepositoryStateError, match="cannot be read"):
        maintainer.own_keys([])


# Signatures.


class Broken(CryptoSigner):
    """A device that is no longer there."""

    def sign(self, payload: bytes) -> Signature:
        raise ValueError("no device")


def test_a_key_that_fails_while_it_signs_is_told_in_words() -> None:
    broken = Broken(SIGNER._private_key, SIGNER.public_key)
    with pytest.raises(RepositoryStateError, match="the role bins cannot be signed") as said:
        add_signature(Metadata(Targets()), broken, "bins")
    assert "passphrase or PIN" in said.value.remedy


FLOATS: list[tuple[str, Any]] = [
    ("role", Targets(unrecognized_fields={"x": [1]})),
    ("text", Targets(unrecognized_fields={"x": "a", "y": 1, "z": True})),
    ("letters", Targets(unrecognized_fields={"x": "é"})),
    ("lines", Targets(unrecognized_fields={"x": "a\nb"})),
    ("marks", Targets(unrecognized_fields={"x": 'a\\b"c'})),
    ("target", Targets(targets={"a": TargetFile(1, {"sha256": "0"}, "a", {"x": [None]})})),
    ("delegations", Targets(delegations=Delegations({KEY.keyid: KEY}, {}))),
    ("snapshot", Snapshot(unrecognized_fields={"x": {"y": 1}})),
    ("root", Root()),
]


@pytest.mark.parametrize("signed", [each for _, each in FLOATS], ids=[name for name, _ in FLOATS])
def test_whatever_a_role_holds_its_bytes_are_those_of_the_libraries(signed: Any) -> None:
    metadata: Metadata[Any] = Metadata(signed)
    assert CANONICAL.serialize(signed).decode() == encode_canonical(signed.to_dict())
    other = CryptoSigner.generate_ed25519()
    metadata.sign(other)
    written_bytes = sign_anew(metadata, [SIGNER], "x")
    assert written_bytes == metadata.to_bytes(COMPACT)
    assert list(metadata.signatures) == [KEY.keyid], "who has signed before is gone"
    add_signature(metadata, other, "x")
    assert len(metadata.signatures) == 2, "who signs beside leaves the others"
    odd = Metadata(signed, unrecognized_fields={"more": 1})
    assert sign_anew(odd, [SIGNER], "x") == odd.to_bytes(COMPACT)


@pytest.mark.parametrize(
    "field", [{"x": 1.0}, {"x": [1.5]}, {"x": {"y": 0.1}}], ids=["plain", "list", "mapping"]
)
def test_what_canonical_json_cannot_say_is_not_signed(field: dict[str, Any]) -> None:
    target = TargetFile(1, {"sha256": "0"}, "a", dict(field))
    listed = MetaFile(1, unrecognized_fields=dict(field))
    for signed in (
        Targets(unrecognized_fields=dict(field)),
        Targets(targets={"a": target}),
        Targets(delegations=Delegations({}, {}, unrecognized_fields=dict(field))),
        Snapshot(unrecognized_fields=dict(field)),
        Snapshot(meta={"a.json": listed}),
    ):
        with pytest.raises(SerializationError):
            CANONICAL.serialize(signed)


# The memory of a machine with offline keys.


def test_the_last_and_each_number_of_a_role_are_remembered() -> None:
    known = Remembered(seen={"bins": (3, DIGESTS[0]), "claimed": (9, DIGESTS[1])})
    assert known.last("bins") == (3, DIGESTS[0])
    assert known.last("nobody") == (0, None)
    for first, second in ((DIGESTS[0], DIGESTS[1]), (DIGESTS[1], DIGESTS[0])):
        both = Remembered(signed={"x": (1, first)}, seen={"x": (2, second)})
        assert both.last("x") == (2, second)
    known = known.with_signed("bins", 5, DIGESTS[1]).with_signed("bins", 4, DIGESTS[2])
    assert known.last("bins") == (5, DIGESTS[1])
    assert known.newest("bins") == 5
    assert known.newest("claimed") == 9
    assert known.with_signed("bins", 5, DIGESTS[3]).last("bins") == (5, DIGESTS[3])
    assert known.known("bins", 3) == {DIGESTS[0]}
    assert known.known("bins", 4) == {DIGESTS[2]}
    assert known.known("bins", 5) == {DIGESTS[1]}
    assert known.known("bins", 6) == frozenset()
    assert known.with_signed("bins", 3, DIGESTS[3]).known("bins", 3) == {DIGESTS[0], DIGESTS[3]}
    assert known.with_keys(["a"]).with_keys(["b", "a"]).keys == ("a", "b")


def test_no_key_signs_for_two_repositories() -> None:
    check_owner(["a", "b"], OURS)
    with remembering(OURS) as update:
        update.value = update.value.with_keys(["a"])
    check_owner(["a", "b"], OURS)
    check_owner(["b"], OTHER)
    with pytest.raises(RepositoryStateError, match="the key a has signed for another repository"):
        check_owner(["b", "a"], OTHER)
    assert recall(OTHER) is None


def test_what_fails_on_the_way_is_not_remembered_and_nobody_interferes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ZeroDivisionError), remembering(OURS) as update:
        update.value = Remembered(keys=("a",))
        _ = 1 // 0
    assert recall(OURS) is None
    with remembering(OURS):
        pass
    assert recall(OURS) == Remembered()
    path = data_dir() / "signed-at-ceremonies.json"
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(memory, "_LOCK_SECONDS", 0.02)
    with (
        FileLock(path.with_suffix(".lock")),
        pytest.raises(RepositoryStateError, match="another process is changing"),
        remembering(OURS),
    ):
        pass


@pytest.mark.parametrize(
    "entry",
    [
        {"signed": {"bins": [1, "no digest"]}},
        {"signed": {"bins": ["one", OURS]}},
        {"signed": {"bins": [1]}},
        {"signed": {"bins": 1}},
        {"signed": []},
        {"keys": 1},
        {"seen": None},
    ],
    ids=json.dumps,
)
def test_a_damaged_entry_of_the_memory_is_not_passed_over(entry: dict[str, object]) -> None:
    good: dict[str, object] = {"signed": {}, "seen": {}, "keys": [], "root": None}
    path = data_dir() / "signed-at-ceremonies.json"
    for each in (good, good | entry):
        path.write_text(json.dumps({"format": 2, "repositories": {OURS: each}}))
        if each == good:
            assert recall(OURS) == Remembered()
        else:
            with pytest.raises(RepositoryStateError, match="cannot be read"):
                recall(OURS)
    path.unlink()
    path.mkdir()
    with pytest.raises(RepositoryStateError, match="cannot be read"):
        recall(OURS)
