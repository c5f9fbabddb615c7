"""Each check of a transaction by itself, where others would stop what it is there to stop."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from packaging.utils import NormalizedName
from tuf.api.metadata import Metadata, TargetFile, Targets

from securepip.errors import (
    FormatError,
    RefusedError,
    RepositoryStateError,
    VerificationError,
)
from securepip.formats.digests import Sha256
from securepip.formats.page import PageFile, ProjectPage
from securepip.index import Store, VerifiedIndex
from securepip.signing.claims.promote import promote
from securepip.signing.claims.transactions import accept as accepting
from securepip.signing.claims.transactions import archive as archives
from securepip.signing.claims.transactions.accept import (
    Accepted,
    accept,
    check_statement,
    claim,
)
from securepip.signing.claims.transactions.archive import open_archive, write_archive
from securepip.signing.claims.transactions.check import Checked, check, is_signed_by
from securepip.signing.claims.transactions.compose import again, draft, select, yanked
from securepip.signing.claims.transactions.state import ProjectState, state_at, state_in
from securepip.signing.claims.transactions.statement import SignedStatement, Statement
from securepip.signing.publish.add import read_distribution
from securepip.signing.repository.claim_tree import Keyholders
from securepip.signing.repository.commit import now
from securepip.signing.repository.register import Register
from securepip.signing.repository.repository import Repository
from securepip.transport import Transport, TransportOptions
from securepip.trust import TrustStore
from securepip.updater import Session
from tests.signing_claims.test_accepting import PAGE, ROLE, members
from tests.support.maintainers import Maintainers
from tests.support.maintainers import claim as claim_project
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel

APP, LIB = NormalizedName("app"), NormalizedName("lib")
ODD = "packages/app/app-9.0.tar.gz"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path / "dist", "app", "3.0", requires=["lib"])


def checked_of(made: MadeRepository, path: Path, holders: Keyholders) -> Checked:
    with open_archive(path) as archive, TemporaryDirectory() as folder:
        return check(archive, state_in(made.repository, APP), holders, Path(folder))


# -------------------------------------------------------------------------- files


def test_an_archive_says_nothing_of_who_wrote_it_or_when(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    path = alice.release(claimed, "app", tmp_path, wheel)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.external_attr >> 16 == 0o100644


def test_no_piece_is_read_that_is_too_large_for_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_MAX_READ", 10)
    path = tmp_path / "long"
    path.write_bytes(b"x" * 100)
    with archives._Bounded(path) as file:
        assert [len(file.read(size)) for size in (None, -1, -5, 0, 3, 11)] == [11, 11, 11, 0, 3, 11]
        assert len(file.read()) == 11
        with pytest.raises(zipfile.BadZipFile, match="too long"):
            file.read(12)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({PAGE: b"{}"}, "holds no role of a project"),
        ({ROLE: b"{}", "metadata/project.lib.json": b"{}"}, "or more than one"),
        ({ROLE: b"{}", "targets/packages/app/.ssh": b""}, "not the name of a distribution"),
        ({ROLE: b"{}", "metadata/": b"", "targets/packages/app/": b""}, ""),
    ],
)
def test_an_archive_is_of_one_project_and_folders_are_no_members(
    tmp_path: Path, content: dict[str, bytes], words: str
) -> None:
    path = tmp_path / "odd.zip"
    write_archive(path, content.items())
    if words:
        with pytest.raises(FormatError, match=words), open_archive(path):
            pass
    else:
        with open_archive(path) as archive:
            assert (archive.project, archive.filenames) == (APP, [])


def test_a_member_that_is_damaged_is_said_to_be(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    path = alice.release(claimed, "app", tmp_path, wheel)
    data = bytearray(path.read_bytes())
    data[data.index(b'"_type"') + 1] ^= 1  # of the role, whose check sum is another one now
    path.write_bytes(data)
    with pytest.raises(FormatError, match="cannot be read: Bad CRC-32"):
        accept(claimed.repository, path)

    with pytest.raises(FormatError, match="there is no such file"):
        accept(claimed.repository, tmp_path / "missing.zip")


# ------------------------------------------------------------------------- checks


def test_a_distribution_that_is_damaged_is_said_to_be(tmp_path: Path) -> None:
    path, name = tmp_path / "damaged.zip", "app-9.0-py3-none-any.whl"
    content = {ROLE: b"{}", PAGE: b"{}", f"targets/packages/app/{name}": b"the bytes of a file"}
    write_archive(path, content.items())
    path.write_bytes(path.read_bytes().replace(b"the bytes", b"The bytes"))
    with open_archive(path) as archive, pytest.raises(FormatError, match="Bad CRC-32"):
        archive.extract(name, 19, tmp_path / "copy")


@pytest.mark.parametrize("levels", [150, 500, 5000])
def test_a_role_that_is_nested_without_end_is_refused(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path, levels: int
) -> None:
    path = alice.change(claimed, "app", tmp_path, lambda page: page)
    content = members(path)
    deep = b"[" * levels + b"]" * levels
    content[ROLE] = content[ROLE].replace(b'"_type"', b'"x":' + deep + b',"_type"', 1)
    write_archive(path, content.items())
    with pytest.raises(RefusedError):
        accept(claimed.repository, path)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda targets: targets.pop("simple/app/index.json"), "signs for no page"),
        (
            lambda targets: targets.update({ODD: TargetFile(1, {"sha256": "0" * 64}, ODD)}),
            f"do not agree about {ODD}",
        ),
    ],
)
def test_what_page_and_role_do_not_agree_about_is_named(
    claimed: MadeRepository,
    alice: Maintainers,
    tmp_path: Path,
    edit: Callable[[dict[str, TargetFile]], object],
    words: str,
) -> None:
    state = state_in(claimed.repository, APP)
    made = draft(state, state.page)
    edit(made.role.signed.targets)
    with pytest.raises(RefusedError, match=words):
        accept(claimed.repository, alice.write(made, tmp_path))


def test_a_distribution_of_another_project_is_refused_whose_name_could_be_of_this_one(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    """``app-1-2.tar.gz`` is version 2 of ``app-1``, or 1.post2 of ``app``."""
    sdist = make_sdist(tmp_path / "dist", "app-1", "2")
    sdist = sdist.rename(sdist.with_name("app-1-2.tar.gz"))
    read = read_distribution(sdist, now())
    assert read.new.project == "app-1"
    state = state_in(claimed.repository, APP)
    page = replace(state.page, files=(*state.page.files, read.page_file))
    made = draft(state, page, [replace(read.new, project=APP)])
    with pytest.raises(RefusedError, match="is a distribution of app-1"):
        accept(claimed.repository, alice.write(made, tmp_path))


def test_a_page_of_the_same_length_that_is_not_the_signed_one_is_refused(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    """For what reason a file was yanked stands on the page alone."""
    path = alice.change(claimed, "app", tmp_path, lambda page: yanked(page, "1.0", "broken"))
    content = members(path)
    content[PAGE] = content[PAGE].replace(b"broken", b"stolen")
    write_archive(path, content.items())
    with pytest.raises(RefusedError, match="not the one that its role signs for") as refused:
        accept(claimed.repository, path)
    assert refused.value.remedy == "Nothing was published. Ask those who made it."


def test_a_file_with_other_bytes_is_said_to_be_that_and_nothing_else(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    path = alice.release(claimed, "app", tmp_path, wheel)
    content = members(path)
    name = f"targets/packages/app/{wheel.name}"
    swapped = bytearray(content[name])
    swapped[10] ^= 1  # the time of its first member: all that it says of itself is the same
    write_archive(path, (content | {name: bytes(swapped)}).items())
    with pytest.raises(RefusedError, match="is not the file that its role signs for"):
        accept(claimed.repository, path)


@pytest.mark.parametrize("kind", ["wheel", "wheel without .metadata", "sdist of an old form"])
def test_a_distribution_may_come_without_its_metadata_apart(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path, kind: str
) -> None:
    if kind.startswith("sdist"):
        wheel = make_sdist(tmp_path / "dist", "app", "3.0", metadata_version="2.1")
    path = alice.release(claimed, "app", tmp_path, wheel)
    content = members(path)
    has_metadata = f"targets/packages/app/{wheel.name}.metadata" in content
    assert has_metadata == kind.startswith("wheel")
    if kind.endswith(".metadata"):
        del content[f"targets/packages/app/{wheel.name}.metadata"]
        write_archive(path, content.items())
    done = accept(claimed.repository, path)
    assert done.checked is not None
    assert done.checked.added == [wheel.name]


def test_a_signature_that_is_missing_is_not_counted() -> None:
    both = Maintainers.of(2)
    role = Metadata(Targets(1))
    assert not is_signed_by(role, both.holders)
    role.sign(both.signers[0])
    assert is_signed_by(role, both.holders)
    assert not is_signed_by(role, replace(both.holders, threshold=2))


def test_what_comes_between_the_checks_and_the_lock_is_seen(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (
        alice.release(claimed, "app", tmp_path, make_wheel(tmp_path / "dist", "app", version))
        for version in ("3.0", "4.0")
    )
    lock = Repository.lock

    def accepted_meanwhile(other: Path) -> None:
        def late(self: Repository, **options: Any) -> Any:
            monkeypatch.setattr(Repository, "lock", lock)
            accept(claimed.repository, other)
            return lock(self, **options)

        monkeypatch.setattr(Repository, "lock", late)

    accepted_meanwhile(first)
    with pytest.raises(RefusedError) as refused:
        accept(claimed.repository, second)
    assert "Make the transaction again" in refused.value.remedy
    # And what was current before is not when another one has followed it.
    accepted_meanwhile(alice.change(claimed, "app", tmp_path, lambda page: page))
    with pytest.raises(RefusedError, match="its role has version 2, where 3 is published"):
        accept(claimed.repository, first)
    same = alice.change(claimed, "app", tmp_path, lambda page: page)
    accepted_meanwhile(same)
    done = accept(claimed.repository, same)
    assert done == Accepted(None, None, waiting=False, outdated=False)


def test_the_next_maintainer_of_a_release_signs_as_one_of_the_present_ones(
    claimed: MadeRepository, alice: Maintainers, wheel: Path, tmp_path: Path
) -> None:
    checked = checked_of(claimed, alice.release(claimed, "app", tmp_path, wheel), alice.holders)
    assert again(checked, alice.holders).present == alice.holders


def test_files_of_a_version_are_selected_beside_what_is_none() -> None:
    names = ("app.exe", "app-1.0-py3-none-any.whl")
    page = ProjectPage(APP, tuple(PageFile(each, each, Sha256("a" * 64), 1) for each in names))
    assert [each.filename for each in select(page, "1.0")] == [names[1]]


# --------------------------------------------------------------------------- keys


def test_nothing_is_said_of_keys_unless_somebody_says_so(alice: Maintainers) -> None:
    statement = Statement(APP, 1, alice.holders)
    assert not statement.lost
    assert Accepted() == Accepted(None, None, waiting=False, outdated=False)
    signed = SignedStatement(statement, statement.to_envelope())
    signed.sign(list(alice.signers))
    assert signed.is_signed_by(alice.holders)
    assert not signed.is_signed_by(replace(alice.holders, threshold=2))


def test_a_change_of_keys_that_is_no_newer_than_the_present_ones_is_an_old_one(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    bob = Maintainers.of(1)
    path = alice.hand_over(claimed, "app", tmp_path, bob)
    checked = checked_of(claimed, path, bob.holders)
    present = checked.before.claim
    assert present is not None
    assert checked.statement is not None
    with open_archive(path) as archive:
        check_statement(archive, checked, present)
        since = checked.statement.statement.version
        with pytest.raises(RefusedError, match="an old one"):
            check_statement(archive, checked, replace(present, since=since))


def test_a_change_that_waits_is_overtaken_by_one_of_the_same_version(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    promote(claimed.repository)
    both = Maintainers((*alice.signers, *Maintainers.of(1).signers))
    path = alice.hand_over(claimed, "app", tmp_path, both)
    accept(claimed.repository, path)
    # A release comes in between, and the keys of now are of the number of those that wait.
    accept(claimed.repository, alice.change(claimed, "app", tmp_path, lambda page: page))
    tree = claimed.repository.roles().claims_below("claimed")
    tree.put(APP, alice.holders, state_in(claimed.repository, APP).version)
    with claimed.repository.lock():
        claimed.repository.sign(tree.changed)
    assert APP in promote(claimed.repository).promotion.outdated


def test_a_change_that_waits_takes_effect_only_when_the_present_keys_have_signed_it(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    """A thief of the online key lays it there, and it names those who have signed the role."""
    promote(claimed.repository)
    mallory = Maintainers.of(1)
    both = Maintainers((*alice.signers, *mallory.signers))
    state = state_in(claimed.repository, APP)
    path = mallory.write(draft(state, state.page, holders=both.holders), tmp_path)
    Register(claimed.repository).keep_pending(APP, path)
    accept(claimed.repository, alice.change(claimed, "app", tmp_path, lambda page: page))
    assert APP in promote(claimed.repository).promotion.outdated


def test_only_the_claims_that_are_named_are_promoted(
    claimed: MadeRepository, alice: Maintainers
) -> None:
    claim_project(claimed, "lib", alice)
    assert promote(claimed.repository, {APP}).promotion.moved == [APP]
    assert promote(claimed.repository).promotion.moved == [LIB]


def test_only_the_changes_of_keys_that_are_named_take_effect(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    bob = Maintainers.of(1)
    claim_project(claimed, "lib", alice)
    promote(claimed.repository)
    paths = {name: alice.hand_over(claimed, name, tmp_path, bob) for name in ("app", "lib")}
    for path in paths.values():
        accept(claimed.repository, path)
    assert promote(claimed.repository, {APP}).promotion.rekeyed == [APP]
    register = Register(claimed.repository)
    assert register.all_pending() == [LIB]
    # The run was killed before it had forgotten what had taken effect.
    register.keep_pending(APP, paths["app"])
    done = promote(claimed.repository).promotion
    assert (done.done, done.rekeyed, done.outdated) == ([APP], [LIB], {})
    assert register.all_pending() == []


def test_what_waits_for_a_project_that_does_not_sign_for_itself_is_left_alone(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    promote(claimed.repository)
    request = alice.request(claimed, "lib", tmp_path)
    Register(claimed.repository).keep_pending(LIB, request)
    done = promote(claimed.repository).promotion
    assert (done.rekeyed, done.outdated, done.projects) == ([], {}, [])


def test_lost_keys_are_those_of_a_project_that_signs_for_itself(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    state = state_in(claimed.repository, LIB)
    path = alice.write(draft(state, state.page, holders=alice.holders, lost=True), tmp_path)
    with pytest.raises(RepositoryStateError, match="a project whose keys are lost"):
        claim(claimed.repository, path, replace_keys=True)


@pytest.mark.parametrize("is_promoted", [False, True])
def test_who_uses_the_offline_keys_has_accounted_for_the_state_before(
    claimed: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_promoted: bool
) -> None:
    if is_promoted:
        promote(claimed.repository)
    bob = Maintainers.of(1)
    state = state_in(claimed.repository, APP)
    path = bob.write(draft(state, state.page, holders=bob.holders, lost=True), tmp_path)
    asked: list[Repository] = []

    def accounted(repository: Repository) -> nullcontext[None]:
        asked.append(repository)
        return nullcontext()

    monkeypatch.setattr(accepting, "accounted", accounted)
    claim(claimed.repository, path, replace_keys=True)
    assert asked == ([claimed.repository] if is_promoted else [])


# -------------------------------------------------------------- the maintainers' side


def seen_from_afar(made: MadeRepository, folder: Path, project: NormalizedName) -> ProjectState:
    trust = TrustStore(folder / "trust")
    trust.add("made", f"{made.folder.as_uri()}/", made.root.read_bytes())
    with Transport(TransportOptions(retries=0)) as transport:
        index = VerifiedIndex(trust.read(), transport, Store(folder / "store"))
        return state_at(index, "made", project)


@pytest.mark.parametrize("promoted", [False, True])
def test_maintainers_see_what_the_operator_has(
    claimed: MadeRepository, tmp_path: Path, promoted: bool
) -> None:
    if promoted:
        promote(claimed.repository)
    for project in (APP, LIB, NormalizedName("application")):
        there = state_in(claimed.repository, project)
        assert seen_from_afar(claimed, tmp_path / project, project) == there
        assert (there.claim is not None) is (project == APP)


def test_maintainers_sign_no_page_whose_files_are_not_signed(
    made: MadeRepository, tmp_path: Path
) -> None:
    with made.repository.lock():
        path = "packages/lib/lib-1.0-py3-none-any.whl"
        name = made.repository.roles().bin_of(path)
        changed = made.repository.roles().role(name)
        del changed.signed.targets[path]
        made.repository.sign({name: changed})
    with pytest.raises(VerificationError, match=r"lib-1\.0"):
        seen_from_afar(made, tmp_path, LIB)


def test_a_role_that_was_not_verified_says_nothing_of_a_claim(
    claimed: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified, missing = Session.role, ""

    def role(session: Session, name: str) -> Metadata[Targets] | None:
        return None if name == missing else verified(session, name)

    monkeypatch.setattr(Session, "role", role)
    for missing, said in (
        ("recently-claimed", "was not verified"),
        ("project.app", "not where its claim says"),
    ):
        with pytest.raises(VerificationError, match=said):
            seen_from_afar(claimed, tmp_path / missing, APP)


def test_a_change_to_the_keys_that_sign_already_waits_no_longer(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    promote(claimed.repository)
    waiting = Register(claimed.repository)
    waiting.keep_pending(APP, alice.hand_over(claimed, "app", tmp_path, alice))
    assert promote(claimed.repository).promotion.done == [APP]
    assert not waiting.all_pending()
