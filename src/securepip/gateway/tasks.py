"""Shares work among clients: it is done once, and goes on when one of them goes away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from securepip.transport.pool import Pool

PATIENCE_SECONDS = 3.0
"""How long a server that does not answer may delay requests for other files."""

_MOST_THREADS = 256

K = TypeVar("K")
T = TypeVar("T")


class Shared(Generic[K, T]):
    """Runs one task for each key at a time. All callers for that key get its result or error."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[T]] = {}

    async def get(self, key: K, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the task for ``key``; if there is no such task, ``start`` makes one.

        Raises:
            Exception: The error of the task.
        """
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(start())
            self._running[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        # A client that goes away cancels only its own waiting, and not the task.
        return await asyncio.shield(task)

    def _finished(self, key: K, task: asyncio.Task[T]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # marked as seen, in case nobody waits any more


class Batches(Generic[K, T]):
    """Asks questions in a single thread; those that come while it is busy are asked together.

    Args:
        thread: A pool of one thread.
        answer: Answers questions in that thread, each with a value or with an error.
    """

    def __init__(
        self, thread: Pool, answer: Callable[[Sequence[K]], Sequence[T | Exception]]
    ) -> None:
        self._thread = thread
        self._answer = answer
        self._waiting: list[tuple[K, asyncio.Future[T]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, question: K) -> T:
        """The answer to a question.

        Raises:
            Exception: The answer, if it is an error.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                answers = await in_pool(self._thread, self._answer, [one for one, _ in batch])
            except Exception as error:
                answers = [error] * len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.cancelled():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        self._worker = None


class PatientPool:
    """Calls functions in threads, normally at most ``size`` at the same time.

    A call that has waited for ``PATIENCE_SECONDS`` begins in any case. Otherwise one server that
    does not answer could block all calls.

    Args:
        size: How many calls normally run at the same time.
    """

    def __init__(self, size: int) -> None:
        self._pool = Pool(_MOST_THREADS)
        self._free = threading.Semaphore(size)

    def submit(self, function: Callable[[K], T], item: K) -> Future[T]:
        """Call ``function(item)`` in one of the threads.

        Raises:
            RuntimeError: The pool is closed.
        """

        def run(one: K) -> T:
            counted = self._free.acquire(timeout=PATIENCE_SECONDS)
            try:
                return function(one)
            finally:
                if counted:
                    self._free.release()

        return self._pool.submit(run, item)

    def close(self) -> None:
        """Cancel the calls that have not begun. Do not wait for the others."""
        self._pool.close()


async def in_pool(pool: Pool | PatientPool, function: Callable[[K], T], item: K) -> T:
    """Call ``function(item)`` in a thread of the pool; its result."""
    future: Future[T] = pool.submit(function, item)
    return await asyncio.wrap_future(future)
