"""Options that several commands share, with pip's names and meaning, and what becomes of them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from securepip.transport import Transport


def new_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str
) -> argparse.ArgumentParser:
    """One more of ``commands``, with the general options.

    None may be abbreviated: the next new option would change what a script means.
    """
    parser = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    add_general_options(parser)
    return parser


def add_general_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command takes."""
    general = parser.add_argument_group("general options")
    general.add_argument("-v", "--verbose", action="count", default=0, help="say more")
    general.add_argument("-q", "--quiet", action="count", default=0, help="say less")
    general.add_argument("--no-color", action="store_true", help="no colour")
    general.add_argument("--no-input", action="store_true", help="never ask")
    general.add_argument("--debug", action="store_true", help="show tracebacks")


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """The options of the network."""
    network = parser.add_argument_group("network options")
    network.add_argument("--cert", metavar="FILE", help="certificate authorities, a PEM file")
    network.add_argument("--client-cert", metavar="FILE", help="client certificate and key")
    network.add_argument("--proxy", metavar="URL", help="scheme://[user:password@]host:port")
    network.add_argument(
        "--timeout", "--default-timeout", type=float, default=15.0, metavar="SECONDS",
        help="how long a connection may be silent (default: 15)",
    )  # fmt: skip
    network.add_argument(
        "--retries", type=int, default=5, metavar="N", help="tries of a connection (default: 5)"
    )
    network.add_argument(
        "--resume-retries", type=int, default=5, metavar="N",
        help="tries of a download that breaks off (default: 5)",
    )  # fmt: skip
    network.add_argument(
        "--trusted-host", dest="trusted_hosts", action="append", default=[], metavar="HOST",
        help="do not check the TLS certificate of this host",
    )  # fmt: skip
    network.add_argument(
        "--no-proxy-env", action="store_true", help="no proxy from environment variables"
    )
    network.add_argument(
        "--keyring-provider", default="auto",
        choices=("auto", "disabled", "import", "subprocess"),
        help="where a keyring is asked for passwords (default: auto)",
    )  # fmt: skip


def transport_from(
    arguments: argparse.Namespace, named: Iterable[str] = (), trusted_hosts: Iterable[str] = ()
) -> Transport:
    """The transport that the network options describe.

    Args:
        arguments: The command line: of these options, or of pip's commands.
        named: URLs that the user named, whose credentials are for all of the same origin.
        trusted_hosts: More of them than the command line says.
    """
    from securepip.transport import Transport, TransportOptions

    if arguments.no_proxy_env:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]
    # As pip: a keyring may ask the user something, so it is not asked unless that is wanted.
    quiet = arguments.no_input and arguments.keyring_provider == "auto"
    return Transport(
        TransportOptions(
            timeout=arguments.timeout,
            retries=arguments.retries,
            cert=arguments.cert,
            client_cert=arguments.client_cert,
            proxy=arguments.proxy,
            trusted_hosts=(*arguments.trusted_hosts, *trusted_hosts),
            resume_retries=arguments.resume_retries,
            keyring="disabled" if quiet else arguments.keyring_provider,
            named=tuple(named),
        )
    )
