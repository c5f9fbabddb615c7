"""Fetching bytes from URLs, bounded in bytes and in time. Nothing here decides what is trusted."""

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
