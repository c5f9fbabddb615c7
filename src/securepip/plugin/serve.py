"""The gateway of one pip process: started by the shim when pip first fetches, ended with pip.

Rule: it is told on its command line what pip was told of the network, wherever pip read it, and
reads none of pip's configuration itself. It ends when its standard input does, which is when the
process that started it is gone, however that ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from securepip.dirs import cache_dir, data_dir
from securepip.errors import SecurepipError
from securepip.gateway.answers import Answers
from securepip.gateway.serve import Gateway
from securepip.index import Store
from securepip.transport import Transport, TransportOptions
from securepip.trust import TrustStore


def main(words: Sequence[str]) -> int:
    """Serve until standard input ends; return an exit code.

    The first line of standard output is JSON: ``url`` is the gateway's address, ending in a slash,
    ``file`` a file that says the same, for the pip processes that this pip starts.
    """
    arguments = _parse(words)
    try:
        with ExitStack() as stack:
            return _serve(arguments, stack)
    except SecurepipError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--default-index", default="")
    parser.add_argument("--cert")
    parser.add_argument("--client-cert")
    parser.add_argument("--proxy")
    parser.add_argument("--no-proxy-env", action="store_true")
    parser.add_argument("--no-cache", action="store_true")
    parser.add_argument("--timeout", type=float, default=15.0)
    parser.add_argument("--retries", type=int, default=5)
    parser.add_argument("--trusted-host", action="append", default=[])
    return parser.parse_args(words)


def _serve(arguments: argparse.Namespace, stack: ExitStack) -> int:
    if arguments.no_proxy_env:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]
    options = TransportOptions(
        timeout=arguments.timeout,
        retries=arguments.retries,
        cert=arguments.cert,
        client_cert=arguments.client_cert,
        proxy=arguments.proxy,
        trusted_hosts=tuple(arguments.trusted_host),
    )
    trust = TrustStore(data_dir() / "trust")
    answers = Answers(
        trust.read,
        stack.enter_context(Transport(options)),
        Store(_cache(arguments, stack) / "store"),
        default_index=arguments.default_index,
    )
    gateway = Gateway(answers, by_url=True)
    place = {"url": gateway.url}
    # Readable by the user alone (mkstemp): who knows the address may ask.
    with tempfile.NamedTemporaryFile("w", dir=data_dir(), prefix="gateway-") as file:
        json.dump(place, file)
        file.flush()
        print(json.dumps({**place, "file": file.name}), flush=True)
        return asyncio.run(gateway.run(_end_of_input()))


def _cache(arguments: argparse.Namespace, stack: ExitStack) -> Path:
    if not arguments.no_cache:
        try:
            return cache_dir()
        except SecurepipError as error:
            print(f"{error}\nThe cache has been disabled.", file=sys.stderr)
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="securepip-")))


async def _end_of_input() -> int:
    await asyncio.to_thread(sys.stdin.buffer.read)
    return 0
