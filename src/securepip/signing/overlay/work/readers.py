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
    """Some processes, which share the questions.

    Args:
        reader: Reads in each of them, over a transport of its own there.
        transport: That of ``reader`` here: what the others move is counted in it.
    """

    def __init__(self, reader: Reader, transport: Transport) -> None:
        count = min(max((os.cpu_count() or 1) - 1, 1), _MOST)
        self._processes = [_Process(reader, transport, PARALLEL // count) for _ in range(count)]

    def submit(self, question: Question, answer: Answer) -> None:
        """Call ``answer`` with what is offered, in another thread."""
        min(self._processes, key=lambda each: each.under_way).submit(question, answer)

    def close(self) -> None:
        """End; what is under way is given up."""
        for process in self._processes:
            process.close()


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


def _serve(connection: Connection, reader: Reader, transport: Transport, threads: int) -> None:
    """The whole of another process: answer until there are no more questions."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who is interrupted is the process that asks
    pool, sending = Pool(threads), threading.Lock()

    def answer(question: Question) -> None:
        offered = reader.read(question)
        if offered.error is not None:
            # Errors of some kinds cannot travel; what this one says can.
            offered = replace(offered, error=SecurepipError(offered.error.what))
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
