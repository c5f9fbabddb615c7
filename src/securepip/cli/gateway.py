"""``securepip gateway``: the verified index on loopback, for every other tool."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import add_general_options, add_network_options, transport_from
from securepip.cli.pip_commands.configuration import apply_configuration, read_pip_configuration
from securepip.errors import UsageError

if TYPE_CHECKING:
    from securepip.gateway.address import Surroundings
    from securepip.gateway.serve import Gateway
    from securepip.trust import Trust

STABLE_PORT = 8458
"""Of ``--stable-url``, without ``--port``."""

_SIGNALS = [signal.SIGINT, signal.SIGTERM]
if sys.platform != "win32":  # which has no such signal
    _SIGNALS.append(signal.SIGHUP)


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``gateway``."""
    parser = commands.add_parser(
        "gateway",
        help="the verified index on loopback, for uv, poetry, pdm, pipx, tox and pip",
        usage="securepip gateway [options] [-- COMMAND ...]",
        description="Serve the verified index at an address on this machine, to which only you "
        "have the key; with a command, for as long as that runs, and to that.",
        allow_abbrev=False,
    )
    parser.add_argument("--port", type=int, metavar="N", help="default: any that is free")
    parser.add_argument(
        "--repository", metavar="NAME", help="only this one of the trusted repositories"
    )
    parser.add_argument(
        "--stable-url", action="store_true",
        help=f"the same address each time (port {STABLE_PORT}, no key in it), for lock files that "
        "record addresses; only on a machine that nobody else uses",
    )  # fmt: skip
    parser.add_argument(
        "--print-env", action="store_true",
        help="print what sets a shell up for the gateway that is running, or, if none is or other "
        "options ask for another, for one that is started now",
    )  # fmt: skip
    add_network_options(parser)
    add_general_options(parser)
    parser.set_defaults(run=_run, command=())


def split_command(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own part of the line, and the command after ``--`` that is run inside the gateway."""
    if words[:1] == ["gateway"] and "--" in words:
        at = words.index("--")
        return list(words[:at]), list(words[at + 1 :])
    return list(words), []


def configure(parser: argparse.ArgumentParser) -> None:
    """Take pip's configuration of the network as the defaults of the command's options."""
    apply_configuration(parser, read_pip_configuration("gateway"))


def _run(arguments: argparse.Namespace) -> int:
    from securepip.dirs import data_dir
    from securepip.gateway.address import announced, running

    console.keep_stdout_free()
    folder = data_dir() / "gateway"
    if arguments.print_env and not (
        arguments.command or arguments.port or arguments.stable_url or arguments.repository
    ):
        url = running(folder)
        if url is not None:
            _print_environment(_surroundings(url))
            return 0
    with ExitStack() as stack:
        gateway = _open(arguments, stack)
        path = stack.enter_context(announced(folder, gateway.url))
        if arguments.command:
            changed = _surroundings(gateway.url)
            _say_left_out(changed)
            return asyncio.run(gateway.run(_command(arguments.command, changed)))
        if arguments.print_env:
            _print_environment(_surroundings(gateway.url))
            # Inside `eval "$(…)"` a shell waits for the end: say what it waits for.
            console.say(
                "This gateway was started now, and runs until it is ended (Ctrl-C). For `eval`, "
                "start `securepip gateway &` first, and wait for the line that it prints."
            )
        else:
            where = {"url": gateway.url, "index_url": f"{gateway.url}simple/", "file": str(path)}
            console.say_machine(json.dumps(where))
        return asyncio.run(gateway.run(_signalled()))


def _open(arguments: argparse.Namespace, stack: ExitStack) -> Gateway:
    """The gateway, listening."""
    from securepip.dirs import cache_dir, data_dir
    from securepip.gateway.answers import Answers
    from securepip.gateway.serve import Gateway
    from securepip.index import Store, untrusted
    from securepip.trust import TrustStore

    port = arguments.port
    if port is None:
        port = STABLE_PORT if arguments.stable_url else 0
    if not 0 <= port <= 65535:
        raise UsageError(f"--port: {port} is no port")
    believed = TrustStore(data_dir() / "trust")

    def read_trust() -> Trust:
        trust = believed.read()
        return trust if arguments.repository is None else trust.only(arguments.repository)

    if not read_trust().repositories:
        raise untrusted()
    answers = Answers(
        read_trust,
        stack.enter_context(transport_from(arguments, read_trust().addresses)),
        Store(cache_dir() / "store"),
    )
    return Gateway(answers, port=port, with_token=not arguments.stable_url)


async def _signalled() -> int:
    """Until somebody ends the gateway."""
    ended = asyncio.Event()
    with _on_signals(lambda number: ended.set()):
        await ended.wait()
    return 0


async def _command(words: Sequence[str], changed: Surroundings) -> int:
    """Run a command until it ends; its exit code, as a shell gives it."""
    try:
        process = await asyncio.create_subprocess_exec(*words, env=changed.applied(os.environ))
    except OSError as error:
        raise UsageError(f"{words[0]} cannot be run: {error.strerror}") from None

    def pass_on(number: int) -> None:
        # Ctrl-C on a terminal reaches the command by itself: twice would be twice.
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


def _surroundings(url: str) -> Surroundings:
    from securepip.gateway.address import surroundings

    files = {name: value for name, value in os.environ.items() if name == "PIP_CONFIG_FILE"}
    return surroundings(url, os.environ, dict(read_pip_configuration("install", environ=files)))


def _print_environment(changed: Surroundings) -> None:
    for name in filter(str.isidentifier, changed.unset):  # shells know no others
        console.say_machine(f"unset {name}")
    for name, value in changed.variables.items():
        console.say_machine(f"export {name}={shlex.quote(value)}")
    _say_left_out(changed)


def _say_left_out(changed: Surroundings) -> None:
    if changed.left_out:
        console.warn(
            f"Not passed on, because nobody verifies what is there: {', '.join(changed.left_out)}"
        )
