"""Options that several commands share, with pip's names and meaning, and their values."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from securepip.cli.parser import seconds, whole
from securepip.errors import FormatError, UsageError

if TYPE_CHECKING:
    from securepip.transport import Transport

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""The object of ``argparse`` that subcommands are added to."""

READ_ONLY_STATE = (
    "the state is left as it is (--read-only-state). All that it has seen still counts, but what "
    "is signed from now on is not remembered: a later run can be shown anything that is not older "
    "than the state."
)
"""The warning that is printed when ``--read-only-state`` is used."""


class General(NamedTuple):
    """The general options, which every command has.

    Attributes:
        verbosity: How often ``-v`` was given, minus how often ``-q`` was given.
        colour: Whether colour may be used.
        debug: Show tracebacks.
        log: The path of a file to which all messages are appended.
    """

    verbosity: int = 0
    colour: bool = True
    debug: bool = False
    log: str | None = None


class Network(NamedTuple):
    """How servers are reached, with pip's options and meaning.

    Attributes:
        timeout: Seconds that connecting, or waiting for the next bytes, may take.
        retries: How often a failed request is sent again.
        cert: A PEM file of certificate authorities, instead of the system's.
        client_cert: A PEM file with a client certificate and its key.
        proxy: ``scheme://[user:password@]host:port``.
        proxy_from_environment: Whether environment variables may name a proxy.
        trusted_hosts: Hosts whose TLS certificates are not checked.
        resume_retries: How often a download that broke off is resumed.
        keyring: ``auto``, ``disabled``, ``import`` or ``subprocess``: how passwords are looked up
            in a keyring.
    """

    timeout: float = 15.0
    retries: int = 5
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    proxy_from_environment: bool = True
    trusted_hosts: tuple[str, ...] = ()
    resume_retries: int = 5
    keyring: str = "auto"

    def transport(self, named: Iterable[str] = (), trusted_hosts: Iterable[str] = ()) -> Transport:
        """Make the client for these options; it connects only at the first request.

        Args:
            named: URLs that the user named. The credentials in one are sent with every request to
                the same origin.
            trusted_hosts: Further hosts whose TLS certificates are not checked.
        """
        from securepip.transport import Transport, TransportOptions

        return Transport(
            TransportOptions(
                timeout=self.timeout,
                retries=self.retries,
                cert=self.cert,
                client_cert=self.client_cert,
                proxy=self.proxy,
                proxy_env=self.proxy_from_environment,
                trusted_hosts=(*self.trusted_hosts, *trusted_hosts),
                resume_retries=self.resume_retries,
                keyring=self.keyring,
                named=tuple(named),
            )
        )


def new_command(commands: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    """Add a subcommand with the general options, and return its parser.

    Options may not be abbreviated: an option that is added later could change what a script means.
    """
    parser = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    add_general_options(parser)
    return parser


def add_general_options(parser: argparse.ArgumentParser) -> None:
    """Add the general options, which every command takes."""
    general = parser.add_argument_group("general options")
    general.add_argument("-v", "--verbose", action="count", default=0, help="say more")
    general.add_argument("-q", "--quiet", action="count", default=0, help="say less")
    general.add_argument("--no-color", action="store_true", help="no colour")
    general.add_argument("--no-input", action="store_true", help="never ask")
    general.add_argument("--debug", action="store_true", help="show tracebacks")


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how servers are reached."""
    network = parser.add_argument_group("network options")
    network.add_argument("--cert", metavar="FILE", help="certificate authorities, a PEM file")
    network.add_argument("--client-cert", metavar="FILE", help="client certificate and key")
    network.add_argument("--proxy", metavar="URL", help="scheme://[user:password@]host:port")
    network.add_argument(
        "--timeout", "--default-timeout", type=seconds(0.001), default=15.0, metavar="SECONDS",
        help="how long a connection may be silent (default: 15)",
    )  # fmt: skip
    network.add_argument(
        "--retries",
        type=whole(0, 1_000_000),
        default=5,
        metavar="N",
        help="tries of a connection (default: 5)",
    )
    network.add_argument(
        "--resume-retries", type=whole(0, 1_000_000), default=5, metavar="N",
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


def network_of(arguments: argparse.Namespace) -> Network:
    """The values of the network options."""
    return Network(
        timeout=arguments.timeout,
        retries=arguments.retries,
        cert=arguments.cert,
        client_cert=arguments.client_cert,
        proxy=arguments.proxy,
        proxy_from_environment=not arguments.no_proxy_env,
        trusted_hosts=tuple(arguments.trusted_hosts),
        resume_retries=arguments.resume_retries,
        # As in pip: a keyring may prompt the user, so --no-input switches it off.
        keyring="disabled"
        if arguments.no_input and arguments.keyring_provider == "auto"
        else arguments.keyring_provider,
    )


def apply_configuration(parser: argparse.ArgumentParser, command: str) -> None:
    """Use pip's configuration as defaults for the options of a parser and of its subcommands.

    Only options in ``_OF_PIP`` take a default from it. Unknown names are ignored, as in pip.

    Raises:
        SecurepipError: A configuration file cannot be read.
        UsageError: A value does not fit its option.
    """
    from securepip.formats.pip_configuration import read_pip_configuration

    _apply(parser, dict(read_pip_configuration(command)))


# How servers are reached, and how much is printed. Options that decide whom to trust, or that let
# something go unverified, are only taken from the command line: whoever can write a configuration
# file or set an environment variable must not be able to weaken the checks.
_OF_PIP = {
    "cert", "client-cert", "proxy", "timeout", "default-timeout", "retries", "resume-retries",
    "trusted-host", "no-proxy-env", "keyring-provider", "verbose", "quiet", "no-color", "no-input",
    "debug",
}  # fmt: skip


def _apply(parser: argparse.ArgumentParser, configured: Mapping[str, str]) -> None:
    for action in parser._actions:  # argparse has no other way to list them
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _apply(inner, configured)
        for option in action.option_strings:
            name = option.removeprefix("--") if option.startswith("--") else ""
            value = configured.get(name) if name in _OF_PIP else None
            if value is not None:
                action.default = _convert(action, option, value)


def _convert(action: argparse.Action, option: str, value: str) -> object:
    kind = type(action).__name__
    if kind in ("_StoreTrueAction", "_StoreFalseAction"):
        return _flag(option, value) == (kind == "_StoreTrueAction")
    if kind == "_CountAction":
        return int(value) if value.isdecimal() else int(_flag(option, value))
    if kind == "_AppendAction":
        return [os.path.expandvars(word) for word in value.split()]
    try:
        return action.type(value) if callable(action.type) else value
    except (ValueError, argparse.ArgumentTypeError):
        raise UsageError(f"pip's configuration has a wrong value for {option}: {value!r}") from None


def _flag(option: str, value: str) -> bool:
    from securepip.formats.pip_configuration import to_flag

    try:
        return to_flag(value)
    except ValueError:
        raise UsageError(f"pip's configuration has a wrong value for {option}: {value!r}") from None


def add_why(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add ``--why``, or ``names`` instead: a reason that is stored with the change to the log."""
    parser.add_argument(
        *(names or ("--why",)), dest="why", type=_reason, default="", metavar="TEXT",
        help="why you do this: one line that the log keeps, and that everybody may read",
    )  # fmt: skip


def _reason(text: str) -> str:
    from securepip.formats.words import parse_reason

    try:
        return parse_reason(text) if text else ""  # argparse converts the default "" too
    except FormatError as error:
        raise argparse.ArgumentTypeError(error.what) from None


def parse_age(text: str) -> timedelta:
    """Parse a duration such as ``12h``, ``7d`` or ``2w``.

    Raises:
        ArgumentTypeError: It is not in this form.
    """
    match = re.fullmatch(r"(\d{1,4})([hdw])", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"not a time such as 12h, 3d or 2w: {text!r}")
    return int(match[1]) * _UNITS[match[2]]
