"""Fetching bytes from URLs, bounded in bytes and in time. Nothing here decides what is trusted."""

import sys
import warnings

with warnings.catch_warnings():
    # requests guesses the encoding of texts by one of these, and does without them, as pip's copy
    # of it. Nothing here reads a text, and to import them takes a twentieth of a small install.
    # Who has imported requests or one of them before keeps what there is.
    warnings.simplefilter("ignore")
    _guessers = {"chardet", "charset_normalizer"} - sys.modules.keys()
    sys.modules.update(dict.fromkeys(_guessers))  # type: ignore[arg-type] # None: not to be found
    try:
        import requests  # noqa: F401 - so that it is there, without them
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
