"""``Answers`` without a server: with a repository in a folder, and a clock that tests set."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from securepip.errors import FormatError, RepositoryUnavailableError, VerificationError
from securepip.formats.digests import sha256_of
from securepip.formats.layout import page_target
from securepip.formats.page import PageFile
from securepip.gateway import answers as module
from securepip.gateway import moment as moments
from securepip.gateway.answers import Answers, UnknownError
from securepip.gateway.by_url import RefusedError
from securepip.gateway.dependencies import UnsignedDependencyError
from securepip.gateway.moment import View
from securepip.index import Store, VerifiedFile, VerifiedIndex
from securepip.index.signed import LocatedPage, SignedFile
from securepip.transport import Transport
from securepip.trust import Trust, TrustStore
from tests.support.begun import all_answered
from tests.support.hostile import flip_byte, serve_hostile
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_sdist, make_wheel

LIB, MORE, NEEDY, SOURCE, UNKNOWN = (
    canonicalize_name(name) for name in ("lib", "more", "needy", "source", "unknown")
)
DEFAULT = "https://default.example.org/simple/"
FIRST, SECOND = (f"https://{name}.example.org/simple/" for name in ("first", "second"))


def wheel(name: str) -> str:
    return f"{name}-1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    folder = tmp_path_factory.mktemp("local")
    built = folder / "built"
    return make_repository(
        folder / "repository",
        make_wheel(built, "lib", "1.0"),
        make_wheel(built, "more", "1.0"),
        make_wheel(built, "needy", "1.0", requires=["unknown"]),
        make_sdist(built, "source", "1.0"),
    )


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    folder = tmp_path_factory.mktemp("second")
    return make_repository(folder / "repository", make_wheel(folder / "built", "lib", "99.0"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The gateway's clock: ``clock.now``, 1000 at first."""
    found = SimpleNamespace(now=1000.0)
    found.monotonic = lambda: found.now
    for one in (module, moments):
        monkeypatch.setattr(one, "time", found)
    return found


def trusting(folder: Path, *repositories: MadeRepository) -> Trust:
    store = TrustStore(folder / "trust")
    for name, url, each in zip(("first", "second"), (FIRST, SECOND), repositories, strict=False):
        location = each.folder.as_uri() + "/"
        store.add(name, location, each.root.read_bytes(), index_urls=(url,))
    return store.read()


@contextmanager
def answering(folder: Path, *repositories: MadeRepository, **options: Any) -> Iterator[Answers]:
    trust = trusting(folder, *repositories)
    with Transport() as transport:
        found = Answers(
            lambda: trust, transport, Store(folder / "store"), default_indexes=(DEFAULT,), **options
        )
        yield found
        found.close()


def before(answers: Answers) -> object:
    """The moment before the current one."""
    return answers._before


def counted(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[object]:
    """A list that gets one more for each call of a function; what it is: the call's last word."""
    calls: list[object] = []
    function = getattr(owner, name)

    def call(*words: object) -> object:
        calls.append(words[-1])
        return function(*words)

    monkeypatch.setattr(owner, name, call)
    return calls


# ------------------------------------------------------------------------- moments


def test_a_state_is_as_old_as_it_may_be_and_not_older(
    local: MadeRepository,
    tmp_path: Path,
    clock: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MAX_LOOK_UPS", 2)
    with answering(tmp_path, local) as answers:
        first = answers._now()
        clock.now += 60
        assert answers._now() is first
        clock.now += 0.1
        second = answers._now()
        assert second is not first
        assert before(answers) is None

        asyncio.run(answers.page(LIB))
        second.view(None).look_ups = 2
        assert answers._now() is second
        second.view(None).look_ups = 3
        third = answers._now()
        assert third is not second
        assert before(answers) is second
        answers._owner.submit(str, 0).result(60)  # the earlier calls have ended
        (seen,) = (tmp_path / "trust").rglob("projects-seen")
        assert "lib" in seen.read_text(encoding="utf-8")
        clock.now += 61
        assert answers._now() is not third
        assert before(answers) is second


def test_while_a_repository_does_not_answer_what_was_known_a_while_ago_is_the_answer(
    local: MadeRepository,
    tmp_path: Path,
    clock: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)

    async def hangs(*_: object) -> LocatedPage:
        await asyncio.sleep(600)
        raise AssertionError

    def ask(answers: Answers, project: Any, seconds: float = 60.0) -> object:
        return asyncio.run(asyncio.wait_for(answers.page(project), seconds))

    with answering(tmp_path, local) as answers:
        page = asyncio.run(answers.page(LIB))
        clock.now += 61
        answers._now()
        assert asyncio.run(answers.page(MORE))
        monkeypatch.setattr(View, "page", hangs)
        assert ask(answers, LIB) == page
        with pytest.raises(asyncio.TimeoutError):
            ask(answers, MORE, 0.2)  # which the state before does not have
        clock.now = 1659.9
        answers._moment = replace_began(answers._moment, clock)
        assert ask(answers, LIB) == page
        clock.now = 1660
        with pytest.raises(asyncio.TimeoutError):
            ask(answers, LIB, 0.2)


def replace_began(moment: Any, clock: SimpleNamespace) -> Any:
    """The same moment, as if it had begun now."""
    moment.began = clock.now
    return moment


@pytest.mark.parametrize("files", ["timestamp", r"\d+\.snapshot", r"\d+\.bins", r"\d+\.bin-.*"])
@pytest.mark.parametrize("failure", ["changed", "missing"])
def test_what_fails_is_the_answer_to_a_question_however_fast_it_comes(
    local: MadeRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: str,
    failure: str,
) -> None:
    """What prepares a question may be the first that meets it, and must not be the only one."""
    wait = asyncio.wait

    async def until_all_has_arrived(wanted: Any) -> None:
        await asyncio.sleep(0.05)
        await wait(wanted)

    monkeypatch.setattr(asyncio, "wait", until_all_has_arrived)
    with serve_hostile(local.folder) as server:
        pattern = rf"metadata/{files}\.json"
        if failure == "changed":
            server.alter(pattern, flip_byte)
        else:
            server.withhold(pattern, status=404)
        trust = TrustStore(tmp_path / "trust")
        trust.add("first", server.url, local.root.read_bytes())
        with Transport() as transport:
            answers = Answers(trust.read, transport, Store(tmp_path / "store"))
            with pytest.raises((VerificationError, RepositoryUnavailableError)):
                asyncio.run(asyncio.wait_for(answers.page(LIB), 60))
            answers.close()


def test_each_thing_is_asked_for_once_however_slowly_it_comes(
    local: MadeRepository, tmp_path: Path
) -> None:
    """And no page before it is known where it is: who asks again would begin it again."""

    def late(data: bytes) -> bytes:
        time.sleep(0.02)
        return data

    with serve_hostile(local.folder) as server, Transport() as transport:
        server.alter(r"(?!.*\.root\.json).*", late)
        trust = TrustStore(tmp_path / "trust")
        trust.add("first", server.url, local.root.read_bytes())
        answers = Answers(trust.read, transport, Store(tmp_path / "store"))
        assert asyncio.run(asyncio.wait_for(answers.page(LIB), 60)).page.project == LIB
        answers.close()
        all_answered()
        assert set(Counter(server.seen).values()) == {1}
        assert page_target(LIB) not in server.seen


def test_nothing_is_left_when_it_is_closed_and_what_was_seen_is_kept(
    local: MadeRepository, tmp_path: Path
) -> None:
    with answering(tmp_path / "unasked", local) as answers:
        answers.close()
    with answering(tmp_path, local) as answers:
        asyncio.run(answers.page(LIB))
        answers.close()
        assert [path for path in (tmp_path / "trust").rglob("projects-seen") if path.is_file()]
        with pytest.raises(RuntimeError):
            asyncio.run(answers.page(MORE))


def test_one_thread_alone_asks_the_sessions(
    local: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()

    def noting(function: Callable[..., object]) -> Callable[..., object]:
        def call(*words: object) -> object:
            threads.add(threading.get_ident())
            threading.Event().wait(0.01)
            return function(*words)

        return call

    for name in ("signed_page", "signed_file"):
        monkeypatch.setattr(VerifiedIndex, name, noting(getattr(VerifiedIndex, name)))

    async def ask(answers: Answers) -> None:
        files = (answers.file(each, wheel(each)) for each in (LIB, MORE, NEEDY))
        await asyncio.gather(*files)
        files = (answers.file(each, wheel(each)) for each in (LIB, MORE))
        await asyncio.gather(answers.page(SOURCE), *files)

    with answering(tmp_path, local) as answers:
        asyncio.run(ask(answers))
    assert len(threads) == 1


# -------------------------------------------------------------------------- indexes


def test_which_repositories_some_indexes_stand_for(
    local: MadeRepository, second: MadeRepository, tmp_path: Path
) -> None:
    with answering(tmp_path, local, second) as answers:
        trust = answers._now().trust
        elsewhere = "https://elsewhere.example.org/simple/"
        for indexes, names in (
            ((), None),
            ((FIRST,), ("first",)),
            ((SECOND, FIRST, SECOND), ("second", "first")),
            ((elsewhere,), None),
            ((elsewhere, SECOND), ("second",)),
            ((SECOND, DEFAULT), None),
            ((DEFAULT,), None),
        ):
            assert answers._limits(trust, indexes) == names
        assert answers.repositories()[0].startswith("first (file://")


def test_the_index_that_is_asked_answers_for_itself_and_one_that_nobody_named_is_refused(
    local: MadeRepository, second: MadeRepository, tmp_path: Path
) -> None:
    with answering(tmp_path, local, second) as answers:

        def names(url: str, *indexes: str) -> list[str]:
            answer = asyncio.run(answers.resolve_url(url, indexes=indexes))
            assert isinstance(answer, module.PageAnswer)
            assert all(file.url.startswith("file:///") for file in answer.page.files)
            return [file.filename for file in answer.page.files]

        assert names(f"{FIRST}lib/") == [wheel("lib")]
        assert names(f"{SECOND}lib/") == ["lib-99.0-py3-none-any.whl"]
        assert names(f"{DEFAULT}lib/") == [wheel("lib")]
        assert names(f"{SECOND}lib/", SECOND, FIRST) == ["lib-99.0-py3-none-any.whl"]
        with pytest.raises(UnknownError, match="'first' does"):
            names(f"{SECOND}lib/", FIRST, SECOND)
        for url in (
            "https://elsewhere.example.org/simple/lib/",
            f"{FIRST}not%20a%20name!/",
            "https://elsewhere.example.org/lib-1.0.zip",
        ):
            with pytest.raises(RefusedError):
                names(url)


def test_a_requirements_file_is_fetched_by_http_without_its_fragment(
    local: MadeRepository, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "wanted.txt").write_bytes(b"lib")
    with serve_hostile(served) as server, answering(tmp_path, local) as answers:
        url = f"{server.url}wanted.txt"
        for one in (url, f"{url}#part", f"{url}#part#more"):
            assert asyncio.run(answers.requirements_file(one)) == b"lib"
        with pytest.raises(RefusedError):
            asyncio.run(answers.requirements_file((served / "wanted.txt").as_uri()))
        sha256 = f"sha256:{sha256_of(b'lib')}"
        direct = asyncio.run(answers.resolve_url(url, hashes=frozenset([sha256])))
        assert isinstance(direct, module.FileAnswer)
        assert not direct.kept


# ---------------------------------------------------------------------------- files


def test_what_was_hashed_is_not_hashed_again_until_it_is_another_file_or_long_ago(
    local: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_KNOWN", 2)
    fetched = counted(monkeypatch, VerifiedIndex, "fetch_signed")
    looked = counted(monkeypatch, module, "metadata_inside")
    with answering(tmp_path, local) as answers:

        def ask(*projects: str) -> tuple[int, int]:
            fetched.clear()
            looked.clear()
            for one in projects:
                answer = asyncio.run(answers.file(canonicalize_name(one), wheel(one)))
                assert sha256_of(answer.path.read_bytes()) == answer.sha256
            return len(fetched), len(looked)

        assert ask("lib", "more") == (2, 2)
        assert ask("lib", "more", "lib") == (0, 0)
        assert ask("needy") == (1, 1)
        # Of the files, the one that nobody asked for longest goes; of those looked into, the first.
        assert ask("lib", "needy") == (0, 1)
        assert ask("more") == (1, 1)
        answer = asyncio.run(answers.file(MORE, wheel("more")))
        answer.path.chmod(0o600)
        answer.path.write_bytes(b"other")
        assert ask("more") == (1, 0)


def test_a_file_that_is_gone_as_soon_as_it_is_here_is_not_remembered(
    local: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = VerifiedIndex.fetch_signed

    def and_gone(self: VerifiedIndex, signed: SignedFile) -> VerifiedFile:
        found = fetch(self, signed)
        found.path.unlink()
        return found

    monkeypatch.setattr(VerifiedIndex, "fetch_signed", and_gone)

    async def verified(answers: Answers) -> None:
        view, located = await answers._located(None, LIB)
        file = located.page.file(wheel("lib"))
        assert file is not None
        await answers._verified(view, located, file)

    with answering(tmp_path, local) as answers:
        asyncio.run(verified(answers))
        assert not answers._known


def test_a_wheel_that_cannot_be_read_is_refused_and_of_a_source_distribution_a_build_decides(
    local: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> bytes:
        raise FormatError("it has no METADATA")

    monkeypatch.setattr(module, "metadata_inside", unreadable)
    with answering(tmp_path, local) as answers:
        with pytest.raises(VerificationError, match="cannot be used: it has no METADATA"):
            asyncio.run(answers.file(LIB, wheel("lib")))
        assert asyncio.run(answers.file(SOURCE, "source-1.0.tar.gz")).size


@pytest.mark.parametrize("older_releases", [False, True])
@pytest.mark.parametrize("way", ["file", "metadata", "metadata of a mirror without it"])
def test_what_a_release_requires_is_remembered_by_whichever_way_it_was_sent(
    local: MadeRepository, tmp_path: Path, way: str, older_releases: bool
) -> None:
    repository = local
    if "mirror" in way:
        place = tmp_path / "copy" / "repository"
        shutil.copytree(local.folder, place)
        for path in place.rglob("*.metadata"):
            path.unlink()
        repository = replace(local, folder=place)
    options = {"older_releases": True} if older_releases else {}
    with answering(tmp_path, repository, **options) as answers:
        ask: Callable[..., Any] = answers.file if way == "file" else answers.metadata
        assert not asyncio.run(ask(NEEDY, wheel("needy"))).kept
        assert asyncio.run(ask(NEEDY, wheel("needy"))).kept
        with pytest.raises(UnknownError if older_releases else UnsignedDependencyError):
            asyncio.run(answers.page(UNKNOWN))


def test_an_address_with_a_marker_is_passed_on_where_somebody_answers_for_connections(
    tmp_path: Path,
) -> None:
    address = "evil @ https://packages.example.org/evil-1.0.zip ; python_version < '3'"
    built = make_wheel(tmp_path / "built", "lib", "1.0", requires=[address])
    made = make_repository(tmp_path / "repository", built)
    with answering(tmp_path / "a", made) as answers, pytest.raises(RefusedError, match="an addr"):
        asyncio.run(answers.file(LIB, wheel("lib")))
    with answering(tmp_path / "b", made, connections_are_held=True) as answers:
        assert asyncio.run(answers.file(LIB, wheel("lib"))).size


def test_metadata_that_no_page_signs_is_unknown(
    local: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(answers: Answers) -> None:
        view, located = await answers._located(None, LIB)
        file = located.page.file(wheel("lib"))
        assert isinstance(file, PageFile)
        await answers._metadata(view, located, file._replace(core_metadata=None))

    with answering(tmp_path, local) as answers:
        with pytest.raises(UnknownError, match="signs no metadata of"):
            asyncio.run(ask(answers))
        with pytest.raises(UnknownError, match="has no file"):
            asyncio.run(answers.file(LIB, "lib-2.0.zip"))
