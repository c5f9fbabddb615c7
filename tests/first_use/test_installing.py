"""``trust first-use`` and then ``install``, from an index without signatures."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.support.indexes import Index
from tests.support.machine import Machine
from tests.support.wheels import make_wheel

LOCKED = [("app", "app-2.0-py3-none-any.whl"), ("lib", "lib-1.0-py3-none-any.whl")]


@pytest.mark.parametrize(
    "silent_about",
    [
        {},
        {"speaks_json": False},
        {"says_sizes": False, "says_metadata": False},
        {"speaks_json": False, "says_metadata": False, "serves_metadata": False},
        {"says_sizes": False, "answers_head": False},
    ],
    ids=["nothing", "JSON", "sizes and metadata", "all of it", "HEAD"],
)
def test_a_package_is_installed_with_what_it_requires_whatever_the_index_is_silent_about(
    protected: Machine, index: Index, silent_about: dict[str, bool]
) -> None:
    for field, value in silent_about.items():
        setattr(index, field, value)
    done = protected.install("app")
    assert done.code == 0, done.err
    assert protected.freeze() == ["app==2.0", "lib==1.0"]
    assert "signed by 127.0.0.1" in done.out
    for _, wheel in LOCKED:
        named = [line for line in done.out.splitlines() if f" {wheel} (" in line]
        assert named, done.out
        assert len(named) == 1, "what was downloaded to learn what it requires is no cached file"


def test_who_says_more_is_told_which_pages_are_read(protected: Machine, index: Index) -> None:
    assert f"Getting page {index.url}app/" in protected.install("app", "--dry-run", "-v").out


def test_only_chosen_files_cost_requests_where_the_index_gives_no_lengths(
    protected: Machine, index: Index, tmp_path: Path
) -> None:
    index.says_sizes = index.says_metadata = False
    index.offer(*(make_wheel(tmp_path / "old", "app", f"0.{n}") for n in range(60)))
    assert protected.install("app").code == 0
    asked = [line for line in index.seen if "/files/" in line]
    assert all("app-2.0" in line or "lib-1.0" in line for line in asked), asked


def test_a_hash_that_the_user_names_is_compared_where_no_page_tells_one(
    protected: Machine, index: Index, tmp_path: Path
) -> None:
    index.says_sha256 = False
    lib = index.projects["lib"][LOCKED[1][1]].sha256
    asked = tmp_path / "requirements.txt"
    command = ("--dry-run", "--no-cache-dir", "-r", asked)

    asked.write_text(f"lib==1.0 --hash=sha256:{'0' * 64}\n")
    wrong = protected.install(*command)
    assert wrong.code == 3, wrong.out
    assert "DO NOT MATCH" in wrong.err
    assert lib in wrong.err

    asked.write_text("--require-hashes\nlib==1.0\n")
    none = protected.install(*command)
    assert none.code == 1, none.out
    assert f"lib==1.0 --hash=sha256:{lib}" in none.err

    asked.write_text(f"lib==1.0 --hash=sha256:{lib}\n")
    right = protected.install(*command)
    assert right.code == 0, right.err
    assert "Would install lib-1.0" in right.out


@pytest.mark.parametrize("speaks_json", [True, False])
def test_a_chosen_file_of_which_no_page_tells_the_sha256_is_read_once_and_no_other_is(
    protected: Machine, index: Index, *, speaks_json: bool
) -> None:
    index.says_sha256 = index.says_sizes = index.says_metadata = False
    index.speaks_json = speaks_json
    done = protected.install("--no-cache-dir", "app")
    assert done.code == 0, done.err
    assert protected.freeze() == ["app==2.0", "lib==1.0"]
    assert [line.rpartition("/")[2] for line in index.seen if "/files/" in line] == [
        "app-2.0-py3-none-any.whl",
        "lib-1.0-py3-none-any.whl",
    ]


def test_a_lock_has_the_sha256_that_no_page_tells_and_it_binds_another_machine(
    protected: Machine, index: Index, tmp_path: Path
) -> None:
    index.says_sha256 = index.says_sizes = False
    lock = tmp_path / "pylock.toml"
    assert protected.run("lock", "app", "--output", lock).code == 0
    digests = {index.projects[name][file].sha256 for name, file in LOCKED}
    assert all(digest in lock.read_text() for digest in digests)
    shutil.rmtree(protected.folder / "data")
    assert protected.run("trust", "first-use", "--index-url", index.url).code == 0
    index.projects["lib"]["lib-1.0-py3-none-any.whl"].data += b" "
    done = protected.install("--no-cache-dir", "-r", lock)
    assert done.code == 3, done.out + done.err
    assert "DO NOT MATCH THE HASHES" in done.err
    assert protected.freeze() == []


def test_a_second_run_asks_for_pages_alone_and_signs_nothing(
    protected: Machine, index: Index
) -> None:
    index.etags = True
    assert protected.install("app").code == 0
    metadata = protected.folder / "data" / "first-use" / "127.0.0.1" / "metadata"
    before = sorted(path.name for path in metadata.iterdir())
    index.seen.clear()
    sent = index.sent
    done = protected.install("--force-reinstall", "app")
    assert done.code == 0, done.err
    assert sorted(index.seen) == ["GET /simple/app/", "GET /simple/lib/"]
    assert index.sent == sent
    assert sorted(path.name for path in metadata.iterdir()) == before


def test_pages_are_not_asked_for_again_within_ten_minutes(
    protected: Machine, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("securepip.first_use.memory.FRESH_SECONDS", 600.0)
    assert protected.install("app").code == 0
    index.seen.clear()
    done = protected.install("--force-reinstall", "app")
    assert done.code == 0, done.err
    assert index.seen == []


@pytest.mark.parametrize(
    ("value", "asked"),
    [("app", ["app"]), (":all:", ["app", "lib"]), (":all:,:none:,lib", ["lib"]), ("other", [])],
)
def test_refresh_package_asks_again_within_ten_minutes_past_every_cache(
    protected: Machine,
    index: Index,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    asked: list[str],
) -> None:
    monkeypatch.setattr("securepip.first_use.memory.FRESH_SECONDS", 600.0)
    assert protected.install("app").code == 0
    assert index.anew == []
    index.seen.clear()
    done = protected.install("--force-reinstall", "--refresh-package", value, "app")
    assert done.code == 0, done.err
    assert sorted(index.anew) == [f"/simple/{project}/" for project in asked]
    assert len(index.seen) == len(asked)


def test_a_new_release_is_seen_and_installed(
    protected: Machine, index: Index, tmp_path: Path
) -> None:
    assert protected.install("lib").code == 0
    index.offer(make_wheel(tmp_path / "new", "lib", "1.1"))
    done = protected.install("-U", "lib")
    assert done.code == 0, done.err
    assert protected.freeze() == ["lib==1.1"]


def test_an_index_that_does_not_answer_is_no_failed_verification(
    protected: Machine, index: Index
) -> None:
    index.raw["/simple/app/"] = (503, "text/plain", b"later")
    done = protected.install("app")
    assert done.code == 1
    assert "503" in done.err
    assert protected.freeze() == []


def test_the_signatures_of_a_laptop_that_slept_for_a_year_are_renewed_without_a_word(
    machine: Machine, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as then:
        year_ago = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=400)
        then.setattr("securepip.signing.repository.commit.now", lambda: year_ago)
        assert machine.run("trust", "first-use", "--index-url", index.url).code == 0
    done = machine.install("app")
    assert done.code == 0, done.err
    assert machine.freeze() == ["app==2.0", "lib==1.0"]
