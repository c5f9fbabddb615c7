"""The gateway of one pip process: the shim starts it, and it ends with pip.

Rule: it gets pip's network settings from the shim, and reads no configuration of pip itself. They
come on standard input, because all users of the machine can read a command line, and the settings
may hold the password of a proxy. The gateway ends when its standard input ends: when the process
that started it is gone, in whatever way.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from securepip.dirs import data_dir, explained, temporary_folder, usable_cache
from securepip.errors import SecurepipError
from securepip.first_use import open_signers, trust_named
from securepip.gateway import surroundings
from securepip.gateway.address import announced, running
from securepip.gateway.answers import Answers
from securepip.gateway.web.serve import Gateway
from securepip.index import Store
from securepip.transport import Transport, TransportOptions
from securepip.trust import TrustStore, same_index


@dataclass(frozen=True)
class Settings:
    """pip's settings, which are the first line of standard input as JSON.

    Attributes:
        default_index: The index that pip uses by default.
        indexes: The indexes that pip was told to use, perhaps with user names and passwords.
        cert: A PEM file of certificate authorities.
        client_cert: A PEM file with a client certificate and its key.
        proxy: The proxy for every request.
        proxy_env: Whether the proxies in environment variables are used.
        timeout: How many seconds a connection may be silent.
        retries: How often a connection is tried again.
        trusted_hosts: Hosts whose certificates are not checked.
        keyring: The value of ``--keyring-provider``.
        cache: Whether files are kept in the cache.
        own_places: Whether pip also looks in places that the user named (``--find-links``).
    """

    default_index: str = ""
    indexes: tuple[str, ...] = ()
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    proxy_env: bool = True
    timeout: float = 15.0
    retries: int = 5
    trusted_hosts: tuple[str, ...] = ()
    keyring: str = "disabled"
    cache: bool = True
    own_places: bool = False


def main() -> int:
    """Serve until standard input ends; the exit code.

    The first line of standard output is JSON. ``url`` is the gateway's address, ending in a slash.
    ``file`` is a file with that address, for the pip processes that this pip starts.
    """
    surroundings.leave(os.environ)
    try:
        with ExitStack() as stack:
            return _serve(_read_settings(), stack)
    except SecurepipError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:
        explanation = explained(error)
        if explanation is None:
            raise
        print(explanation, file=sys.stderr)
        return explanation.exit_code


def _read_settings() -> Settings:
    try:
        return Settings(**json.loads(sys.stdin.buffer.readline()))
    except (ValueError, TypeError):
        raise SecurepipError(
            "the plugin of this environment is of another version than securepip",
            remedy="Enable it again: securepip plugin enable --python ENVIRONMENT",
        ) from None


def _serve(settings: Settings, stack: ExitStack) -> int:
    trust_store = TrustStore.of_user()
    # pip's default index stands for all trusted repositories.
    named = [url for url in settings.indexes if not same_index(url, settings.default_index)]
    options = TransportOptions(
        timeout=settings.timeout,
        retries=settings.retries,
        cert=settings.cert,
        client_cert=settings.client_cert,
        proxy=settings.proxy,
        proxy_env=settings.proxy_env,
        trusted_hosts=tuple(settings.trusted_hosts),
        keyring=settings.keyring,
        named=(*trust_store.read().addresses, *settings.indexes),
    )
    store = Store(_cache(settings, stack) / "store")
    answers = Answers(
        lambda: trust_named(named, trust_store, settings.trusted_hosts),
        stack.enter_context(Transport(options)),
        store,
        signers=stack.enter_context(open_signers(options, store)),
        default_indexes=[settings.default_index, *_gateways()],
        connections_are_held=True,
        # A project that nobody signs may be in the user's own places.
        older_releases=settings.own_places,
    )
    gateway = Gateway(answers, by_url=True)
    file = stack.enter_context(announced(data_dir() / "plugin", gateway.url))
    print(json.dumps({"url": gateway.url, "file": str(file)}), flush=True)
    return asyncio.run(gateway.run(_end_of_input()))


def _gateways() -> list[str]:
    """The index of a gateway that the user runs, for example with ``securepip gateway -- make``.

    It stands for all trusted repositories, which are verified here once more.
    """
    url = running(data_dir() / "gateway")
    return [f"{url}simple/"] if url is not None else []


def _cache(settings: Settings, stack: ExitStack) -> Path:
    return usable_cache(stack) if settings.cache else Path(stack.enter_context(temporary_folder()))


async def _end_of_input() -> int:
    await asyncio.to_thread(sys.stdin.buffer.read)
    return 0
