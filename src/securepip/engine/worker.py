"""A worker: it takes jobs from the queue, publishes, and renews what is due, until it is stopped.

Rule: whoever dies, another goes on. A job of a worker that says nothing for ``STALLED_SECONDS`` is
given to the next one; that is harmless if it lives after all, for the lock of the database lets one
publish at a time, and the same bytes twice change nothing.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import procrastinate
import psycopg
from procrastinate.exceptions import AlreadyEnqueued, ProcrastinateException

from securepip.engine.database import conninfo
from securepip.engine.publication import Publication
from securepip.engine.queue import LOCK, PUBLISH, QUEUE
from securepip.formats.words import counted
from securepip.redaction import redact_text
from securepip.signing.repository.repository import Repository

HEARTBEAT_SECONDS = 1.0
STALLED_SECONDS = 6.0
REFRESH = "refresh"

_RETRY_SECONDS = 5
_EVERY_TEN_MINUTES = "*/10 * * * *"
_LOOK_SECONDS = 1.0
_LONGEST_PAUSE = 30.0
# An upload that no job is about, whatever became of its own: an operator's hand in the tables, say.
_FORGOTTEN = f"""
SELECT id FROM upload WHERE answered IS NULL AND received < now() - interval '30 s'
    AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs
        WHERE task_name = '{PUBLISH}' AND status IN ('todo', 'doing')
    )
LIMIT 1
"""  # noqa: S608 # a constant


class Worker:
    """One worker.

    Args:
        open_repository: Opens the repository with its online key.
        url: Its database.
        say: Told in a line what was done, and what went wrong.
    """

    def __init__(
        self, open_repository: Callable[[], Repository], url: str, say: Callable[[str], None]
    ) -> None:
        self._say = say
        self._publication = Publication(open_repository, say)
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        connector = procrastinate.PsycopgConnector(
            conninfo=conninfo(url), min_size=1, max_size=4, timeout=15.0
        )
        self._app = procrastinate.App(connector=connector)
        retry = procrastinate.RetryStrategy(wait=_RETRY_SECONDS)
        self._app.task(name=PUBLISH, queue=QUEUE, lock=LOCK, retry=retry)(self._publish)
        refresh = self._app.task(name=REFRESH, queue=QUEUE, lock=LOCK, queueing_lock=REFRESH)
        self._app.periodic(cron=_EVERY_TEN_MINUTES)(refresh(self._refresh))
        # It says in tracebacks what is said in words here.
        logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)

    def run(self) -> None:
        """Work until ``stop``, or SIGINT or SIGTERM; what is under way is finished first."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """Let ``run`` end, from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    def _publish(self, upload: int) -> None:
        """The job of one upload: publish all that wait."""
        with self._said("Uploads could not be published, and wait"):
            self._publication.publish()

    def _refresh(self, timestamp: int) -> None:
        """The job that the queue makes by the clock, for the moment ``timestamp``."""
        with self._said("The signatures could not be renewed"):
            done = self._publication.refresh()
            if done.signed:
                self._say(f"Renewed {counted(len(done.signed), 'role')}")
            for each in done.waiting:
                self._say(f"An offline key has to renew {each.role} by {each.expires:%Y-%m-%d}")

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._say(f"{what}: {redact_text(str(error) or type(error).__name__)}")
            raise

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_unheard)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._loop.add_signal_handler(number, self._stopping.set)
        pause = 1.0
        while not self._stopping.is_set():
            try:
                async with self._app.open_async():
                    self._say("Waiting for uploads")
                    pause = 1.0
                    await self._work()
            except (psycopg.Error, ProcrastinateException, OSError) as error:
                said = " ".join(redact_text(str(error)).split()) or type(error).__name__
                self._say(
                    f"The database does not answer, tried again in {pause:.0f} s: {said:.300}"
                )
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._publication.close()

    async def _work(self) -> None:
        """Take jobs until the worker is stopped, or loses the database."""
        tasks = [
            asyncio.ensure_future(work)
            for work in (
                self._app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=1,
                    delete_jobs="always",  # the tables say what became of uploads
                    install_signal_handlers=False,
                    fetch_job_polling_interval=_LOOK_SECONDS,
                    update_heartbeat_interval=HEARTBEAT_SECONDS,
                    stalled_worker_timeout=STALLED_SECONDS,
                ),
                self._look_after_others(),
                self._stopping.wait(),
            )
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _look_after_others(self) -> None:
        """Give the jobs of workers that died to those that live."""
        jobs, connector = self._app.job_manager, self._app.connector
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
                with suppress(ProcrastinateException):  # another one was first
                    await jobs.retry_job(job)
            for row in await connector.execute_query_all_async(_FORGOTTEN):
                with suppress(AlreadyEnqueued):
                    await self._app.configure_task(
                        PUBLISH, queue=QUEUE, lock=LOCK, queueing_lock=PUBLISH
                    ).defer_async(upload=row["id"])


def _unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say nothing of a job that another worker has ended meanwhile: its upload is answered."""
    if not isinstance(context.get("exception"), ProcrastinateException):
        loop.default_exception_handler(context)
