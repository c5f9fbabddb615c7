"""Kills a process just before one of its steps, or after a time.

A step is a call that changes a file which others may see, or the ledger.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from securepip.signing.repository.state.ledger import Ledger

_KILLED = 99
_NEVER = 1 << 30


def kill_points(work: Callable[[], object], most: int = 8) -> list[int]:
    """Choose steps of ``work`` to kill it at. The last one is past its end.

    They are spread evenly. With the environment variable ``SECUREPIP_TEST_EVERY_KILL``, these are
    all steps.
    """
    reading, writing = os.pipe()
    _end(_fork(_NEVER, work, lambda taken: os.write(writing, str(taken).encode())))
    os.close(writing)
    with os.fdopen(reading) as stream:
        steps = int(stream.read())
    if steps <= most or os.environ.get("SECUREPIP_TEST_EVERY_KILL"):
        return list(range(steps + 1))
    return sorted({round(number * steps / (most - 1)) for number in range(most)})


def run_until(step: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in another process, which dies just before the step of this number.

    Returns:
        Whether it came to its end.
    """
    code = _end(_fork(step, work, lambda taken: None))
    assert code in (0, _KILLED)
    return code == 0


def kill_after(seconds: float | None, work: Callable[[], object]) -> float:
    """Run ``work`` in another process, and kill that after so many seconds, or let it end.

    Returns:
        The seconds that it took.
    """
    began = time.monotonic()
    child = _fork(_NEVER, work, lambda taken: None)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    code = _end(child)
    assert code == 0 or (seconds is not None and code == -signal.SIGKILL)
    return time.monotonic() - began


def _fork(step: int, work: Callable[[], object], tell: Callable[[int], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            left = _die_at(step)
            work()
            tell(step - next(left))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return child


def _end(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _die_at(step: int) -> Iterator[int]:
    left = itertools.count(step, -1)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(left) <= 0:
                os._exit(_KILLED)
            return function(*args, **kwargs)

        return call

    for owner, name in (
        *((Path, name) for name in ("replace", "unlink", "rename")),
        *((Ledger, name) for name in ("record", "begin", "withdraw", "finish", "set_current")),
        *((os, name) for name in ("link", "sync", "fsync", "unlink", "rmdir", "replace", "rename")),
    ):
        setattr(owner, name, counted(getattr(owner, name)))
    return left
