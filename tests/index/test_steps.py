"""The steps of the index, with the requests that each one makes.

A repository in a folder and no server; what is asked of sessions and transport is written down.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from securepip.errors import (
    RepositoryUnavailableError,
    UntrustedError,
    VerificationError,
)
from securepip.formats.digests import NOT_KNOWN_YET, sha256_of
from securepip.formats.page import PageFile
from securepip.index.types import Speaker
from securepip.transport import Transport
from securepip.trust import Assignment, FirstUse
from tests.index.noted import (
    ALPHA,
    ALPHA_1,
    ALPHA_2,
    ALPHA_3,
    DELTA,
    DELTA_1,
    GAMMA,
    UNKNOWN,
    Asked,
    Signer,
    copied,
    file_of,
    left_open,
    opened,
    trusting,
)
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_sdist, make_wheel

# ------------------------------------------------------------------ who speaks


def test_nobody_is_asked_for_a_project_that_nobody_may_speak_for(
    local: MadeRepository, tmp_path: Path, asked: Asked
) -> None:
    trust = trusting(tmp_path, local)
    index = opened(tmp_path, replace(trust, mapping=(Assignment(("simple/zulu/*",), ("made",)),)))
    assert index.origin(ALPHA) == "no trusted repository"
    assert index.speakers_for(ALPHA) == ()
    index.prefetch_pages([ALPHA])
    index.prepare_page(ALPHA)
    index.prefetch_metadata(ALPHA, [])
    assert asked.prefetched == []
    with pytest.raises(UntrustedError, match="knows the project alpha"):
        index.signed_by(ALPHA, PageFile("alpha-1.zip", "", NOT_KNOWN_YET, None))


def test_who_speaks_is_told_before_it_is_asked_and_of_this_machine_s_own_the_index(
    local: MadeRepository, other: MadeRepository, tmp_path: Path
) -> None:
    trust = trusting(tmp_path, local, other)
    first, second = trust.repositories
    first = replace(first, first_use=FirstUse("https://user:secret@packages.example.org/simple/"))
    index = opened(tmp_path, replace(trust, repositories=(first, second)))
    own, foreign = index.speakers_for(ALPHA)
    assert (own.name, foreign.name) == ("made", "other")
    assert "packages.example.org" in own.address
    assert "secret" not in own.address
    assert own.is_own
    assert foreign == Speaker("other", second.location, is_own=False)
    assert index.origin(DELTA) == f"made ({first.location})"
    assert index.page(DELTA)
    assert index.origin(DELTA) == f"other ({second.location})"


def test_pages_are_looked_up_together_and_begun_once(
    local: MadeRepository, tmp_path: Path, asked: Asked
) -> None:
    index = opened(tmp_path, trusting(tmp_path, local))
    page = index.page(ALPHA)
    asked.now.clear()
    index.prefetch_pages([ALPHA, GAMMA, UNKNOWN])
    names = [f"simple/{project}/index.json" for project in (GAMMA, UNKNOWN)]
    assert asked.prefetched == [("made", names, True)]
    assert asked.early == ["index.json"]
    assert index.page(GAMMA)
    assert index.page(UNKNOWN) is None
    assert index.page(ALPHA) is page
    assert asked.now == []


def test_a_page_that_is_on_its_way_from_where_no_digest_is_named_is_not_begun_again(
    local: MadeRepository, tmp_path: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transport, "expects", lambda _, url: url.endswith("/gamma/index.json"))
    index = opened(tmp_path, trusting(tmp_path, local))
    index.prefetch_pages([GAMMA])
    assert asked.early == []
    index.prefetch_pages([ALPHA])
    assert asked.early == ["index.json"]


def test_a_second_repository_is_not_asked_for_what_the_first_knows(
    local: MadeRepository, other: MadeRepository, tmp_path: Path
) -> None:
    gone = replace(other, folder=tmp_path / "gone" / "other")
    either = Assignment(("*",), ("made", "other"))
    index = opened(tmp_path, replace(trusting(tmp_path, local, gone), mapping=(either,)))
    assert index.page(ALPHA)
    with pytest.raises(RepositoryUnavailableError):
        index.page(DELTA)


def test_files_are_looked_up_together_in_all_repositories_that_must_agree(
    local: MadeRepository, other: MadeRepository, tmp_path: Path, asked: Asked
) -> None:
    trust = trusting(tmp_path, local, other)
    both = Assignment(("*",), ("made", "other"), terminating=True, threshold=2)
    index = opened(tmp_path, replace(trust, mapping=(both,)))
    located = index.located(ALPHA)
    assert located is not None
    file = PageFile(ALPHA_1, "", NOT_KNOWN_YET, None)
    index.prefetch_files([(located, file)])
    path = f"packages/alpha/{ALPHA_1}"
    assert asked.prefetched == [("made", [path], True), ("other", [path], True)]
    known_to_one = file_of(opened(tmp_path, trust.only("made")), ALPHA_2)
    with pytest.raises(VerificationError, match="signed by 1 of the 2"):
        index.signed_file(located, known_to_one)


def test_files_that_are_fetched_together_are_looked_up_together(
    local: MadeRepository, tmp_path: Path, asked: Asked
) -> None:
    index = opened(tmp_path, trusting(tmp_path, local))
    files = [(ALPHA, file_of(index, name)) for name in (ALPHA_1, ALPHA_2)]
    asked.prefetched.clear()
    assert [each.filename for each in index.fetch(files)] == [ALPHA_1, ALPHA_2]
    paths = [f"packages/alpha/{name}" for name in (ALPHA_1, ALPHA_2)]
    assert asked.prefetched == [("made", paths, True)]


@pytest.mark.parametrize("signs", [True, False])
def test_a_file_is_what_its_target_says_where_its_page_leaves_it_open_to_a_signer_and_only_there(
    local: MadeRepository, tmp_path: Path, signs: bool
) -> None:
    index = opened(tmp_path, trusting(tmp_path, local), {"made": Signer()} if signs else None)
    located = index.located(ALPHA)
    assert located is not None
    file = file_of(index, ALPHA_1)
    for lie in (
        file._replace(sha256=sha256_of(b"what the page never said")),
        file._replace(sha256=sha256_of(b"another"), size=None),
        file._replace(size=(file.size or 0) + 1),
    ):
        with pytest.raises(VerificationError, match="do not agree"):
            index.signed_file(located, lie)
    assert index.signed_file(located, file._replace(size=None)).target.length == file.size
    if signs:
        found = index.signed_file(located, left_open(file)).file
        assert (found.sha256, found.size) == (file.sha256, file.size)
    else:
        with pytest.raises(VerificationError, match="do not agree"):
            index.signed_file(located, left_open(file))


def test_what_was_seen_is_kept_when_the_index_is_closed(
    local: MadeRepository, tmp_path: Path
) -> None:
    trust = trusting(tmp_path, local)
    index = opened(tmp_path, trust)
    assert index.page(ALPHA)
    assert not (trust.named("made").state / "projects-seen").exists()
    index.close()
    assert "alpha" in (trust.named("made").state / "projects-seen").read_text(encoding="utf-8")


# ----------------------------------------------------- where this machine signs


def test_a_signer_is_asked_before_a_page_is_looked_up_and_what_it_refuses_is_refused(
    local: MadeRepository, other: MadeRepository, tmp_path: Path
) -> None:
    signer = Signer(refuses=GAMMA)
    index = opened(tmp_path, trusting(tmp_path, local, other), {"made": signer})
    assert index.page(ALPHA)
    assert signer.asked == [("pages", ALPHA), ("check", ALPHA)]
    signer.asked.clear()
    with pytest.raises(VerificationError, match="must not be"):
        index.page(GAMMA)
    signer.asked.clear()
    index.prefetch_pages([UNKNOWN, DELTA])
    assert signer.take("pages") == [(UNKNOWN, DELTA)]
    index.prepare_page(DELTA)
    assert signer.take("pages") == [(DELTA,)]
    located = index.located(DELTA)
    assert located is not None
    signer.asked.clear()
    index.prepare_file(located, PageFile(DELTA_1, "", NOT_KNOWN_YET, None))
    assert signer.asked == []
    located = index.located(ALPHA)
    assert located is not None
    index.prepare_file(located, PageFile(ALPHA_1, "", NOT_KNOWN_YET, None))
    assert signer.take("files") == [([(ALPHA, ALPHA_1)], [])]


def test_a_signer_is_told_of_its_own_files_those_that_are_wanted_and_those_that_are_likely(
    local: MadeRepository, other: MadeRepository, tmp_path: Path, asked: Asked
) -> None:
    mine, its = Signer(), Signer()
    index = opened(tmp_path, trusting(tmp_path, local, other), {"made": mine, "other": its})
    first, second, delta = (file_of(index, name) for name in (ALPHA_1, ALPHA_2, DELTA_1))
    page = index.page(ALPHA)
    index.prefetch_metadata(ALPHA, [left_open(first)])
    index.prefetch_metadata(ALPHA, [left_open(second)])
    index.prefetch_metadata(GAMMA, [file_of(index, "gamma-1.0-py3-none-any.whl")])
    assert asked.prefetched == []
    mine.asked.clear()
    its.asked.clear()
    index.fetch([(ALPHA, first)])
    assert mine.take("files") == [([(ALPHA, ALPHA_1)], [(ALPHA, ALPHA_2)])]
    assert its.take("files") == []
    assert index.page(ALPHA) is page

    index.fetch([(ALPHA, first)])
    assert mine.take("files") == [([(ALPHA, ALPHA_1)], [])]
    index.prefetch_metadata(DELTA, [left_open(delta)])
    index.fetch([(ALPHA, first)])
    assert mine.take("files") == [([(ALPHA, ALPHA_1)], [])]
    assert its.take("files") == [([], [(DELTA, DELTA_1)])]
    with pytest.raises(UntrustedError, match="knows the project unknown"):
        index.fetch([(UNKNOWN, first)])


@pytest.mark.parametrize("which", ["open", "without a digest", "without metadata", "known"])
def test_what_a_page_leaves_open_is_signed_before_its_metadata_is_read(
    local: MadeRepository, tmp_path: Path, which: str
) -> None:
    signer = Signer()
    index = opened(tmp_path, trusting(tmp_path, local), {"made": signer})
    file = file_of(index, ALPHA_1)
    signer.asked.clear()
    given = {
        "open": left_open(file),
        "without a digest": file._replace(sha256=NOT_KNOWN_YET),
        "without metadata": file._replace(core_metadata=None),
        "known": file,
    }[which]
    assert b"Name: alpha" in index.core_metadata(ALPHA, given)
    kinds = {one[0] for one in signer.asked}
    assert ("files" in kinds) == (which != "known")
    assert ("check file" in kinds) == (which == "known")
    assert index.as_chosen(ALPHA, given) == file


def test_what_was_signed_while_files_were_prepared_is_looked_at_anew_and_begun(
    local: MadeRepository, tmp_path: Path, asked: Asked
) -> None:
    own = make_repository(
        tmp_path / "made-own" / "repository",
        make_wheel(tmp_path / "built", "alpha", "1.0"),
        make_sdist(tmp_path / "built", "alpha", "2.0", metadata_version="2.1"),
    )
    signer = Signer()
    index = opened(tmp_path, trusting(tmp_path, own), {"made": signer})
    first = file_of(index, ALPHA_1)
    third = make_wheel(tmp_path / "built", "alpha", "3.0")

    def sign() -> None:
        own.add(third)
        signer.current = b"2"

    page = index.page(ALPHA)
    index.fetch([(ALPHA, first)])
    assert index.page(ALPHA) is page, "nothing was signed meanwhile"
    asked.early.clear()
    asked.anew.clear()
    announced = [PageFile(name, "", NOT_KNOWN_YET, None) for name in (ALPHA_3, "alpha-2.0.tar.gz")]
    index.prefetch_metadata(ALPHA, announced)
    assert (asked.early, asked.anew) == ([], [])
    signer.when_files = sign
    index.fetch([(ALPHA, first)])
    assert asked.anew == ["made"]
    assert asked.early == [f"{ALPHA_3}.metadata"]
    assert file_of(index, ALPHA_3)


@pytest.mark.parametrize("signs", [True, False])
def test_only_what_this_machine_signs_can_be_accepted_by_its_user_after_a_change(
    local: MadeRepository, tmp_path: Path, signs: bool
) -> None:
    copy = copied(local, tmp_path)
    index = opened(tmp_path, trusting(tmp_path, copy), {"made": Signer()} if signs else None)
    file = file_of(index, ALPHA_1)
    for wheel in (copy.folder / "packages/alpha").glob(f"*{ALPHA_1}"):
        wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    with pytest.raises(VerificationError, match="not what was signed") as caught:
        index.fetch([(ALPHA, file)])
    assert ("accept-change" in str(caught.value)) == signs
