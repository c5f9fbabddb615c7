"""Options that several commands share, with pip's names and meaning, and what becomes of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from securepip.transport import Transport


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
        "--trusted-host", action="append", default=[], metavar="HOST",
        help="do not check the TLS certificate of this host",
    )  # fmt: skip


def transport_from(arguments: argparse.Namespace) -> Transport:
    """The transport that the network options describe."""
    from securepip.transport import Transport, TransportOptions

    return Transport(
        TransportOptions(
            timeout=arguments.timeout,
            retries=arguments.retries,
            cert=arguments.cert,
            client_cert=arguments.client_cert,
            proxy=arguments.proxy,
            trusted_hosts=tuple(arguments.trusted_host),
        )
    )
