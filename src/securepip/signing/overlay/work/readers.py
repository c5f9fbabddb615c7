"""Reads what indexes offer in several processes, for a sync of very many projects.

Fetching and parsing a page takes a millisecond of Python, in which this process could not sign
anything. Rule: only questions and answers go from one process to another. If a process dies, each
of its open questions is answered with an error, which concerns one project like any other error.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.utils import NormalizedName

from securepip.errors import SecurepipError
from securepip.signing.overlay.ask import Offered, Question, Reader
from securepip.signing.overlay.details import is_metadata_unknown
from securepip.signing.overlay.upstream.page import UpstreamPage
from securepip.transport import PARALLEL, Transport
from securepip.transport.pool import Pool

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

MANY = 1_000
"""The number of projects from which on other processes are used: they take a second to start."""

_MOST = 4
_END_SECONDS = 2.0

Answer = Callable[[Offered], None]


class Readers:
    """Shares questions among several processes, and this one while the others are busy.

    Args:
        reader: Answers the questions; each process has a copy with its own transport.
        transport: The transport of ``reader``; the traffic of the other processes is added to it.
    """

    def __init__(self, reader: Reader, transport: Transport) -> None:
        count = min(max((os.cpu_count() or 1) - 1, 1), _MOST)
        self._threads = PARALLEL // (count + 1)
        self._reader = reader
        self._processes = [_Process(reader, transport, self._threads) for _ in range(count)]
        self._here = Pool(self._threads)
        self._here_free = threading.Semaphore(self._threads)

    def submit(self, question: Question, answer: Answer) -> None:
        """Answer a question, and call ``answer`` with the result in another thread."""
        process = min(self._processes, key=lambda each: each.under_way)
        # A busy process has a second question waiting for each of its threads.
        are_busy = process.under_way >= 2 * self._threads
        if are_busy and self._here_free.acquire(blocking=False):
            self._here.submit(self._read_here, (question, answer))
        else:
            process.submit(question, answer)

    def close(self) -> None:
        """End the processes. Questions that are under way are given up."""
        self._here.close()
        for process in self._processes:
            process.close()

    def _read_here(self, asked: tuple[Question, Answer]) -> None:
        question, answer = asked
        offered = self._reader.read(question)
        self._here_free.release()
        answer(offered)


class _Process:
    def __init__(self, reader: Reader, transport: Transport, threads: int) -> None:
        self._transport = transport
        self._waiting: dict[NormalizedName, Answer] = {}
        self._ended = False
        self._lock = threading.Lock()
        import multiprocessing  # only a sync of very many projects needs it

        # Spawned and not forked: this process may have threads.
        context = multiprocessing.get_context("spawn")
        self._connection, child_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(child_end, reader, transport, threads))
        self._process.daemon = True
        self._process.start()
        child_end.close()
        threading.Thread(target=self._receive, name="reader", daemon=True).start()

    @property
    def under_way(self) -> int:
        return len(self._waiting)

    def submit(self, question: Question, answer: Answer) -> None:
        with self._lock:
            self._waiting[question.project] = answer
            ended = self._ended
        if ended:
            self._lose_all()
            return
        with suppress(OSError):  # the process has ended, and `_receive` answers the question
            self._connection.send(question)

    def close(self) -> None:
        self._process.terminate()
        self._process.join(_END_SECONDS)

    def _receive(self) -> None:
        # After any error, nothing more can be received.
        with suppress(Exception):
            while True:
                offered, requests, received = self._connection.recv()
                self._transport.traffic.add(requests=requests, received=received)
                with self._lock:
                    answer = self._waiting.pop(offered.project)
                answer(offered)
        with self._lock:
            self._ended = True
        self._lose_all()

    def _lose_all(self) -> None:
        with self._lock:
            lost = dict(self._waiting)
            self._waiting.clear()
        for project, answer in lost.items():
            error = SecurepipError(
                "the process that was to read it has come to an end: is there enough memory?"
            )
            answer(Offered(project, error=error))


def _only_open_files(page: UpstreamPage) -> UpstreamPage:
    """``page`` with those files alone that are looked at again: details of them are missing."""
    return replace(
        page, files=tuple(f for f in page.files if f.size is None or is_metadata_unknown(f))
    )


def _serve(connection: Connection, reader: Reader, transport: Transport, threads: int) -> None:
    """Answer questions in another process, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks is interrupted, and ends
    pool, sending = Pool(threads), threading.Lock()

    def answer(question: Question) -> None:
        offered = reader.read(question)
        if offered.error is not None:
            # Not every kind of error can be pickled; its text can.
            offered = replace(offered, error=SecurepipError(offered.error.what))
        if offered.page is not None:
            offered = replace(offered, page=_only_open_files(offered.page))
        traffic = transport.traffic.take()
        try:
            data = pickle.dumps((offered, *traffic), pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # perhaps too little memory; the question has to be answered
            failure = SecurepipError(f"what is offered cannot be handed on: {error!r:.200}")
            data = pickle.dumps((Offered(question.project, error=failure), *traffic))
        with sending, suppress(OSError):
            connection.send_bytes(data)

    with suppress(EOFError):
        while True:
            pool.submit(answer, connection.recv())
