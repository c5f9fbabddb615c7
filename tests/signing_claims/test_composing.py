"""What maintainers make, and the checks that they run before they add their signatures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from securesystemslib.signer import CryptoSigner, Signature
from tuf.api.metadata import Metadata, TargetFile, Targets

from securepip.errors import (
    FormatError,
    RefusedError,
    RepositoryStateError,
    SecurepipError,
    UsageError,
)
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.page import PageFile, ProjectPage
from securepip.formats.roles import Naming
from securepip.signing.claims.promote import promote
from securepip.signing.claims.transactions import archive as archives
from securepip.signing.claims.transactions import check as checking
from securepip.signing.claims.transactions.accept import accept, claim
from securepip.signing.claims.transactions.archive import open_archive, write_archive
from securepip.signing.claims.transactions.check import (
    Checked,
    Property,
    check,
    is_signed_by,
    read_statement,
)
from securepip.signing.claims.transactions.compose import (
    Draft,
    again,
    changed_holders,
    draft,
    select,
    with_files,
    withdrawn,
    yanked,
)
from securepip.signing.claims.transactions.state import ProjectState, state_in
from securepip.signing.claims.transactions.statement import (
    MAX_KEYS,
    SignedStatement,
    Statement,
    check_holders,
    parse_statement,
)
from securepip.signing.publish.add import read_distribution
from securepip.signing.repository.claim_tree import Claim, Keyholders
from securepip.signing.repository.commit import now
from securepip.signing.repository.register import Register
from tests.support.maintainers import Maintainers
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel

APP, LIB = NormalizedName("app"), NormalizedName("lib")
DIGEST = Sha256("a" * 64)
ALICE, BOB = Maintainers.of(1), Maintainers.of(1)
BOTH = Maintainers((*ALICE.signers, *BOB.signers), 2)


def file(name: str, size: int | None = 1, yanked: str | None = None) -> PageFile:
    return PageFile(name, f"../../packages/app/{name}", DIGEST, size, yanked=yanked)


PAGE = ProjectPage(
    APP,
    (
        file("app-1.0-py3-none-any.whl"),
        file("app-1.0.tar.gz"),
        file("app-2.0-py3-none-any.whl", yanked="bad"),
    ),
)


def state_of(
    claim: Claim | None = None, page: ProjectPage = PAGE, version: int = 4
) -> ProjectState:
    return ProjectState(APP, page, claim, None, version, Naming(DIGEST, "all"))


def claimed_by(who: Maintainers, since: int = 2) -> Claim:
    return Claim(APP, "claimed", "claimed", who.holders, since)


# Pages.


@pytest.mark.parametrize(
    ("what", "numbers"),
    [("1.0", [0, 1]), ("1.0.0", [0, 1]), ("app-1.0.tar.gz", [1]), ("2.0", [2])],
)
def test_a_version_or_a_name_selects_files(what: str, numbers: list[int]) -> None:
    assert select(PAGE, what) == [PAGE.files[number] for number in numbers]
    gone = withdrawn(PAGE, what).files
    assert gone == tuple(each for at, each in enumerate(PAGE.files) if at not in numbers)
    for reason in ("broken", None):
        files = yanked(PAGE, what, reason).files
        for at, (before, after) in enumerate(zip(PAGE.files, files, strict=True)):
            assert after == (before._replace(yanked=reason) if at in numbers else before)


@pytest.mark.parametrize("what", ["3.0", "app-3.0.tar.gz"])
def test_what_was_not_published_cannot_be_selected(what: str) -> None:
    with pytest.raises(RepositoryStateError, match=f"has published no {what}"):
        select(PAGE, what)
    with pytest.raises(UsageError, match="neither a version nor a file name"):
        select(PAGE, "newest")


def test_a_file_is_added_once_and_never_changed(tmp_path: Path) -> None:
    moment = datetime.now(timezone.utc)
    wheel = read_distribution(make_wheel(tmp_path, "app", "3.0"), moment)
    page = with_files(PAGE, [wheel])
    assert page.files == (*PAGE.files, wheel.page_file)
    assert with_files(page, [wheel]) == page
    sdist = read_distribution(make_sdist(tmp_path, "app", "3.0"), moment)
    assert with_files(page, [wheel, sdist]).files == (*page.files, sdist.page_file)
    other = make_wheel(tmp_path / "other", "app", "3.0", requires=["lib"])
    with pytest.raises(RepositoryStateError, match="published files never change"):
        with_files(page, [read_distribution(other, moment)])
    capital = replace(
        wheel, page_file=wheel.page_file._replace(filename="App-3.0-py3-none-any.whl")
    )
    with pytest.raises(RepositoryStateError, match=r"app-3\.0.* is published already"):
        with_files(page, [capital])
    lib = read_distribution(make_wheel(tmp_path, "lib", "3.0"), moment)
    with pytest.raises(RepositoryStateError, match="is a distribution of lib"):
        with_files(page, [lib])


# Keys.


def test_keys_come_and_go_by_the_beginning_of_their_ids() -> None:
    found = claimed_by(BOTH)
    first, second = BOTH.holders.keys
    new = CryptoSigner.generate_ed25519().public_key
    assert changed_holders(found, [], [], None) == BOTH.holders
    assert changed_holders(found, [], [], 1) == Keyholders(BOTH.holders.keys, 1)
    changed = changed_holders(found, [new], [first.keyid[:40]], None)
    assert set(changed.keyids) == {second.keyid, new.keyid}
    assert changed.threshold == 2
    for start, said in (("", "2 keys"), ("no such", "0 keys")):
        with pytest.raises(UsageError, match=f"{said} of app with an id beginning"):
            changed_holders(found, [], [start], None)
    with pytest.raises(FormatError):
        changed_holders(found, [], [first.keyid], None)  # two of one


def test_a_project_has_no_more_keys_than_its_shard_can_bear() -> None:
    keys = tuple(CryptoSigner.generate_ed25519().public_key for _ in range(MAX_KEYS + 1))
    most = check_holders(keys[:-1], MAX_KEYS)
    assert most.threshold == MAX_KEYS
    assert list(most.keyids) == sorted(most.keyids)
    with pytest.raises(FormatError, match="1 to 32 keys, not 33"):
        check_holders(keys, 1)
    with pytest.raises(FormatError, match="a key is listed twice"):
        check_holders((keys[0], keys[0]), 1)


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("version", [0, 1, 7, True, 1.0, "1", None], ids=repr)
def test_a_statement_is_of_a_version_from_one_on(version: int, lost: bool) -> None:
    said = Statement(APP, version, ALICE.holders, lost)
    data = SignedStatement(said, said.to_envelope()).to_json()
    if type(version) is int and version:
        assert parse_statement(data).statement == said
    else:
        with pytest.raises(FormatError, match="not a version"):
            parse_statement(data)


def test_lost_keys_are_said_to_be_lost_and_nothing_else_means_that() -> None:
    envelope = Statement(APP, 1, ALICE.holders).to_envelope()
    document = json.loads(envelope.payload)
    for said in (1, "true", [1], None):
        envelope.payload = json.dumps(document | {"lost-keys": said}).encode()
        signed = SignedStatement(Statement(APP, 1, ALICE.holders), envelope)
        assert not parse_statement(signed.to_json()).statement.lost


# Drafts.


@pytest.mark.parametrize("days", [1, 365])
def test_a_draft_says_all_that_is_published_with_the_next_number(days: int) -> None:
    before = now()
    made = draft(state_of(claimed_by(ALICE)), PAGE, days=days)
    signed = made.role.signed
    assert signed.version == 5
    assert timedelta(0) <= signed.expires - before - timedelta(days=days) < timedelta(minutes=1)
    assert made.page_bytes == PAGE.to_json()
    page = signed.targets["simple/app/index.json"]
    assert (page.length, page.hashes) == (
        len(made.page_bytes),
        {"sha256": sha256_of(made.page_bytes)},
    )
    assert len(signed.targets) == 4
    assert signed.targets["packages/app/app-1.0.tar.gz"].length == 1
    assert made.statement is None
    assert (made.holders, made.present) == (ALICE.holders, ALICE.holders)
    with pytest.raises(RepositoryStateError, match="gives no length of x"):
        draft(state_of(claimed_by(ALICE)), replace(PAGE, files=(file("x", size=None),)))
    with pytest.raises(RepositoryStateError, match="does not sign for itself"):
        draft(state_of(), PAGE)


@pytest.mark.parametrize(
    ("before", "lost", "present"),
    [(None, False, None), (ALICE, False, ALICE), (ALICE, True, None)],
)
def test_who_has_to_sign_a_change_of_keys(
    before: Maintainers | None, lost: bool, present: Maintainers | None
) -> None:
    found = claimed_by(before) if before else None
    made = draft(state_of(found), PAGE, holders=BOB.holders, lost=lost)
    assert made.holders == BOB.holders
    assert made.present == (present.holders if present else None)
    assert made.statement is not None
    assert made.statement.statement == Statement(APP, 5, BOB.holders, lost)
    checked = Checked(made.role, PAGE, made.page_bytes, (), made.statement, (), state_of(found))
    assert again(checked, BOB.holders) == made


def test_how_many_signatures_are_missing_is_counted_for_role_and_statement() -> None:
    three = Maintainers((*BOTH.signers, CryptoSigner.generate_ed25519()), 3)
    made = draft(state_of(claimed_by(BOTH)), PAGE, holders=three.holders)
    assert made.missing() == 3
    assert made.sign(ALICE.ring()) == [ALICE.signers[0].public_key.keyid]
    assert made.missing() == 2
    made.sign(three.ring(2))
    assert made.missing() == 1
    assert len(made.sign(three.ring())) == 3
    assert made.missing() == 0
    handed_over = draft(state_of(claimed_by(ALICE)), PAGE, holders=BOB.holders)
    handed_over.sign(BOB.ring())
    assert handed_over.missing() == 1, "the present holder has not agreed"
    handed_over.sign(ALICE.ring())
    assert handed_over.missing() == 0
    assert list(handed_over.role.signatures) == [BOB.signers[0].public_key.keyid]
    one_of_two = draft(state_of(claimed_by(Maintainers(BOTH.signers, 1))), PAGE)
    one_of_two.sign(BOTH.ring())
    assert one_of_two.missing() == 0
    with pytest.raises(RepositoryStateError, match="none of the keys of app is here"):
        made.sign(Maintainers.of(1).ring())


@pytest.mark.parametrize("threshold", [1, 2])
def test_valid_signatures_of_the_holders_are_counted_and_no_others(threshold: int) -> None:
    holders = replace(BOTH, threshold=threshold).holders
    role = Metadata(Targets(1))
    assert not is_signed_by(role, holders)
    role.sign(CryptoSigner.generate_ed25519(), append=True)
    role.signatures[holders.keyids[1]] = Signature(holders.keyids[1], "00" * 64)
    assert not is_signed_by(role, holders)
    signers = {each.public_key.keyid: each for each in BOTH.signers}
    role.sign(signers[holders.keyids[0]], append=True)
    assert is_signed_by(role, holders) == (threshold == 1)
    role.sign(signers[holders.keyids[1]], append=True)
    assert is_signed_by(role, holders)


# What a maintainer checks before signing what another has begun.


def checked_by_another(
    path: Path, state: ProjectState, holders: Keyholders, folder: Path
) -> Checked:
    with open_archive(path) as archive:
        return check(archive, state, holders, folder, complete=False)


def test_the_next_maintainer_signs_only_what_one_of_them_has_begun(
    made: MadeRepository, tmp_path: Path
) -> None:
    claim(made.repository, BOTH.request(made, "app", tmp_path))
    state = state_in(made.repository, APP)
    path = tmp_path / "begun.zip"
    begun = draft(state, state.page)
    begun.write(path)
    with pytest.raises(RefusedError, match="0 of the project's keys") as refused:
        checked_by_another(path, state, BOTH.holders, tmp_path)
    assert Property.THRESHOLD.value in refused.value.meaning
    begun.sign(ALICE.ring())
    begun.write(path)
    checked = checked_by_another(path, state, BOTH.holders, tmp_path)
    assert checked.signed_by == (ALICE.signers[0].public_key.keyid,)
    with pytest.raises(RefusedError, match="1 of the project's keys have signed its role, 2 of 2"):
        accept(made.repository, path)


def test_who_hands_a_project_over_signs_the_statement_and_its_taker_the_role(
    made: MadeRepository, tmp_path: Path
) -> None:
    path = tmp_path / "begun.zip"
    # A first claim has nobody who could hand it over: a signature on the role is asked for.
    state = state_in(made.repository, APP)
    first = draft(state, state.page, holders=ALICE.holders)
    assert first.statement is not None
    first.statement.sign(list(ALICE.signers))
    first.write(path)
    with pytest.raises(RefusedError, match="0 of the project's keys"):
        checked_by_another(path, state, ALICE.holders, tmp_path)
    claim(made.repository, ALICE.request(made, "app", tmp_path))
    state = state_in(made.repository, APP)
    over = draft(state, state.page, holders=BOB.holders)
    over.write(path)
    with pytest.raises(RefusedError, match="0 of the project's keys"):
        checked_by_another(path, state, BOB.holders, tmp_path)
    over.sign(ALICE.ring())
    over.write(path)
    assert checked_by_another(path, state, BOB.holders, tmp_path).signed_by == ()
    with pytest.raises(RefusedError, match="0 of the project's keys"):
        accept(made.repository, path)


# What is checked, at its limits.


def edited(made: MadeRepository, edit: Callable[[Draft], Draft | None], folder: Path) -> Path:
    """A transaction of Alice's, changed before she signs it."""
    state = state_in(made.repository, APP)
    begun = draft(state, state.page)
    return ALICE.write(edit(begun) or begun, folder)


@pytest.fixture
def owned(made: MadeRepository, tmp_path: Path) -> MadeRepository:
    """The repository, where ``app`` is Alice's."""
    claim(made.repository, ALICE.request(made, "app", tmp_path / "first"))
    return made


def refuse(made: MadeRepository, path: Path, failed: Property, why: str) -> None:
    with pytest.raises(RefusedError, match=why) as refused:
        accept(made.repository, path)
    assert failed.value in refused.value.meaning


@pytest.mark.parametrize("more", [0, -1])
def test_a_page_is_no_longer_than_clients_read(
    owned: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    state = state_in(owned.repository, APP)
    monkeypatch.setattr(checking, "MAX_PAGE_BYTES", len(state.page.to_json()) + more)
    path = ALICE.change(owned, "app", tmp_path, lambda page: page)
    if more:
        refuse(owned, path, Property.CONSISTENT, "its role signs for no page")
    else:
        assert accept(owned.repository, path).published is not None


def test_a_page_that_names_one_file_in_two_ways_is_refused(
    owned: MadeRepository, tmp_path: Path
) -> None:
    def twice(page: ProjectPage) -> ProjectPage:
        first = page.files[0]
        name = first.filename.replace("app", "App")
        return replace(page, files=(*page.files, first._replace(filename=name)))

    path = ALICE.change(owned, "app", tmp_path, twice)
    refuse(owned, path, Property.CONSISTENT, "one file in two ways")


def test_a_file_is_published_with_its_length(owned: MadeRepository, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "app", "3.0")
    state = state_in(owned.repository, APP)
    read = read_distribution(wheel, now())
    begun = draft(state, with_files(state.page, [read]), [read.new])

    page = json.loads(begun.page_bytes)
    del page["files"][-1]["size"]
    data = json.dumps(page).encode()
    name = "simple/app/index.json"
    begun.role.signed.targets[name] = TargetFile(len(data), {"sha256": sha256_of(data)}, name)
    path = ALICE.write(replace(begun, page_bytes=data), tmp_path)
    refuse(owned, path, Property.CONSISTENT, "page and role do not agree|no length|size")


@pytest.mark.parametrize(
    ("hashes", "why"), [({"md5": "0" * 32}, "not a sha256"), ({"sha256": "A" * 64}, "lower case")]
)
def test_a_file_is_published_with_its_sha256_alone(
    owned: MadeRepository, tmp_path: Path, hashes: dict[str, str], why: str
) -> None:
    def odd(begun: Draft) -> None:
        (path, *_) = (path for path in begun.role.signed.targets if path.startswith("packages/"))
        begun.role.signed.targets[path].hashes = hashes

    refuse(owned, edited(owned, odd, tmp_path), Property.CONSISTENT, why)


def test_a_reason_that_is_no_line_of_words_is_refused(
    owned: MadeRepository, tmp_path: Path
) -> None:
    def odd(begun: Draft) -> None:
        begun.role.signed.unrecognized_fields["x-securepip-why"] = "two\nlines"

    refuse(owned, edited(owned, odd, tmp_path), Property.CONSISTENT, "reason")

    def good(begun: Draft) -> None:
        begun.role.signed.unrecognized_fields["x-securepip-why"] = "new signatures"

    accept(owned.repository, edited(owned, good, tmp_path))
    *_, last = owned.repository.log.entries()
    assert "new signatures" in str(last)


def test_a_role_of_another_name_is_refused(owned: MadeRepository, tmp_path: Path) -> None:
    def other(begun: Draft) -> None:
        begun.role.signed.unrecognized_fields["x-securepip-role"] = "project.lib"

    refuse(owned, edited(owned, other, tmp_path), Property.CONSISTENT, "project.lib")


def test_a_statement_about_another_project_or_version_is_refused(
    owned: MadeRepository, tmp_path: Path
) -> None:
    state = state_in(owned.repository, APP)
    for project, version, failed, why in (
        (LIB, state.version + 1, Property.TARGETS, "about the keys of lib"),
        (APP, state.version + 2, Property.VERSION, "statement about keys is of version"),
    ):
        said = Statement(project, version, ALICE.holders)
        begun = replace(
            draft(state, state.page, holders=ALICE.holders),
            statement=SignedStatement(said, said.to_envelope()),
        )
        refuse(owned, ALICE.write(begun, tmp_path), failed, why)
    path = tmp_path / "odd.zip"
    members = [("metadata/project.app.json", b"{}"), ("metadata/keys.json", b"[]")]
    write_archive(path, members)
    with open_archive(path) as archive, pytest.raises(RefusedError, match="not a statement") as odd:
        read_statement(archive)
    assert Property.CONSISTENT.value in odd.value.meaning


def test_what_was_checked_says_what_changes(owned: MadeRepository, tmp_path: Path) -> None:
    sdist = make_sdist(tmp_path, "app", "4.0")
    state = state_in(owned.repository, APP)
    read = read_distribution(sdist, now())
    page = yanked(withdrawn(with_files(state.page, [read]), "1.0"), "2.0", "bad")
    path = ALICE.write(draft(state, page, [read.new]), tmp_path)
    done = accept(owned.repository, path).checked
    assert done is not None
    assert done.added == [sdist.name]
    assert done.withdrawn == ["app-1.0-py3-none-any.whl"]
    assert done.yanked == ["app-2.0-py3-none-any.whl (yanked)"]
    path = ALICE.change(owned, "app", tmp_path, lambda page: yanked(page, "2.0", None))
    done = accept(owned.repository, path).checked
    assert done is not None
    assert (done.added, done.withdrawn) == ([], [])
    assert done.yanked == ["app-2.0-py3-none-any.whl (no longer yanked)"]


def test_a_request_is_of_the_page_that_is_published_now(
    made: MadeRepository, tmp_path: Path
) -> None:
    state = state_in(made.repository, APP)
    page = withdrawn(state.page, "1.0")
    path = ALICE.write(draft(state, page, holders=ALICE.holders), tmp_path)
    with pytest.raises(RefusedError, match="not of the page of app"):
        claim(made.repository, path)
    # A transaction that says nothing about keys is no request.
    owned = draft(state, state.page, holders=ALICE.holders)
    for replace_keys in (False, True):
        with pytest.raises(SecurepipError):
            claim(
                made.repository,
                ALICE.write(replace(owned, statement=None), tmp_path),
                replace_keys=replace_keys,
            )


def test_what_waits_and_is_no_change_of_keys_is_outdated(
    owned: MadeRepository, tmp_path: Path
) -> None:
    promote(owned.repository)
    register = Register(owned.repository)
    without = ALICE.change(owned, "app", tmp_path, lambda page: page)
    (tmp_path / "odd.zip").write_bytes(b"odd")
    for waiting in (without, tmp_path / "odd.zip"):
        register.keep_pending(APP, waiting)
        assert APP in promote(owned.repository).promotion.outdated
        assert register.pending(APP) is None
        register.keep_pending(APP, waiting)
        path = ALICE.change(owned, "app", tmp_path, lambda page: page)
        assert accept(owned.repository, path).outdated
        register.forget_pending(APP)
        assert not accept(
            owned.repository, ALICE.change(owned, "app", tmp_path, lambda page: page)
        ).outdated


def test_nobody_promotes_what_waits_for_nothing(owned: MadeRepository) -> None:
    with pytest.raises(RepositoryStateError, match="lib waits for nothing"):
        promote(owned.repository, {LIB})
    assert promote(owned.repository, {APP}).promotion.moved == [APP]
    with pytest.raises(RepositoryStateError, match="app waits for nothing"):
        promote(owned.repository, {APP})
    done = promote(owned.repository)
    assert done.promotion.moved == []
    assert done.published.signed == ()


def test_a_project_that_is_claimed_twice_stops_the_promotion(
    owned: MadeRepository, tmp_path: Path
) -> None:
    promote(owned.repository)
    tree = owned.repository.roles().claims_below("recently-claimed")
    tree.put(APP, BOB.holders, 9)
    with owned.repository.lock():
        owned.repository.sign(tree.changed)
    with pytest.raises(RepositoryStateError, match="claimed once more with other keys"):
        promote(owned.repository)


# Transactions as files.


def test_a_transaction_has_no_more_members_than_can_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "many.zip"
    names = ("metadata/project.app.json", "targets/simple/app/index.json", "metadata/keys.json")
    write_archive(path, [(name, b"{}") for name in names])
    monkeypatch.setattr(archives, "_MAX_MEMBERS", 3)
    with open_archive(path) as archive:
        assert archive.project == APP
        assert archive.filenames == []
    monkeypatch.setattr(archives, "_MAX_MEMBERS", 2)
    with pytest.raises(FormatError, match="more than 2 members"), open_archive(path):
        pass


def test_each_member_is_read_up_to_its_limit_and_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.zip"
    monkeypatch.setattr(archives, "MAX_ROLE_BYTES", 10)
    wheel = "targets/packages/app/app-1.0-py3-none-any.whl"
    members = {
        "metadata/project.app.json": 10,
        "metadata/keys.json": 10,
        "targets/simple/app/index.json": 10,
        wheel: 10,
        f"{wheel}.metadata": 10,
    }

    def read(which: str) -> None:
        with open_archive(path) as archive:
            (tmp_path / "copy").unlink(missing_ok=True)
            readers: dict[str, Callable[[], object]] = {
                "metadata/project.app.json": archive.role,
                "metadata/keys.json": archive.statement,
                "targets/simple/app/index.json": lambda: archive.page(10),
                wheel: lambda: archive.extract(wheel[21:], 10, tmp_path / "copy"),
                f"{wheel}.metadata": lambda: archive.core_metadata(wheel[21:], 10),
            }
            readers[which]()

    for longer in members:
        write_archive(path, [(each, b"x" * (10 + (each == longer))) for each in members])
        for each in members:
            if each == longer:
                with pytest.raises(FormatError, match="more than 10 bytes"):
                    read(each)
            else:
                read(each)
                assert each != wheel or (tmp_path / "copy").read_bytes() == b"x" * 10


def test_a_transaction_that_cannot_be_written_leaves_the_one_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "app.zip"
    path.write_bytes(b"before")
    with pytest.raises(FormatError, match="cannot be written"):
        write_archive(path, [("a", b"x"), ("b", tmp_path / "missing")])
    with pytest.raises(ZeroDivisionError):
        write_archive(path, (("a", b"%d" % (1 // number)) for number in (1, 0)))
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FormatError, match="cannot be written"):
        write_archive(tmp_path / "no" / "app.zip", [])
    with (
        pytest.raises(FormatError, match="cannot be read as a transaction"),
        open_archive(tmp_path / "missing.zip"),
    ):
        pass
