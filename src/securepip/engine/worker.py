"""A worker: takes jobs from the queue, publishes, and renews roles, until it is stopped.

Rule: if a worker dies, another one goes on. If a worker has no heartbeat for ``STALLED_SECONDS``,
its job is given to another one. That is harmless if the first one is still alive: the lock of the
database allows one publication at a time, and publishing the same bytes twice changes nothing.
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
# Finds an upload without a job, for example because somebody has changed the tables by hand.
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
        url: The address of its database.
        say: Called with a line for everything that is done, and for each failure.
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
        # These loggers would print tracebacks of errors that are reported here.
        logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)

    def run(self) -> None:
        """Work until ``stop``, SIGINT or SIGTERM. A job that is under way is finished first."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """End ``run``. It may be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    def _publish(self, upload: int) -> None:
        """The job of one upload: publish all waiting uploads."""
        with self._reported("Uploads could not be published, and wait"):
            self._publication.publish()

    def _refresh(self, timestamp: int) -> None:
        """The periodic job, which the queue makes for the time ``timestamp``."""
        with self._reported("The signatures could not be renewed"):
            refreshed = self._publication.refresh()
            if refreshed.signed:
                self._say(f"Renewed {counted(len(refreshed.signed), 'role')}")
            for each in refreshed.waiting:
                self._say(f"An offline key has to renew {each.role} by {each.expires:%Y-%m-%d}")

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        """Report an error of the block, and raise it."""
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
                reason = " ".join(redact_text(str(error)).split()) or type(error).__name__
                self._say(
                    f"The database does not answer, tried again in {pause:.0f} s: {reason:.300}"
                )
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._publication.close()

    async def _work(self) -> None:
        """Take jobs until the worker is stopped, or the database does not answer."""
        tasks = [
            asyncio.ensure_future(work)
            for work in (
                self._app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=1,
                    delete_jobs="always",  # the answers to uploads are in our own table
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
        """Give jobs of dead workers, and uploads without a job, to a living worker."""
        jobs, connector = self._app.job_manager, self._app.connector
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
                with suppress(ProcrastinateException):  # another worker was first
                    await jobs.retry_job(job)
            for row in await connector.execute_query_all_async(_FORGOTTEN):
                with suppress(AlreadyEnqueued):
                    await self._app.configure_task(
                        PUBLISH, queue=QUEUE, lock=LOCK, queueing_lock=PUBLISH
                    ).defer_async(upload=row["id"])


def _unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Ignore errors of a job that another worker has ended: its upload is answered."""
    if not isinstance(context.get("exception"), ProcrastinateException):
        loop.default_exception_handler(context)
