"""A clock that is wrong."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from unittest import mock

_REAL = datetime.datetime


@contextmanager
def clock_set_by(days: float) -> Iterator[None]:
    """Let python-tuf read a clock that is so many days ahead."""

    class Wrong(_REAL):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override] # as python-tuf calls it
            return _REAL.now(tz) + timedelta(days=days)

    with mock.patch("tuf.ngclient._internal.trusted_metadata_set.datetime.datetime", Wrong):
        yield
