"""A transport for the thread that owns the sessions: it waits for no server there.

The rule: in a question of ``answers``, what has not arrived is begun, and ``NotYetError`` is raised
with it. Who asked comes back with the same question when it has arrived. So one server that sends
nothing, or a byte now and then, holds up those who ask for what it has, and nobody else.

That python-tuf's client can be interrupted at a download and asked again: it stores a role when it
has verified it, and begins each question at the top. A refresh that was interrupted begins anew,
from the answers that are there by then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TypeVar

from securepip.gateway.tasks import PatientPool
from securepip.transport import Answer, Transport, is_local

_MAX_KEPT_BYTES = 32 << 20
"""So much may have arrived for questions that are not asked again: who asked has gone away."""
_EACH_BYTES = 4 << 10
"""What an answer takes besides its body, and what an error takes, or more."""

T = TypeVar("T")
R = TypeVar("R")


class NotYetError(Exception):
    """An answer of a server is not there yet.

    Args:
        future: Is done when it is.
    """

    def __init__(self, future: Future[object]) -> None:
        super().__init__("not yet")
        self.future = future


class PromptTransport(Transport):
    """Another transport, as it is for the questions of ``answers``.

    Args:
        transport: Fetches everything.
        pool: In whose threads.
    """

    def __init__(self, transport: Transport, pool: PatientPool) -> None:
        # The same connections, limits and allowance.
        self.__dict__.update(transport.__dict__)
        self._threads = pool
        self._asker = threading.local()
        self._begun: dict[str, Future[Answer]] = {}

    def answers(
        self, prepare: Callable[[], None], questions: Iterable[Callable[[], R]]
    ) -> list[R | Exception]:
        """Ask questions that are prepared together; an error is an answer.

        What an answered question used is forgotten, and what their preparation used when all of
        them are answered: an error that it met comes again, for whom it concerns.

        Args:
            prepare: Begins what they need. Its errors are not heard.
            questions: Each answers, or raises ``NotYetError`` where what it needs has not arrived.
        """
        prepared, _ = self._asked(prepare)
        answered: set[str] = set()
        answers: list[R | Exception] = []
        for question in questions:
            used, answer = self._asked(question)
            answers.append(answer)
            if not isinstance(answer, NotYetError):
                answered |= used
        if not any(isinstance(answer, NotYetError) for answer in answers):
            answered |= prepared
        for url in answered:
            self._begun.pop(url, None)
        self._drop_oldest()
        return answers

    def _drop_oldest(self) -> None:
        """Forget what was used longest ago, as far as it is too much: who asks fetches it again."""
        kept = 0
        for url, future in reversed(list(self._begun.items())):
            if kept > _MAX_KEPT_BYTES and future.done():
                del self._begun[url]
            elif future.done():
                failed = future.cancelled() or future.exception()
                kept += _EACH_BYTES + (0 if failed else len(future.result().body))

    def _asked(self, question: Callable[[], R]) -> tuple[set[str], R | Exception]:
        """What a question used, and its answer."""
        self._asker.used = used = set[str]()
        try:
            return used, question()
        except Exception as error:
            return used, error
        finally:
            self._asker.used = None

    def get(
        self,
        url: str,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        accept: Iterable[int] = (200,),
    ) -> Answer:
        """As ``Transport.get``.

        Raises:
            NotYetError: It has not arrived, and the caller may not wait.
        """
        whole = super().get

        def fetch(one: str) -> Answer:
            return whole(one, max_bytes=max_bytes, headers=headers, accept=accept)

        used: set[str] | None = getattr(self._asker, "used", None)
        # A file of this machine is read at once: begun early, it would be what it was then, and
        # this machine may have signed something since.
        if used is None or is_local(url):
            return fetch(url)
        used.add(url)
        begun = self._begun.pop(url, None) or self._threads.submit(fetch, url)
        self._begun[url] = begun  # the last one to be forgotten
        return self._result(begun)

    def begin_ahead(self, url: str, *, max_bytes: int) -> None:
        """Begin nothing: a question that is asked again would begin it again."""

    def submit(self, function: Callable[[T], R], item: T) -> Future[R]:
        """As ``Transport.submit``; who may not wait for the result gets ``NotYetError``."""
        outer = _Promised[R](self._result)
        inner = self._threads.submit(function, item)

        def tell(done: Future[R]) -> None:
            if outer.set_running_or_notify_cancel():
                error = done.exception()
                if error is not None:
                    outer.set_exception(error)
                else:
                    outer.set_result(done.result())

        inner.add_done_callback(tell)
        return outer

    def _result(self, future: Future[R]) -> R:
        if getattr(self._asker, "used", None) is not None and not future.done():
            raise NotYetError(future)  # type: ignore[arg-type] # only looked at whether it is done
        return Future.result(future)


class _Promised(Future[R]):
    """A future that says ``NotYetError`` to who may not wait."""

    def __init__(self, result: Callable[[Future[R]], R]) -> None:
        super().__init__()
        self._said = result

    def result(self, timeout: float | None = None) -> R:
        """The result, when it is there."""
        return self._said(self)
