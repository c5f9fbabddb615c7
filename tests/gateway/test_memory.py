"""A gateway runs for weeks: its memory does not grow without a bound."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import closing
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from securepip.errors import TransportError
from securepip.gateway import answers as answers_module
from securepip.gateway import dependencies, moment, prompt
from securepip.gateway.answers import Answers
from securepip.gateway.moment import Moment, View
from securepip.gateway.prompt import NotYetError, PromptTransport
from securepip.gateway.tasks import PatientPool
from securepip.gateway.web.serve import _Protocol
from securepip.index import Store
from securepip.transport import Answer, Transport, TransportOptions
from securepip.trust import TrustStore
from securepip.updater import Session
from tests.gateway.conftest import Running, run_gateway
from tests.support.hostile import HostileServer
from tests.support.repositories import MadeRepository
from tests.support.wheels import metadata_text

FILES = [
    (NormalizedName(name), f"{name}-{version}-py3-none-any.whl")
    for name, version in (("app", "1.0"), ("app", "2.0"), ("lib", "1.0"), ("other", "1.0"))
]


def test_nothing_refers_to_a_state_that_was_replaced_or_to_a_connection_that_ended(
    gateway: Running, tmp_path: Path
) -> None:
    """Each repository has a new state every minute."""

    def alive() -> Counter[type]:
        gc.collect()
        return Counter(map(type, gc.get_objects()))

    with run_gateway(tmp_path / "gateway", refresh_seconds=0.0) as running:
        before = alive()
        for _ in range(20):
            connection = running.connect()
            running.get("simple/lib/", connection=connection)
            connection.close()
        kept = alive() - before
    # The current state, and the one before it, which is used while a repository does not answer.
    assert 1 <= kept[View] <= 2
    assert 1 <= kept[Session] <= 2
    assert kept[_Protocol] <= 2


@pytest.fixture
def answers(
    tmp_path: Path, shared_repository: MadeRepository, hostile: HostileServer
) -> Iterator[Answers]:
    """The answers of a gateway that trusts the shared repository."""
    trust = TrustStore(tmp_path / "trust")
    trust.add("made", hostile.url, shared_repository.root.read_bytes())
    with Transport(TransportOptions(retries=0)) as transport:
        found = Answers(trust.read, transport, Store(tmp_path / "store"))
        yield found
        found.close()


def _moment(answers: Answers) -> Moment:
    assert answers._moment is not None
    return answers._moment


@pytest.mark.parametrize(
    ("module", "bound", "remembered"),
    [
        (answers_module, "_MAX_KNOWN", lambda one: one._known),
        (answers_module, "_MAX_KNOWN", lambda one: one._looked_into),
        (dependencies, "_MAX_REMEMBERED", lambda one: one._dependencies._checked),
        (moment, "_MAX_KEPT_FILES", lambda one: _moment(one).view(None)._kept),
        (None, "", lambda one: one._fetching._running),
        (None, "", lambda one: _moment(one)._index._received._early),
    ],
    ids=["known", "looked-into", "checked", "pages", "fetching", "early"],
)  # fmt: skip
def test_what_is_remembered_is_bounded(
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    bound: str,
    remembered: Callable[[Answers], object],
) -> None:
    async def ask() -> int:
        sizes = []
        for project, filename in FILES * 2:
            await answers.file(project, filename)
            await answers.metadata(project, filename)
            sizes.append(len(remembered(answers)))  # type: ignore[arg-type] # a collection
        return max(sizes)

    if not bound:  # it has ended when it is answered
        assert asyncio.run(ask()) == 0
        return
    monkeypatch.setattr(module, bound, 1)
    assert asyncio.run(ask()) == 1


def test_of_what_is_required_the_last_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "_MAX_REMEMBERED", 2)
    remembered = dependencies.Dependencies(connections_are_held=False)
    for name in ("a", "b", "c"):
        remembered.check("app.whl", metadata_text("app", "1.0", [name]).encode())
    said = [remembered.unknown(NormalizedName(name)) is not None for name in ("a", "b", "c")]
    assert said == [False, True, True]


@pytest.mark.parametrize("fails", [False, True])
def test_of_what_arrived_for_those_who_went_away_the_last_is_kept(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    may_arrive = threading.Event()

    def get(_: Transport, url: str, **__: object) -> Answer:
        assert may_arrive.wait(60)
        fetched.append(url)
        if fails:
            raise TransportError("it does not answer", url=url)
        return Answer(url, 200, {}, b"12")

    monkeypatch.setattr(Transport, "get", get)
    monkeypatch.setattr(prompt, "_MAX_KEPT_BYTES", 10)
    monkeypatch.setattr(prompt, "_EACH_BYTES", 6 if fails else 4)
    with Transport(TransportOptions()) as transport, closing(PatientPool(1)) as pool:
        asked = PromptTransport(transport, pool)

        def ask(name: str) -> object:
            url = f"https://packages.example.org/{name}"
            (answer,) = asked.answers(lambda: None, [lambda: asked.get(url, max_bytes=10)])
            may_arrive.set()
            if isinstance(answer, NotYetError):
                wait([answer.future])
            may_arrive.clear()
            return answer

        assert all(isinstance(ask(name), NotYetError) for name in "abcd")
        assert len(asked._begun) == 3, "so much is kept as is too much with the one before"
        arrived = TransportError if fails else Answer
        assert isinstance(ask("d"), arrived)
        assert isinstance(ask("a"), NotYetError)
        assert isinstance(ask("a"), arrived)
    assert [url[-1] for url in fetched] == ["a", "b", "c", "d", "a"]


def test_what_a_question_still_uses_is_forgotten_last(monkeypatch: pytest.MonkeyPatch) -> None:
    end, may_arrive = threading.Event(), threading.Event()

    def get(_: Transport, url: str, **__: object) -> Answer:
        assert may_arrive.wait(60)
        assert url != "https://packages.example.org/slow" or end.wait(60)
        return Answer(url, 200, {}, b"12")

    monkeypatch.setattr(Transport, "get", get)
    monkeypatch.setattr(prompt, "_MAX_KEPT_BYTES", 10)
    monkeypatch.setattr(prompt, "_EACH_BYTES", 4)
    with Transport(TransportOptions()) as transport, closing(PatientPool(2)) as pool:
        asked = PromptTransport(transport, pool)

        def ask(*names: str) -> None:
            urls = [f"https://packages.example.org/{name}" for name in names]
            may_arrive.clear()
            asked.answers(lambda: None, [lambda: [asked.get(url, max_bytes=10) for url in urls]])
            may_arrive.set()
            wait([asked._begun[url] for url in urls if url in asked._begun and "slow" not in url])

        for names in (("a", "slow"), ("a", "slow"), ("b",), ("a", "slow"), ("c",), ("d",)):
            ask(*names)
        assert [url[-1] for url in asked._begun] == ["a", "w", "c", "d"]
        end.set()
