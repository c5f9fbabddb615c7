"""Processes that read what indexes offer, for a sync of very many projects.

Fetching a page and making sense of it takes a millisecond of Python, in which nothing else can be
signed. Rule: what travels is a question and its answer. A process that comes to an end answers each
of its questions with an error, which concerns one project as any other error does.
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
"""From so many projects on, other processes read: they need a second to start."""

_MOST = 4
_END_SECONDS = 2.0

Answer = Callable[[Offered], None]


class Readers:
    """Some processes, which share the questions; this one takes part while they have enough to do.

    Args:
        reader: Reads in each of them, over a transport of its own there.
        transport: That of ``reader`` here: what the others move is counted in it.
    """

    def __init__(self, reader: Reader, transport: Transport) -> None:
        count = min(max((os.cpu_count() or 1) - 1, 1), _MOST)
        self._threads = PARALLEL // (count + 1)
        self._reader = reader
        self._processes = [_Process(reader, transport, self._threads) for _ in range(count)]
        self._here = Pool(self._threads)
        self._here_free = threading.Semaphore(self._threads)

    def submit(self, question: Question, answer: Answer) -> None:
        """Call ``answer`` with what is offered, in another thread."""
        process = min(self._processes, key=lambda each: each.under_way)
        # They have as much again when what they read now is done: not so while they start.
        is_enough = process.under_way >= 2 * self._threads
        if is_enough and self._here_free.acquire(blocking=False):
            self._here.submit(self._read_here, (question, answer))
        else:
            process.submit(question, answer)

    def close(self) -> None:
        """End; what is under way is given up."""
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
        import multiprocessing  # not for who reads here

        # Spawned and not forked: this process may have threads.
        context = multiprocessing.get_context("spawn")
        self._connection, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, reader, transport, threads))
        self._process.daemon = True
        self._process.start()
        there.close()
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
        with suppress(OSError):  # it has come to an end: `_receive` finds out
            self._connection.send(question)

    def close(self) -> None:
        self._process.terminate()
        self._process.join(_END_SECONDS)

    def _receive(self) -> None:
        # Whatever cannot be received means that no more can be.
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


def _without_what_is_whole(page: UpstreamPage) -> UpstreamPage:
    """What of a page somebody looks at again: the files of which something may be learned."""
    return replace(
        page, files=tuple(f for f in page.files if f.size is None or is_metadata_unknown(f))
    )


def _serve(connection: Connection, reader: Reader, transport: Transport, threads: int) -> None:
    """The whole of another process: answer until there are no more questions."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who is interrupted is the process that asks
    pool, sending = Pool(threads), threading.Lock()

    def answer(question: Question) -> None:
        offered = reader.read(question)
        if offered.error is not None:
            # Errors of some kinds cannot travel; what this one says can.
            offered = replace(offered, error=SecurepipError(offered.error.what))
        if offered.page is not None:
            offered = replace(offered, page=_without_what_is_whole(offered.page))
        traffic = transport.traffic.take()
        try:
            data = pickle.dumps((offered, *traffic), pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # such as no memory for all of it twice: who asks waits
            told = SecurepipError(f"what is offered cannot be handed on: {error!r:.200}")
            data = pickle.dumps((Offered(question.project, error=told), *traffic))
        with sending, suppress(OSError):
            connection.send_bytes(data)

    with suppress(EOFError):
        while True:
            pool.submit(answer, connection.recv())
