"""Reads the command lines of ``install``, ``download`` and ``lock`` as pip reads them.

Rule: all options come from ``options.table``. It is an ``optparse`` parser, as in pip, because
``argparse`` behaves differently for abbreviated options, for values that begin with a dash
(``-C --build-option=x``), and for options between arguments.
"""

from __future__ import annotations

import argparse
import optparse
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePath
from typing import Any, NoReturn

from securepip.cli.options import network_of
from securepip.cli.parser import maybe_meant
from securepip.cli.pip_commands.options import COMMANDS, GENERAL, Group, Option
from securepip.cli.pip_commands.requests import (
    AnyRequest,
    Builds,
    Choosing,
    Destination,
    DownloadRequest,
    InstallRequest,
    LockRequest,
    Named,
    Places,
    Target,
)
from securepip.errors import UsageError
from securepip.formats.pip_configuration import places_of_prefix, read_pip_configuration, to_flag


def split_command(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """Split a line into its command and all other words; None if it is not a command of pip.

    General options may come before the command, as in pip.
    """
    parser = _make_parser("securepip", (Group("General Options", GENERAL),))
    parser.disable_interspersed_args()
    if {"-h", "--help"} & set(words[:1]):
        return None
    try:
        _, rest = parser.parse_args(list(words))
    except UsageError:
        return None
    if not rest or rest[0] not in COMMANDS:
        return None
    others = list(words)
    others.remove(rest[0])
    return rest[0], others


def parse(command: str, words: Sequence[str]) -> argparse.Namespace:
    """The options of a command line, with pip's configuration as defaults.

    Args:
        command: ``install``, ``download`` or ``lock``.
        words: All words but the command.

    Returns:
        The values by the options' ``dest``; ``arguments``, the words that are no options; and
        ``configured_indexes``, what pip's configuration says of indexes: the first, perhaps "",
        then the extra ones. What the target's own configuration says of them is not among these:
        it is ``named_by_environment``.

    Raises:
        UsageError: The command line, or the configuration, is not valid, or asks for something
            that cannot be honoured.
        SystemExit: ``--help`` was asked for, and given.
    """
    parser = _make_parser(f"securepip {command}", COMMANDS[command])
    first, _ = parser.parse_args([word for word in words if word not in ("-h", "--help")])
    prefix = _prefix_of(first.python)
    configured = read_pip_configuration(
        command, prefix=prefix, isolated=first.isolated_mode, of_prefix=False
    )
    indexes, configured = _without_places(configured)
    parser = _make_parser(f"securepip {command}", COMMANDS[command])
    parser.set_defaults(**_defaults(parser, configured))
    values, arguments = parser.parse_args(list(words))
    _refuse(values)
    return argparse.Namespace(
        **vars(values),
        arguments=arguments,
        debug=values.debug_mode,
        configured_indexes=indexes,
        named_by_environment=tuple(places_of_prefix(command, prefix=prefix)),
    )


def read(command: str, words: Sequence[str]) -> AnyRequest:
    """Parse a command line into a request.

    Args:
        command: ``install``, ``download`` or ``lock``.
        words: All words but the command.

    Raises:
        UsageError: As ``parse``.
        SystemExit: ``--help`` was asked for, and given.
    """
    return request_of(command, parse(command, words))


def request_of(command: str, values: argparse.Namespace) -> AnyRequest:
    """Make the request from the values that ``parse`` returns."""
    make: dict[str, Callable[[argparse.Namespace], AnyRequest]]
    make = {"install": _install, "download": _download, "lock": _lock}
    return make[command](values)


def _install(values: argparse.Namespace) -> InstallRequest:
    return InstallRequest(
        **_common(values),
        named=_named(values)._replace(**_of_projects(values)),
        target=_target(values),
        destination=Destination(
            values.use_user_site, values.target_dir, values.prefix_path, values.root_path
        ),
        dry_run=values.dry_run,
        report=values.json_report_file or None,
        upgrade=bool(values.upgrade),
        upgrade_strategy=values.upgrade_strategy,
        force_reinstall=bool(values.force_reinstall),
        ignore_installed=bool(values.ignore_installed),
        compile=bool(values.compile),
        break_system_packages=bool(values.override_externally_managed),
        warn_script_location=values.warn_script_location,
        warn_conflicts=values.warn_about_conflicts,
        root_user_action=values.root_user_action,
    )


def _download(values: argparse.Namespace) -> DownloadRequest:
    return DownloadRequest(
        **_common(values),
        named=_named(values),
        target=_target(values),
        folder=values.download_dir,
    )


def _lock(values: argparse.Namespace) -> LockRequest:
    # A lock is for the Python that is asked: pip's `lock` has no options for another target.
    return LockRequest(
        **_common(values),
        named=_named(values)._replace(**_of_projects(values)),
        target=Target(values.python, values.require_venv),
        output=values.output_file,
    )


def _common(values: argparse.Namespace) -> dict[str, Any]:
    """The fields that the requests of all three commands have."""
    return {
        "choosing": Choosing(
            prereleases=values.pre,
            no_deps=values.ignore_dependencies,
            only_deps=values.only_dependencies,
            ignore_requires_python=bool(values.ignore_requires_python),
            uploaded_prior_to=values.uploaded_prior_to,
            formats=tuple(values.format_control),
            releases=tuple(values.release_control),
            prefer_binary=values.prefer_binary,
            allow_older_releases=values.allow_older_releases,
        ),
        "places": Places(
            repository=values.repository,
            read_only_state=bool(values.read_only_state),
            index_url=values.index_url,
            extra_index_urls=tuple(values.extra_index_urls),
            no_index=values.no_index,
            find_links=tuple(values.find_links),
            configured=values.configured_indexes,
            named_by_environment=values.named_by_environment,
            refresh=tuple(values.refresh_package),
        ),
        "builds": Builds(
            isolated=bool(values.build_isolation),
            check_dependencies=values.check_build_deps,
            constraints=tuple(values.build_constraints),
            keep=values.no_clean,
        ),
        "network": network_of(values),
        "cache": values.cache_dir or None,
        "no_cache": values.cache_dir is False,
        "progress_bar": values.progress_bar,
        "features": tuple(values.features_enabled),
        "deprecated": tuple(values.deprecated_features_enabled),
    }


def _named(values: argparse.Namespace) -> Named:
    return Named(
        words=tuple(values.arguments),
        requirements=tuple(values.requirements),
        constraints=tuple(values.constraints),
        groups=tuple(values.dependency_groups),
        scripts=tuple(values.requirements_from_scripts),
        require_hashes=values.require_hashes,
        no_require_hashes=values.no_require_hashes,
    )


def _of_projects(values: argparse.Namespace) -> dict[str, Any]:
    return {"editables": tuple(values.editables), "config_settings": values.config_settings}


def _target(values: argparse.Namespace) -> Target:
    return Target(
        python=values.python,
        require_virtualenv=values.require_venv,
        platforms=tuple(values.platforms or ()),
        python_version=values.python_version,
        implementation=values.implementation,
        abis=tuple(values.abis or ()),
    )


_LONGEST = 1e9  # seconds: more is no time for a socket
_Configured = list[tuple[str, str]]


def _without_places(configured: _Configured) -> tuple[tuple[str, ...], _Configured]:
    """Separate the index URLs from pip's configuration, and drop links to servers from it.

    These settings were made for pip, usually long before a repository was trusted, so they are not
    refused. A configured index selects the trusted repository that it stands for. Nothing could be
    verified from other indexes and from find-links on servers, so nothing is fetched from them.
    An index that this command itself names (in an option or a requirements file) is refused
    instead, because the user expects it to be asked.

    Returns:
        The index URLs: the first, perhaps "", then the extra ones. And all other settings, with
        find-links only where they are on this machine.
    """
    last = dict(configured)
    first = last.get("index-url") or last.get("pypi-url") or ""
    links = last.get("find-links", "").split()
    local = [link for link in links if not link.lower().startswith(("http:", "https:"))]
    places = {"index-url", "pypi-url", "extra-index-url", "find-links"}
    kept = [(name, value) for name, value in configured if name not in places]
    if local:
        kept.append(("find-links", " ".join(local)))
    return (first, *last.get("extra-index-url", "").split()), kept


def _refuse(values: optparse.Values) -> None:
    """Refuse values that cannot be honoured, whether they are typed or configured."""
    if "legacy-certs" in values.deprecated_features_enabled:
        raise UsageError(
            "--use-deprecated legacy-certs cannot be honoured",
            remedy="Certificates are those of the system; for others there is --cert.",
        )


_NO_OPTION = "no such option: "


class _Parser(optparse.OptionParser):
    def error(self, msg: str) -> NoReturn:
        name = self.get_prog_name()
        usage = f"Usage: {name} [options] <requirement> ..."
        if msg.startswith(_NO_OPTION):
            meant = maybe_meant(msg.removeprefix(_NO_OPTION), self._long_opt)
            msg += f" - maybe you meant {meant}" if meant else ""
        raise UsageError(msg, remedy=f"{usage}\nSee `{name} --help`.")


class _Formatter(optparse.IndentedHelpFormatter):
    """Formats the help as pip does: only the first names, and values in angle brackets."""

    def __init__(self) -> None:
        super().__init__(indent_increment=1, max_help_position=30)

    def format_option_strings(self, option: optparse.Option) -> str:
        names = [*option._short_opts[:1], *option._long_opts[:1]]
        value = f" <{option.metavar or option.dest}>" if option.takes_value() else ""
        return ", ".join(names) + value

    def format_usage(self, usage: str) -> str:
        return f"\nUsage:\n  {usage}\n"

    def format_heading(self, heading: str) -> str:
        return f"{heading}:\n"


def _make_parser(program: str, groups: Iterable[Group]) -> _Parser:
    parser = _Parser(
        prog=program,
        usage=f"{program} [options] <requirement> ...\n"
        f"  {program} [options] -r <requirements file> ...",
        formatter=_Formatter(),
        add_help_option=False,
    )
    for group in groups:
        made = optparse.OptionGroup(parser, group.title)
        for option in group.options:
            made.add_option(_make_option(option))
        parser.add_option_group(made)
    return parser


def _make_option(option: Option) -> optparse.Option:
    settings: dict[str, Any] = {"dest": option.dest, "default": option.default}
    settings["help"] = option.help or optparse.SUPPRESS_HELP
    if option.action == "help":
        return optparse.Option(*option.names, action="help", help=option.help)
    if option.action in ("store_true", "store_false", "count"):
        return optparse.Option(*option.names, action=option.action, **settings)
    takes_value = option.action != "no_cache_dir"
    if takes_value:
        settings |= {"metavar": option.metavar, "nargs": 1, "type": "string"}
    return optparse.Option(
        *option.names,
        action="callback",
        callback=_take,
        callback_args=(option,),
        **settings,
    )


def _take(
    made: optparse.Option, name: str, value: str | None, parser: optparse.OptionParser, it: Option
) -> None:
    """Convert one value of an option, and store it."""
    old = getattr(parser.values, it.dest)
    try:
        new = _value(it, name, "" if value is None else value, old)
    except ValueError as error:
        parser.error(f"option {name}: {error}")
    setattr(parser.values, it.dest, new)


def _value(it: Option, name: str, value: str, old: Any) -> object:
    """The new value of an option after one more occurrence of it.

    Raises:
        ValueError: It is not valid; the message ends the sentence "option --x: …".
        UsageError: It cannot be honoured.
    """
    if it.action in _FORMS:
        return _FORMS[it.action](name, value, old)
    one = _convert(it, value)
    return [*(old or ()), one] if it.action == "append" else one


def _convert(it: Option, value: str) -> object:
    if it.choices and value not in it.choices:
        choices = ", ".join(map(repr, it.choices))
        raise ValueError(f"invalid choice: {value!r} (choose from {choices})")
    if it.type == "int":
        with suppress(ValueError):
            if int(value) >= 0:
                return int(value)
        raise ValueError(f"invalid integer value: {value!r}")
    if it.type == "float":
        with suppress(ValueError):
            if 0 < float(value) <= _LONGEST:
                return float(value)
        raise ValueError(f"invalid floating-point value: {value!r}")
    return os.path.expanduser(value) if it.type == "path" else value  # noqa: PTH111 - may be ~x


def _defaults(parser: optparse.OptionParser, configured: _Configured) -> dict[str, object]:
    """The defaults of the options from pip's configuration; names of other options are ignored.

    Raises:
        UsageError: A value does not fit its option.
    """
    changed: dict[str, object] = {}
    known = {name: it for group in _groups_of(parser) for it in group.options for name in it.names}
    for key, value in configured:
        it = known.get(f"--{key}")
        if it is None:
            continue
        try:
            changed[it.dest] = _configured(it, value, changed.get(it.dest))
        except ValueError as error:
            parser.error(f"pip's configuration of --{key}: {error}")
    return changed


def _configured(it: Option, value: str, old: object) -> object:
    if it.action in ("store_true", "store_false"):
        # As pip has it: what is written is the value, and not whether the option is given.
        return to_flag(value)
    if it.action == "count":
        return int(value) if value.isdecimal() else int(to_flag(value))
    if it.action == "append":
        return [_convert(it, word) for word in value.split()]
    if it.action == "no_cache_dir":
        to_flag(value)
    return _value(
        it, f"--{it.names[-1].lstrip('-')}", value, old if old is not None else it.default
    )


def _groups_of(parser: optparse.OptionParser) -> tuple[Group, ...]:
    return COMMANDS[parser.get_prog_name().rpartition(" ")[2]]


def _prefix_of(python: str | None) -> str | None:
    """The folder of the environment that ``--python`` names; None for securepip's own.

    Only the path is looked at; the interpreter is not run.
    """
    if python is None:
        return None
    path = Path(python)
    return str(path if path.is_dir() else path.absolute().parent.parent)


def _add_pair(name: str, value: str, old: tuple[tuple[str, str], ...]) -> object:
    """Add a value of ``--no-binary`` or a similar option, together with the option's name."""
    if value.startswith("-"):
        raise UsageError(f"{name} option requires 1 argument.")
    return (*old, (name, value))


def _add_setting(
    name: str, value: str, old: Mapping[str, str | list[str]] | None
) -> dict[str, str | list[str]]:
    key, equals, setting = value.partition("=")
    if not equals:
        raise UsageError(f"Arguments to {name} must be of the form KEY=VAL")
    settings = dict(old or {})
    before = settings.get(key)
    if before is None:
        settings[key] = setting
    else:
        settings[key] = [*(before if isinstance(before, list) else [before]), setting]
    return settings


def _add_group(name: str, value: str, old: Sequence[tuple[str, str]]) -> object:
    path, colon, group = value.rpartition(":")
    if colon and PurePath(path).name != "pyproject.toml":
        raise UsageError("group paths use 'pyproject.toml' filenames")
    return (*old, (path if colon else "pyproject.toml", group))


def _python_version(name: str, value: str, old: object) -> tuple[int, ...] | None:
    """Parse ``3``, ``37``, ``3.7`` or ``3.7.3``."""
    if not value:
        return None
    parts = value.split(".")
    if len(parts) == 1 and len(value) > 1:
        parts = [value[0], value[1:]]
    wrong = f"invalid --python-version value: {value!r}"
    if len(parts) > 3:
        raise UsageError(f"{wrong}: at most three version parts are allowed")
    try:
        return tuple(int(part) for part in parts)
    except ValueError:
        raise UsageError(f"{wrong}: each version part must be an integer") from None


def _moment(name: str, value: str, old: object) -> datetime:
    """Parse a moment: ISO 8601, in local time without a zone, or ``PnD`` for n days ago."""
    days = re.fullmatch(r"P(\d{1,7})D", value, re.ASCII)
    try:
        if days:
            return datetime.now(timezone.utc) - timedelta(days=int(days[1]))
        # Python 3.10 does not know the Z.
        moment = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", value))
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"invalid value: {value!r}: {error}. Expected an ISO 8601 datetime string "
            "(e.g., '2023-01-01' or '2023-01-01T00:00:00Z') or a duration in days (e.g., 'P3D')"
        ) from None
    return moment if moment.tzinfo else moment.astimezone()


def _no_cache(name: str, value: str, old: object) -> bool:
    return False


_FORMS: Mapping[str, Any] = {
    "format_control": _add_pair,
    "release_control": _add_pair,
    "refresh_package": _add_pair,
    "config_settings": _add_setting,
    "group": _add_group,
    "python_version": _python_version,
    "uploaded_prior_to": _moment,
    "no_cache_dir": _no_cache,
}
