"""Fetches bytes from URLs, bounded in bytes and in time. Nothing here decides what is trusted."""

import sys
import warnings

with warnings.catch_warnings():
    # requests imports one of these to guess encodings, and works without them, as pip's copy of
    # requests does. Nothing here needs an encoding, and the import takes a twentieth of the time of
    # a small install. A module that is imported already is left alone.
    warnings.simplefilter("ignore")
    _guessers = {"chardet", "charset_normalizer"} - sys.modules.keys()
    sys.modules.update(dict.fromkeys(_guessers))  # type: ignore[arg-type] # None: not to be found
    try:
        import requests  # noqa: F401 - imported now, while they cannot be found
    finally:
        for _name in _guessers:
            del sys.modules[_name]

from securepip.redaction import redact
from securepip.transport.allowance import Allowance, Early
from securepip.transport.client import Answer, Transport
from securepip.transport.options import TransportOptions
from securepip.transport.pool import PARALLEL
from securepip.transport.urls import (
    file_url_to_path,
    is_local,
    is_loopback,
    join_url,
    path_to_url,
    without_credentials,
)

__all__ = [
    "PARALLEL",
    "Allowance",
    "Answer",
    "Early",
    "Transport",
    "TransportOptions",
    "file_url_to_path",
    "is_local",
    "is_loopback",
    "join_url",
    "path_to_url",
    "redact",
    "without_credentials",
]
