"""Fetching bytes from URLs, bounded in bytes and in time. Nothing here decides what is trusted."""

from securepip.transport.session import Answer, Transport, TransportOptions
from securepip.transport.urls import (
    file_url_to_path,
    is_local,
    join_url,
    path_to_url,
    redact,
    without_credentials,
)

__all__ = [
    "Answer",
    "Transport",
    "TransportOptions",
    "file_url_to_path",
    "is_local",
    "join_url",
    "path_to_url",
    "redact",
    "without_credentials",
]
