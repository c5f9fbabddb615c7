"""Runs that are killed, and several at once: nothing seen is forgotten, the repository is valid."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.utils import NormalizedName, canonicalize_name

from securepip.first_use.setup import protect, repository_folder
from securepip.first_use.signer import Signers
from securepip.index import Store
from securepip.signing.publish.accounted import check_own
from securepip.signing.repository.repository import Repository
from securepip.transport import TransportOptions
from securepip.trust import FirstUseRules, TrustStore
from tests.signing.clients import fetch_everything
from tests.signing.killing import kill_points, run_until
from tests.support.indexes import Index
from tests.support.machine import Machine
from tests.support.wheels import make_wheel

APP, LIB = canonicalize_name("app"), canonicalize_name("lib")
CHOSEN = [(APP, "app-2.0-py3-none-any.whl"), (LIB, "lib-1.0-py3-none-any.whl")]
AT_ONCE = 20 if os.environ.get("SECUREPIP_TEST_EVERY_KILL") else 1


def test_a_run_that_is_killed_leaves_a_valid_repository_and_forgets_nothing(
    index: Index, tmp_path: Path
) -> None:
    store = TrustStore(tmp_path / "trust")
    protect(index.url, FirstUseRules(), store, name="own")
    folder, client = repository_folder("own"), tmp_path / "client"
    before = tmp_path / "before"
    shutil.copytree(folder, before)

    def work() -> None:
        with Signers(TransportOptions(), Store(tmp_path / "store")) as signers:
            signer = signers(store.read())["own"]
            signer.prepare_pages([APP, LIB])
            signer.check(APP)
            signer.prepare_files(CHOSEN)

    for step in kill_points(work):
        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        shutil.rmtree(client, ignore_errors=True)
        run_until(step, work)
        fetch_everything(folder, client, overlay=True)
        with Repository.open(folder) as repository:
            check_own(repository)
            seen = {
                project: {file.filename: file.sha256 for file in page.files}
                for project in (APP, LIB)
                if (page := repository.page(project))
            }
            for project, files in seen.items():
                assert files.items() <= repository.ledger.known(project).items()
        assert run_until(1 << 30, work), "the next run comes to its end"
        fetch_everything(folder, client, overlay=True)
        with Repository.open(folder) as repository:
            assert repository.page(APP) and repository.page(LIB)


@pytest.mark.parametrize("held", ["/simple/lib/", "lib-1.0-py3-none-any.whl"])
def test_nobody_waits_for_what_another_fetches(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    index.says_sha256 = index.says_sizes = index.says_metadata = False  # files are read whole
    store = TrustStore(tmp_path / "trust")
    protect(index.url, FirstUseRules(), store, name="own")
    is_asked, may_answer, answer = threading.Event(), threading.Event(), index.answer

    def answer_late(path: str, accept: str) -> tuple[int, str, bytes]:
        if path.endswith(held):
            is_asked.set()
            assert may_answer.wait(60)
        return answer(path, accept)

    monkeypatch.setattr(index, "answer", answer_late)

    def sign(chosen: tuple[NormalizedName, str]) -> None:
        with Signers(TransportOptions(), Store(tmp_path / "store")) as signers:
            signer = signers(store.read())["own"]
            signer.prepare_pages([chosen[0]])
            signer.check(chosen[0])
            signer.prepare_files([chosen])

    with ThreadPoolExecutor() as pool:
        slow = pool.submit(sign, CHOSEN[1])
        try:
            assert is_asked.wait(60)
            pool.submit(sign, CHOSEN[0]).result(timeout=60)
            assert not slow.done()
        finally:
            may_answer.set()
        slow.result(timeout=60)
    with Repository.open(repository_folder("own")) as repository:
        for project, filename in CHOSEN:
            assert repository.roles().target(f"packages/{project}/{filename}") is not None


def test_several_at_once_lose_nothing(protected: Machine, index: Index, tmp_path: Path) -> None:
    for turn in range(AT_ONCE):
        # A page that was just read is not asked for again for ten minutes: new names each turn.
        names = [f"p{turn}-{number}" for number in range(4)]
        index.offer(*(make_wheel(tmp_path / "more", name, "1.0") for name in names))
        running = [
            protected.start(
                "download", "--no-deps", "-d", tmp_path / name, "--python", protected.python,
                f"{name}==1.0", "app",
            )
            for name in names
        ]  # fmt: skip
        for process in running:
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, out + err
        with Repository.open(protected.folder / "data" / "first-use" / "127.0.0.1") as repository:
            for name in (*names, "app"):
                page = repository.page(canonicalize_name(name))
                assert page is not None
                target = f"packages/{name}/{page.files[-1].filename}"
                assert repository.roles().target(target) is not None
