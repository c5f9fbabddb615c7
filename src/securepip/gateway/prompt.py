"""A transport that never waits for a server in the thread that owns the sessions.

The rule: if a question of ``answers`` needs a download, the download begins in another thread, and
``NotYetError`` is raised. The caller asks the same question again when the download has arrived. So
a slow server delays only the clients that need its files.

python-tuf's client can be interrupted at a download and asked again. It stores each role when it
has verified it, and begins each question from the start. An interrupted refresh begins again, with
the downloads that have arrived by then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TypeVar

from securepip.gateway.tasks import PatientPool
from securepip.transport import Answer, Transport, is_local

_MAX_KEPT_BYTES = 32 << 20
"""The most bytes of downloads that are kept although no question has used them yet."""
_EACH_BYTES = 4 << 10
"""An upper bound of what an answer takes besides its body, and of what an error takes."""

T = TypeVar("T")
R = TypeVar("R")


class NotYetError(Exception):
    """A download has not arrived yet.

    Args:
        future: It is done when the download has arrived.
    """

    def __init__(self, future: Future[object]) -> None:
        super().__init__("not yet")
        self.future = future


class PromptTransport(Transport):
    """Wraps a transport so that the questions of ``answers`` never wait.

    Args:
        transport: Fetches everything.
        pool: The threads in which it fetches.
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
        """Ask several questions that are prepared together. An error counts as an answer.

        The downloads of an answered question are dropped. Those of the preparation are dropped when
        all questions are answered: until then, a question that needs a failed one gets its error.

        Args:
            prepare: Begins the downloads that the questions need. Its errors are ignored.
            questions: Each returns an answer, or raises ``NotYetError`` if a download that it needs
                has not arrived.
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
        """Drop the downloads that were used longest ago, if there are too many bytes of them."""
        kept = 0
        for url, future in reversed(list(self._begun.items())):
            if kept > _MAX_KEPT_BYTES and future.done():
                del self._begun[url]
            elif future.done():
                failed = future.cancelled() or future.exception()
                kept += _EACH_BYTES + (0 if failed else len(future.result().body))

    def _asked(self, question: Callable[[], R]) -> tuple[set[str], R | Exception]:
        """Ask a question; the URLs that it used, and its answer or error."""
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
        # A file on this machine is read at once. An early read could be out of date, because this
        # machine may sign something in between.
        if used is None or is_local(url):
            return fetch(url)
        used.add(url)
        begun = self._begun.pop(url, None) or self._threads.submit(fetch, url)
        self._begun[url] = begun  # now the most recently used one
        return self._result(begun)

    def begin_ahead(self, url: str, *, max_bytes: int) -> None:
        """Do nothing: a question that is asked again would begin the download again."""

    def submit(self, function: Callable[[T], R], item: T) -> Future[R]:
        """As ``Transport.submit``, but a caller that may not wait gets ``NotYetError``."""
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
            raise NotYetError(future)  # type: ignore[arg-type] # its result is never used
        return Future.result(future)


class _Promised(Future[R]):
    """A future that raises ``NotYetError`` to a caller that may not wait."""

    def __init__(self, result: Callable[[Future[R]], R]) -> None:
        super().__init__()
        self._get_result = result

    def result(self, timeout: float | None = None) -> R:
        """The result; see ``PromptTransport``."""
        return self._get_result(self)
