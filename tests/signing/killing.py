"""Ending a process just before one of its steps: whatever changes a file that others may see."""

from __future__ import annotations

import itertools
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from securepip.signing.repository.state.ledger import Ledger

_KILLED = 99
_NEVER = 1 << 30


def kill_points(work: Callable[[], object], most: int = 8) -> list[int]:
    """Steps of ``work`` to be killed at, and one past the end.

    They are spread evenly; with the environment variable ``SECUREPIP_TEST_EVERY_KILL`` it is every
    step.
    """
    reading, writing = os.pipe()
    _fork(_NEVER, work, lambda taken: os.write(writing, str(taken).encode()))
    os.close(writing)
    with os.fdopen(reading) as stream:
        steps = int(stream.read())
    if steps <= most or os.environ.get("SECUREPIP_TEST_EVERY_KILL"):
        return list(range(steps + 1))
    return sorted({round(number * steps / (most - 1)) for number in range(most)})


def run_until(step: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in another process that dies just before its step of that number.

    Returns:
        Whether it came to its end.
    """
    return _fork(step, work, lambda taken: None)


def _fork(step: int, work: Callable[[], object], tell: Callable[[int], object]) -> bool:
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
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, _KILLED)
    return code == 0


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
