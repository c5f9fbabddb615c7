"""A transaction lacks one property after the other: each is refused, and nothing is published."""

from __future__ import annotations

import errno
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.utils import NormalizedName
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, TargetFile, Targets

from securepip.errors import FormatError, RefusedError, RepositoryStateError, SecurepipError
from securepip.formats.digests import sha256_of
from securepip.formats.page import PageFile
from securepip.signing.claims.transactions.accept import accept
from securepip.signing.claims.transactions.archive import Archive, open_archive, write_archive
from securepip.signing.claims.transactions.check import Property, check
from securepip.signing.claims.transactions.compose import (
    Draft,
    draft,
    with_files,
    withdrawn,
    yanked,
)
from securepip.signing.claims.transactions.state import state_in
from securepip.signing.publish.add import read_distribution
from securepip.signing.repository.commit import now
from securepip.signing.repository.register import Register
from tests.signing.clients import fetch_everything, read_plainly
from tests.support.maintainers import Maintainers
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel

APP = NormalizedName("app")
ROLE = "metadata/project.app.json"
PAGE = "targets/simple/app/index.json"

Edit = Callable[[Draft], Draft | None]


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path / "dist", "app", "3.0", requires=["lib"])


def prepared(made: MadeRepository, *files: Path) -> Draft:
    """The transaction that adds ``files``, unsigned."""
    read = [read_distribution(path, now()) for path in files]
    state = state_in(made.repository, APP)
    return draft(state, with_files(state.page, read), [each.new for each in read])


def files_of(made: Draft, edit: Callable[[list[dict[str, Any]]], object]) -> Draft:
    """The same, its page edited and signed for as it is then."""
    page = json.loads(made.page_bytes)
    edit(page["files"])
    return with_page(made, json.dumps(page).encode())


def with_page(made: Draft, data: bytes) -> Draft:
    path = "simple/app/index.json"
    made.role.signed.targets[path] = TargetFile(len(data), {"sha256": sha256_of(data)}, path)
    return replace(made, page_bytes=data)


def refuse(made: MadeRepository, path: Path, failed: Property | None) -> SecurepipError:
    """See to it that ``path`` is refused for that reason, and nothing has changed."""
    snapshot = made.repository.roles().snapshot.signed.version
    plain = read_plainly(made.folder)
    with pytest.raises(RefusedError if failed else SecurepipError) as refused:
        accept(made.repository, path)
    if failed:
        assert failed.value in refused.value.meaning, refused.value
        assert refused.value.exit_code == 3
    assert made.repository.roles().snapshot.signed.version == snapshot
    assert read_plainly(made.folder) == plain
    return refused.value


def test_a_release_is_published_whole(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    sdist = make_sdist(tmp_path / "dist", "app", "3.0")
    done = accept(claimed.repository, alice.release(claimed, "app", tmp_path, wheel, sdist))
    assert done.checked is not None
    assert done.checked.added == [wheel.name, sdist.name]
    targets = fetch_everything(claimed.folder, tmp_path / "client")
    assert {f"packages/app/{wheel.name}", f"packages/app/{sdist.name}"} <= targets
    assert {wheel.name, sdist.name} <= read_plainly(claimed.folder)
    assert (claimed.folder / "packages" / "app" / f"{wheel.name}.metadata").exists()
    # Only what is the project's own was signed anew: no bin, and nothing of the online key's.
    assert done.published is not None
    assert done.published.signed == ("project.app", "snapshot", "timestamp")


def test_a_transaction_that_was_accepted_is_accepted_again_without_a_word(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    path = alice.release(claimed, "app", tmp_path, wheel)
    accept(claimed.repository, path)
    assert accept(claimed.repository, path).checked is None


def test_yanking_and_withdrawing_are_transactions_like_any_other(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    def page_files() -> dict[str, PageFile]:
        page = claimed.repository.page(APP)
        assert page is not None
        return {file.filename: file for file in page.files}

    def change(edit: Callable[..., Any], *words: Any) -> None:
        path = alice.change(claimed, "app", tmp_path, lambda page: edit(page, *words))
        accept(claimed.repository, path)

    change(yanked, "1.0", "broken")
    assert page_files()["app-1.0-py3-none-any.whl"].yanked == "broken"
    change(yanked, "app-1.0-py3-none-any.whl", None)
    assert page_files()["app-1.0-py3-none-any.whl"].yanked is None
    change(withdrawn, "2.0")
    assert list(page_files()) == ["app-1.0-py3-none-any.whl"]
    assert not list((claimed.folder / "packages" / "app").glob("*2.0*"))
    fetch_everything(claimed.folder, tmp_path / "client")


# 1: a threshold of the registered keys.


def test_too_few_signatures_are_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    made = prepared(claimed, wheel)
    path = tmp_path / "unsigned.zip"
    made.write(path)
    error = refuse(claimed, path, Property.THRESHOLD)
    assert f"sign add-signature {path}" in error.remedy


# 2: valid signatures.


def test_a_key_that_is_not_registered_is_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    made = prepared(claimed, wheel)
    made.role.sign(CryptoSigner.generate_ed25519())
    refuse(claimed, alice.write(made, tmp_path), Property.SIGNATURES)


def test_a_signature_of_other_bytes_is_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    made = prepared(claimed, wheel)
    made.sign(alice.ring())
    made.role.signed.expires += timedelta(days=1)
    path = tmp_path / "changed.zip"
    made.write(path)
    refuse(claimed, path, Property.SIGNATURES)


# 3: nothing expired.


def test_a_role_that_has_expired_is_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    made = prepared(claimed, wheel)
    made.role.signed.expires = now() - timedelta(seconds=1)
    refuse(claimed, alice.write(made, tmp_path), Property.EXPIRY)


# 4: metadata and targets are consistent.


def _other_page(made: Draft) -> Draft:
    return replace(made, page_bytes=made.page_bytes + b" ")


def _page_without_file(made: Draft) -> Draft:
    return files_of(made, lambda files: files.pop())


def _page_with_unsigned_file(made: Draft) -> Draft:
    made.role.signed.targets.popitem()
    return made


def _two_hashes(made: Draft) -> Draft:
    target = made.role.signed.targets["packages/app/app-3.0-py3-none-any.whl"]
    target.hashes["sha512"] = "0" * 128
    return made


def _other_length(made: Draft) -> Draft:
    made.role.signed.targets["packages/app/app-3.0-py3-none-any.whl"].length += 1
    return files_of(made, lambda files: files[-1].update(size=files[-1]["size"] + 1))


def _other_requires_python(made: Draft) -> Draft:
    return files_of(made, lambda files: files[-1].update({"requires-python": ">=2"}))


def _other_core_metadata(made: Draft) -> Draft:
    return files_of(made, lambda files: files[-1].update({"core-metadata": {"sha256": "0" * 64}}))


def _elsewhere(made: Draft) -> Draft:
    url = "https://elsewhere.example.org/app-3.0-py3-none-any.whl"
    return files_of(made, lambda files: files[-1].update(url=url))


def _changed_old_file(made: Draft) -> Draft:
    return files_of(made, lambda files: files[0].update({"requires-python": ">=2"}))


def _no_page(made: Draft) -> Draft:
    del made.role.signed.targets["simple/app/index.json"]
    return made


def _other_metadata_file(made: Draft) -> Draft:
    return replace(made, files=(replace(made.files[0], core_metadata=b"Name: x\n"),))


def _more_on_the_page(made: Draft) -> Draft:
    return files_of(made, lambda files: files[0].update({"gpg-sig": [[[True]]]}))


def _not_there(made: Draft) -> Draft:
    return replace(made, files=())


@pytest.mark.parametrize(
    "edit",
    [
        _other_page,
        _page_without_file,
        _page_with_unsigned_file,
        _two_hashes,
        _other_length,
        _other_requires_python,
        _other_core_metadata,
        _elsewhere,
        _changed_old_file,
        _no_page,
        _other_metadata_file,
        _more_on_the_page,
        _not_there,
    ],
)
def test_what_does_not_fit_together_is_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path, edit: Edit
) -> None:
    made = edit(prepared(claimed, wheel))
    assert made is not None
    refuse(claimed, alice.write(made, tmp_path), Property.CONSISTENT)


def test_a_file_with_other_bytes_than_its_role_signs_for_is_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    made = prepared(claimed, wheel)
    make_wheel(tmp_path / "dist", "app", "3.0", requires=["evil"])
    refuse(claimed, alice.write(made, tmp_path), Property.CONSISTENT)


def test_a_published_file_cannot_get_other_bytes(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    other = make_wheel(tmp_path / "dist", "app", "2.0", requires=["evil"])
    state = state_in(claimed.repository, APP)
    read = read_distribution(other, now())
    page = with_files(replace(state.page, files=state.page.files[:1]), [read])
    made = draft(state, page, [read.new])
    refuse(claimed, alice.write(made, tmp_path), Property.CONSISTENT)
    # Nor in two steps: what was signed once is remembered when it is gone.
    accept(
        claimed.repository,
        alice.change(claimed, "app", tmp_path, lambda page: withdrawn(page, "2.0")),
    )
    path = alice.release(claimed, "app", tmp_path, other)
    with pytest.raises(RepositoryStateError, match="signed before with other bytes"):
        accept(claimed.repository, path)


@pytest.mark.parametrize("where", ["role", "signed", "target", "signature"])
def test_fields_that_nobody_knows_are_refused(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path, where: str
) -> None:
    made = prepared(claimed)
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    more = {"x": deep}
    target = made.role.signed.targets["simple/app/index.json"]
    if where == "signed":
        made.role.signed.unrecognized_fields.update(more)
    elif where == "target":
        target.unrecognized_fields.update({"custom": more})
    made.sign(alice.ring())
    if where == "role":
        made.role.unrecognized_fields.update(more)
    elif where == "signature":
        next(iter(made.role.signatures.values())).unrecognized_fields.update(more)
    path = tmp_path / "odd.zip"
    made.write(path)
    refuse(claimed, path, Property.CONSISTENT)


# 5: no delegation of what is not one's own.


def test_a_role_that_delegates_is_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    made = prepared(claimed, wheel)
    key = CryptoSigner.generate_ed25519().public_key
    role = DelegatedRole("project.lib", [key.keyid], 1, True, paths=["simple/lib/*"])
    made.role.signed.delegations = Delegations({key.keyid: key}, {role.name: role})
    refuse(claimed, alice.write(made, tmp_path), Property.DELEGATIONS)


# 6: no signature for what is not one's own.


@pytest.mark.parametrize(
    "path",
    [
        "packages/lib/lib-9.0-py3-none-any.whl",
        "simple/lib/index.json",
        "simple/app/other.json",
        "packages/app/../lib/lib-1.0-py3-none-any.whl",
        "packages/app/.hidden",
        "packages/app/sub/app-3.0-py3-none-any.whl",
        "index.json",
    ],
)
def test_a_target_of_somebody_else_is_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path, path: str
) -> None:
    made = prepared(claimed, wheel)
    made.role.signed.targets[path] = TargetFile(1, {"sha256": "0" * 64}, path)
    refuse(claimed, alice.write(made, tmp_path), Property.TARGETS)


def test_a_file_of_another_project_is_refused(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    lib = make_wheel(tmp_path / "dist", "lib", "9.0")
    state = state_in(claimed.repository, APP)
    read = read_distribution(lib, now())
    file = read.page_file._replace(url=f"../../packages/app/{lib.name}")
    page = replace(state.page, files=(*state.page.files, file))
    made = draft(state, page, [replace(read.new, project=APP)])
    refuse(claimed, alice.write(made, tmp_path), Property.TARGETS)


# And versions only go up.


@pytest.mark.parametrize("change", [-1, 0, 2, 1 << 40])
def test_a_version_that_does_not_follow_is_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path, change: int
) -> None:
    accept(claimed.repository, alice.change(claimed, "app", tmp_path, lambda page: page))
    made = prepared(claimed, wheel)
    # Far ahead too: nobody could ever publish again (a fast-forward attack).
    made.role.signed.version += change - 1
    refuse(claimed, alice.write(made, tmp_path), Property.VERSION)


def test_one_of_two_releases_from_one_state_is_refused_and_says_what_to_do(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    first = alice.release(claimed, "app", tmp_path, wheel)
    second = alice.release(claimed, "app", tmp_path, make_wheel(tmp_path / "dist", "app", "4.0"))
    accept(claimed.repository, first)
    assert "Make the transaction again" in refuse(claimed, second, Property.VERSION).remedy


# What the operator decides.


def test_nothing_of_a_frozen_project_is_accepted_until_it_is_thawed(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    path = alice.release(claimed, "app", tmp_path, wheel)
    Register(claimed.repository).freeze(APP, "a key was stolen")
    error = refuse(claimed, path, None)
    assert "app is frozen (a key was stolen)" in error.what
    fetch_everything(claimed.folder, tmp_path / "client")
    assert Register(claimed.repository).thaw(APP)
    accept(claimed.repository, path)


def test_a_project_that_is_not_claimed_has_nothing_to_hand_in(
    made: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    state = state_in(made.repository, APP)
    made_draft = draft(state, state.page, holders=alice.holders)
    path = alice.write(replace(made_draft, statement=None), tmp_path)
    assert "does not sign for itself" in refuse(made, path, None).what


# Files made to do harm.


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    "name",
    [
        "targets/packages/app/../../../../evil.whl",
        "/etc/passwd",
        "targets/packages/lib/lib-1.0-py3-none-any.whl",
        "targets/packages/app/.ssh",
        "targets/packages/app/a\\b.whl",
        "metadata/project.lib.json",
        "metadata/targets.json",
        "extra",
        "targets/packages/app/\u202eappl.whl",
    ],
)
def test_a_member_that_nobody_expects_is_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path, name: str
) -> None:
    path = alice.release(claimed, "app", tmp_path, wheel)
    write_archive(path, [*members(path).items(), (name, b"evil")])
    refuse(claimed, path, None)


def test_a_spare_distribution_is_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    path = alice.release(claimed, "app", tmp_path, wheel)
    spare = "targets/packages/app/app-9.0-py3-none-any.whl"
    write_archive(path, [*members(path).items(), (spare, b"evil")])
    refuse(claimed, path, Property.CONSISTENT)


def test_two_members_of_one_name_are_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    path = alice.release(claimed, "app", tmp_path, wheel)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(PAGE, b"evil")
    assert "two members" in refuse(claimed, path, None).what


def _bomb(size: int) -> bytes:
    return bytes(size)


@pytest.mark.parametrize("member", [ROLE, "metadata/keys.json", PAGE])
def test_a_zip_bomb_is_read_no_further_than_what_is_expected(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path, member: str
) -> None:
    path = alice.release(claimed, "app", tmp_path, wheel)
    contents = members(path) | {member: _bomb(40 << 20)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    assert "more than" in refuse(claimed, path, None).what


@pytest.mark.parametrize("place", ["read", "extract"])
def test_a_disk_that_fails_here_is_not_told_as_a_fault_of_the_maintainers(
    claimed: MadeRepository,
    alice: Maintainers,
    wheel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    path = alice.release(claimed, "app", tmp_path, wheel)
    opened = Archive._open

    def failing(self: Archive, member: str) -> zipfile.ZipExtFile:
        if member.endswith(".whl") == (place == "extract"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/there")
        return opened(self, member)

    monkeypatch.setattr(Archive, "_open", failing)
    told = refuse(claimed, path, None)
    assert told.exit_code == 1
    assert told.what == "/there cannot be used: No space left on device"


def test_a_distribution_that_unpacks_to_more_than_was_signed_is_refused(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    path = alice.release(claimed, "app", tmp_path, wheel)
    contents = members(path)
    name = f"targets/packages/app/{wheel.name}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in (contents | {name: contents[name] + _bomb(40 << 20)}).items():
            archive.writestr(member, data)
    assert "has more than" in refuse(claimed, path, Property.CONSISTENT).what


def test_a_bomb_that_was_signed_is_not_unpacked(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    # A wheel of zeros at its end, signed by a maintainer: it would fill the operator's disk.
    bomb = make_wheel(tmp_path / "dist", "app", "3.0", files={"app/zeros": bytes(20 << 20)})
    with zipfile.ZipFile(bomb) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(bomb, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    path = alice.release(claimed, "app", tmp_path, bomb)
    contents = members(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    assert "a zip bomb" in refuse(claimed, path, Property.CONSISTENT).what


def test_nothing_is_unpacked_of_who_does_not_have_the_keys(
    claimed: MadeRepository,
    wheel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mallory = Maintainers.of(1)
    made = replace(prepared(claimed, wheel), holders=mallory.holders)
    path = mallory.write(made, tmp_path)
    monkeypatch.setattr(
        "securepip.signing.claims.transactions.archive.Archive.extract",
        lambda *_: pytest.fail("a file was read"),
    )
    refuse(claimed, path, Property.SIGNATURES)


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"not a zip", b"{}", b"PK\x05\x06" + b"\xff" * 18],
    ids=["empty", "short", "text", "json", "no-end"],
)
def test_what_is_no_transaction_is_refused(
    claimed: MadeRepository, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "odd.zip"
    path.write_bytes(data)
    with pytest.raises(FormatError):
        accept(claimed.repository, path)
    with pytest.raises(FormatError):
        accept(claimed.repository, tmp_path / "missing.zip")


@pytest.mark.parametrize(
    "data", [b"{}", b"[]", b"\xff", b'{"signed": {"_type": "root"}}', b"[" * 9999]
)
def test_a_role_that_cannot_be_read_is_refused(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "odd.zip"
    write_archive(path, [(ROLE, data), (PAGE, b"{}")])
    refuse(claimed, path, Property.SIGNATURES)


def test_metadata_of_another_kind_is_refused(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    snapshot: Metadata[Any] = claimed.repository.roles().snapshot
    path = tmp_path / "odd.zip"
    write_archive(path, [(ROLE, snapshot.to_bytes()), (PAGE, b"{}")])
    refuse(claimed, path, Property.SIGNATURES)


def test_a_list_of_members_that_fills_the_memory_is_not_read(
    claimed: MadeRepository, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(ROLE, b"{}")
    data = bytearray(buffer.getvalue())
    start = data.rindex(b"PK\x05\x06")
    # The end record says that the list has 60 MB, and they are there.
    padding = 60 << 20
    data[start + 12 : start + 16] = (padding).to_bytes(4, "little")
    path = tmp_path / "long.zip"
    path.write_bytes(bytes(data[:start]) + bytes(padding) + bytes(data[start:]))
    with pytest.raises(FormatError, match="too long"):
        accept(claimed.repository, path)


def test_an_empty_signed_role_cannot_hide_the_files_of_the_project(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    state = state_in(claimed.repository, APP)
    made = draft(state, state.page)
    made = replace(made, role=Metadata(Targets(made.role.signed.version)))
    made.role.signed.expires = now() + timedelta(days=1)
    refuse(claimed, alice.write(made, tmp_path), Property.CONSISTENT)


@given(data=st.data())
@settings(max_examples=60)
def test_a_transaction_with_any_byte_changed_is_refused_or_the_same(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path, data: st.DataObject
) -> None:
    good = tmp_path / "good.zip"
    if not good.exists():
        alice.release(claimed, "app", tmp_path, wheel).rename(good)
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    path = tmp_path / "odd.zip"
    path.write_bytes(content)
    state = state_in(claimed.repository, APP)
    try:
        with open_archive(path) as archive, TemporaryDirectory() as folder:
            checked = check(archive, state, alice.holders, Path(folder))
    except SecurepipError:
        return
    with open_archive(good) as archive, TemporaryDirectory() as folder:
        same = check(archive, state, alice.holders, Path(folder))
    assert (checked.role, checked.page_bytes) == (same.role, same.page_bytes)
