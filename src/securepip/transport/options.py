"""How a transport connects: pip's network options."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TransportOptions:
    """pip's network options, with pip's meaning.

    Attributes:
        timeout: How many seconds connecting, or waiting for the next bytes, may take.
        retries: How often a failed connection or a 429/5xx answer is tried again.
        cert: A PEM file of certificate authorities, used instead of the system's.
        client_cert: A PEM file with a client certificate and its key.
        proxy: ``scheme://[user:password@]host:port``, for every request.
        proxy_env: Whether the proxies that environment variables name are used.
        trusted_hosts: ``host`` or ``host:port`` whose TLS certificates are not checked.
        stay_encrypted: Whether to refuse a redirect from https to anything else. Callers that
            trust TLS need this; callers that verify signatures do not.
        answer_seconds: The most seconds that one answer may take, whatever its length.
        resume_retries: How often a download that broke off is resumed.
        keyring: How to ask a keyring: ``auto``, ``disabled``, ``import`` or ``subprocess``.
        named: URLs that the user named. Their credentials are used for the whole origin.
    """

    timeout: float = 15.0
    retries: int = 5
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    proxy_env: bool = True
    trusted_hosts: tuple[str, ...] = ()
    stay_encrypted: bool = False
    answer_seconds: float = math.inf
    resume_retries: int = 5
    keyring: str = "disabled"
    named: tuple[str, ...] = ()
