"""Work that many wait for: done once, and not given up when one of them goes away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from securepip.transport.pool import Pool

PATIENCE_SECONDS = 3.0
"""For how long a server that does not answer may hold up who asks for something else."""

_MOST_THREADS = 256

K = TypeVar("K")
T = TypeVar("T")


class Shared(Generic[K, T]):
    """One task for each key at a time; all who ask meanwhile get what it returns or raises."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[T]] = {}

    async def get(self, key: K, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the task of ``key`` returns; begun by ``start`` where there is none.

        Raises:
            Exception: What the task raises.
        """
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(start())
            self._running[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        # A client that goes away cancels its own waiting, not the work that others wait for.
        return await asyncio.shield(task)

    def _finished(self, key: K, task: asyncio.Task[T]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # heard, even if nobody waits any more


class Batches(Generic[K, T]):
    """Questions to the one thread that may answer them; what comes while it is busy goes together.

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
        """The answer.

        Raises:
            Exception: The error that is the answer.
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
    """Calls functions in threads: at most ``size`` at a time, as long as they make way.

    Who has waited for ``PATIENCE_SECONDS`` goes on all the same: a server that keeps all of them
    waiting would keep everybody waiting.

    Args:
        size: How many at a time.
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
        """Cancel what has not begun; wait for nothing."""
        self._pool.close()


async def in_pool(pool: Pool | PatientPool, function: Callable[[K], T], item: K) -> T:
    """``function(item)``, in a thread of the pool."""
    future: Future[T] = pool.submit(function, item)
    return await asyncio.wrap_future(future)
