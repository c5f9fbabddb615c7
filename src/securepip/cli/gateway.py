"""``securepip gateway``: serves the verified index on the loopback interface, for other tools."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from securepip.cli import console
from securepip.cli.options import (
    READ_ONLY_STATE,
    Network,
    add_general_options,
    add_network_options,
    apply_configuration,
    network_of,
)
from securepip.cli.parser import MAX_PORT, whole
from securepip.errors import UsageError
from securepip.formats.pip_configuration import read_pip_configuration

if TYPE_CHECKING:
    from securepip.gateway.surroundings import Surroundings
    from securepip.gateway.web.passing import Passing
    from securepip.gateway.web.serve import Gateway
    from securepip.transport import Transport
    from securepip.trust import Trust

STABLE_PORT = 8458
"""The port of ``--stable-url`` where ``--port`` names none."""

_INDEX_OPTIONS = {"-i", "--index-url", "--extra-index-url", "--default-index", "--index"}
_EXTRA_OF_PIP = re.compile(r"(pip[-_])?extra[-_]index[-_]url ", re.IGNORECASE)
_SIGNALS = [signal.SIGINT, signal.SIGTERM]
if sys.platform != "win32":  # Windows has no SIGHUP
    _SIGNALS.append(signal.SIGHUP)


@dataclass(frozen=True)
class GatewayRequest:
    """``securepip gateway``.

    Attributes:
        port: The port to listen on; None for any free one, or that of ``stable_url``.
        repository: Use only this one of the trusted repositories.
        read_only_state: Work on a copy of the stored state of the repositories.
        stable_url: Use the same address each time, without a token in it.
        print_env: Print shell commands that set the environment variables of the gateway.
        command: Run this command inside the gateway, and end with it; empty for none.
        allow_older_releases: Where a release requires something that nobody signs, let the tool
            take an older release.
        allow: ``HOST`` or ``HOST:PORT``, each: what the command may also connect to. Nothing is
            verified there.
        network: How servers are reached.
    """

    port: int | None = None
    repository: str | None = None
    read_only_state: bool = False
    stable_url: bool = False
    print_env: bool = False
    command: tuple[str, ...] = ()
    allow_older_releases: bool = False
    allow: tuple[str, ...] = ()
    network: Network = field(default_factory=Network)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``gateway``."""
    parser.usage = "securepip gateway [options] [-- COMMAND ...]"
    parser.description = (
        "Serve the verified index at an address on this machine that nobody else knows. With a "
        "command, for that command alone, until it ends."
    )
    parser.add_argument(
        "--port", type=whole(0, MAX_PORT), metavar="N", help="default: any that is free"
    )
    parser.add_argument(
        "--repository", metavar="NAME", help="only this one of the trusted repositories"
    )
    parser.add_argument(
        "--read-only-state", action="store_true",
        help="leave what was seen so far as it is, in an image for example",
    )  # fmt: skip
    parser.add_argument(
        "--stable-url", action="store_true",
        help=f"the same address each time (port {STABLE_PORT}, no key in it), for lock files that "
        "record addresses; only on a machine that nobody else uses",
    )  # fmt: skip
    parser.add_argument(
        "--allow-older-releases", action="store_true",
        help="where a release requires what nobody signs, let the tool take an older one",
    )  # fmt: skip
    parser.add_argument(
        "--allow", action="append", default=[], metavar="HOST[:PORT]",
        help="let COMMAND connect to this host, where nothing is verified",
    )  # fmt: skip
    parser.add_argument(
        "--print-env", action="store_true",
        help="print what sets a shell up for the gateway that is running, or, if none is or other "
        "options ask for another, for one that is started now",
    )  # fmt: skip
    add_network_options(parser)
    add_general_options(parser)
    apply_configuration(parser, "gateway")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    return run(
        GatewayRequest(
            port=arguments.port,
            repository=arguments.repository,
            read_only_state=arguments.read_only_state,
            stable_url=arguments.stable_url,
            print_env=arguments.print_env,
            command=tuple(arguments.inside),
            allow_older_releases=arguments.allow_older_releases,
            allow=tuple(arguments.allow),
            network=network_of(arguments),
        )
    )


def run(request: GatewayRequest) -> int:
    """Serve until a signal ends the gateway, or its command ends.

    Returns:
        The exit code of the command; 0 where there is none.

    Raises:
        SecurepipError: No repository is trusted, or the port cannot be listened on.
        UsageError: The port or an allowed host is not valid, a host is allowed without a command,
            or the command cannot be run.
    """
    from securepip.dirs import data_dir, temporary_folder
    from securepip.gateway.address import announced, running

    console.keep_stdout_free()
    folder = data_dir() / "gateway"
    if request.print_env and not (
        request.command or request.port or request.stable_url or request.repository
    ):
        url = running(folder)
        if url is not None:
            _print_environment(_surroundings(url))
            return 0
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(temporary_folder()))
        gateway = _open(request, temporary, stack)
        folder = temporary if request.read_only_state else folder
        path = stack.enter_context(announced(folder, gateway.url))
        if request.command:
            changed = _surroundings(gateway.url, proxy=_proxy_address(gateway.url))
            _say_left_out(changed)
            return asyncio.run(gateway.run(_command(request.command, changed)))
        if request.print_env:
            _print_environment(_surroundings(gateway.url))
            # Inside `eval "$(…)"` the shell waits until the gateway ends, so explain that.
            console.say(
                "This gateway was started now, and runs until it is ended (Ctrl-C). For `eval`, "
                "start `securepip gateway &` first, and wait for the line that it prints."
            )
        else:
            where = {"url": gateway.url, "index_url": f"{gateway.url}simple/", "file": str(path)}
            console.say_machine(json.dumps(where))
        return asyncio.run(gateway.run(_signalled()))


def _open(request: GatewayRequest, temporary: Path, stack: ExitStack) -> Gateway:
    """Make the gateway; it listens already when this returns."""
    from securepip.dirs import usable_cache
    from securepip.first_use import open_signers, trust_named
    from securepip.gateway.answers import Answers
    from securepip.gateway.web.serve import Gateway
    from securepip.index import Store, untrusted
    from securepip.trust import TrustStore

    port = request.port
    if port is None:
        port = STABLE_PORT if request.stable_url else 0
    if not 0 <= port <= 65535:
        raise UsageError(f"--port: {port} is not a port number")
    trust_store = TrustStore.of_user()

    named = _named_indexes(request.command)

    def read_trust() -> Trust:
        trust = trust_named(named, trust_store, request.network.trusted_hosts)
        if request.read_only_state:
            trust = trust.with_state_copied_to(temporary / "state")
        return trust if request.repository is None else trust.only(request.repository)

    if not read_trust().repositories:
        raise untrusted()
    if request.read_only_state:
        console.warn(READ_ONLY_STATE)
    transport = stack.enter_context(request.network.transport(read_trust().addresses))
    passing = _passing(request, transport)
    store = Store(usable_cache(stack) / "store")
    answers = Answers(
        read_trust,
        transport,
        store,
        signers=stack.enter_context(open_signers(transport.options, store, console.say)),
        connections_are_held=passing is not None,
        older_releases=request.allow_older_releases,
    )
    return Gateway(answers, port=port, with_token=not request.stable_url, passing=passing)


def _named_indexes(command: Sequence[str]) -> list[str]:
    """The index URLs in pip's configuration and in the command that runs inside the gateway."""
    settings = dict(read_pip_configuration("install"))
    urls = [*settings.get("index-url", "").split(), *settings.get("extra-index-url", "").split()]
    for word, following in zip(command, (*command[1:], ""), strict=False):
        option, is_joined, value = word.partition("=")
        if option in _INDEX_OPTIONS:
            urls.append(value if is_joined else following)
    return [url for url in dict.fromkeys(urls) if url.startswith(("http://", "https://"))]


def _passing(request: GatewayRequest, transport: Transport) -> Passing | None:
    """The proxy that limits the command's connections; None where no command is run."""
    from securepip.gateway.web.passing import Passing, named_with_hash, parse_allowed

    if request.command:
        named = named_with_hash(request.command)
        return Passing(parse_allowed(request.allow), named, transport.options)
    if request.allow:
        raise UsageError(
            "--allow is for a command that runs inside the gateway",
            remedy="  securepip gateway --allow HOST -- COMMAND",
        )
    return None


def _proxy_address(url: str) -> str:
    """The URL of the gateway as an HTTP proxy, with the token as the password."""
    from securepip.gateway.web.proxy import PROXY_USER

    parts = urlsplit(url)
    token = parts.path.strip("/")
    login = f"{PROXY_USER}:{token}@" if token else ""
    return f"http://{login}{parts.netloc}"


async def _signalled() -> int:
    """Wait for a signal that ends the gateway."""
    ended = asyncio.Event()
    with _on_signals(lambda number: ended.set()):
        await ended.wait()
    return 0


async def _command(words: Sequence[str], changed: Surroundings) -> int:
    """Run a command to its end; its exit code, 128 plus the number of the signal that ended it."""
    try:
        process = await asyncio.create_subprocess_exec(*words, env=changed.applied(os.environ))
    except OSError as error:
        raise UsageError(f"{words[0]} cannot be run: {error.strerror}") from None

    def pass_on(number: int) -> None:
        # On a terminal, Ctrl-C reaches the command anyway; it must not get the signal twice.
        if process.returncode is None and not (number == signal.SIGINT and os.isatty(0)):
            process.send_signal(number)

    with _on_signals(pass_on):
        code = await process.wait()
    return 128 - code if code < 0 else code


@contextmanager
def _on_signals(handle: Callable[[int], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _surroundings(url: str, proxy: str | None = None) -> Surroundings:
    from securepip.gateway.surroundings import surroundings
    from securepip.trust import TrustStore

    # Settings from pip's files only: those from `PIP_*` variables are in `os.environ`.
    files = {name: value for name, value in os.environ.items() if name == "PIP_CONFIG_FILE"}
    settings = dict(read_pip_configuration("install", environ=files))
    changed = surroundings(url, os.environ, settings, proxy=proxy)
    if TrustStore.of_user().read().any_index is None:
        return changed
    # The gateway itself serves pip's configured extra indexes, so they are not left out.
    left_out = (each for each in changed.left_out if not _EXTRA_OF_PIP.match(each))
    return replace(changed, left_out=tuple(left_out))


def _print_environment(changed: Surroundings) -> None:
    for name in filter(str.isidentifier, changed.unset):  # shells accept no other names
        console.say_machine(f"unset {name}")
    for name, value in changed.variables.items():
        console.say_machine(f"export {name}={shlex.quote(value)}")
    _say_left_out(changed)


def _say_left_out(changed: Surroundings) -> None:
    if changed.left_out:
        console.warn(
            f"Not passed on, because nobody verifies what is there: {', '.join(changed.left_out)}"
        )
