"""pip's configuration files and ``PIP_*`` variables, as defaults of our own options.

People have configured certificates, proxies, time limits and constraints for pip once; they must
not have to do it again. Precedence, files and forms are pip's (pip documentation,
"Configuration"): global, user, site and ``PIP_CONFIG_FILE``, then the environment; in each file
the section ``[global]``, then that of the command.
"""

from __future__ import annotations

import argparse
import configparser
import locale
import os
import sys
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

import platformdirs

from securepip.cli.pip_commands.options import COMMANDS
from securepip.errors import SecurepipError, UsageError

_TRUE = {"y", "yes", "t", "true", "on", "1"}
_FALSE = {"n", "no", "f", "false", "off", "0"}
# `PIP_CONFIG_FILE` and these are no options of a command. Verification is switched off by the one
# who runs the command, in so many words: never by a file or a variable that is left somewhere.
_NO_OPTIONS = {"version", "help", "config-file", "unsafely-disable-package-verification"}


def read_pip_configuration(
    command: str,
    *,
    prefix: str | None = None,
    environ: Mapping[str, str] = os.environ,
    isolated: bool = False,
) -> list[tuple[str, str]]:
    """What pip would take as the defaults of ``command``'s options.

    Args:
        command: For example ``install``.
        prefix: The environment whose own configuration counts; securepip's own by default.
        environ: The environment variables.
        isolated: Leave out variables and the user's own files (``--isolated``).

    Returns:
        Options' long names without dashes in front, and their values as written, the weakest
        first: one that can be given several times adds up over sections, as in pip.

    Raises:
        SecurepipError: A configuration file cannot be read, as with pip.
    """
    merged: dict[str, dict[str, str]] = {}
    for path in configuration_files(prefix or sys.prefix, environ, isolated=isolated):
        parser = configparser.RawConfigParser()
        try:
            with path.open(encoding=locale.getpreferredencoding(False)) as stream:
                parser.read_file(stream)
        except FileNotFoundError:
            continue
        except (OSError, configparser.Error, UnicodeDecodeError) as error:
            raise SecurepipError(
                f"pip's configuration file {path} cannot be read: {error}"
            ) from None
        for section in parser.sections():
            values = {_normalize(key): value for key, value in parser.items(section)}
            merged.setdefault(section, {}).update(values)
    variables = {
        _normalize(name[len("PIP_") :]): value
        for name, value in environ.items()
        if name.startswith("PIP_") and not isolated
    }
    return [
        (name, value)
        for values in (merged.get("global", {}), merged.get(command, {}), variables)
        for name, value in values.items()
        # An empty value takes back what a weaker file says in the same section, and no more.
        if value and name not in _NO_OPTIONS
    ]


def configuration_files(
    prefix: str, environ: Mapping[str, str], *, isolated: bool = False
) -> list[Path]:
    """The files that pip reads, the weakest first, whether they are there or not."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    name = "pip.ini" if os.name == "nt" else "pip.conf"
    files = [folder / name for folder in _global_folders()]
    # The named one stands for the user's own files.
    if not isolated and not (named and Path(named).exists()):
        home = Path.home()
        files.append(home / ("pip" if os.name == "nt" else ".pip") / name)
        files.append(_user_folder(home) / name)
    files.append(Path(prefix) / name)
    if named:
        files.append(Path(named))
    return files


def apply_configuration(
    parser: argparse.ArgumentParser, configured: Iterable[tuple[str, str]]
) -> None:
    """Make configured values the defaults of the parser's options; others are ignored, as by pip.

    So too for the commands of a command.

    Raises:
        UsageError: A value does not fit its option.
    """
    values = dict(configured)
    for action in parser._actions:  # argparse has no other way to list them
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                apply_configuration(inner, values.items())
        for option in action.option_strings:
            value = values.get(option.removeprefix("--")) if option.startswith("--") else None
            if value is not None:
                action.default = _convert(action, option, value)


def variables_of_others(environ: Mapping[str, str]) -> dict[str, str]:
    """The ``PIP_*`` variables that are no setting of pip's, but perhaps of somebody's build."""
    options = (option for group in chain(*COMMANDS.values()) for option in group.options)
    settings = {name.removeprefix("--") for option in options for name in option.names}
    return {
        name: value
        for name, value in environ.items()
        if name.startswith("PIP_")
        and _normalize(name[len("PIP_") :]) not in settings | {"config-file"}
    }


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


def to_flag(value: str) -> bool:
    """Yes or no, in the words that pip knows.

    Raises:
        ValueError: It is neither.
    """
    word = value.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(
        f"{value} is not a valid value: specify a boolean value like yes/no, true/false or 1/0"
    )


def _flag(option: str, value: str) -> bool:
    try:
        return to_flag(value)
    except ValueError:
        raise UsageError(f"pip's configuration has a wrong value for {option}: {value!r}") from None


def _normalize(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _global_folders() -> list[Path]:
    if os.name == "nt" or sys.platform == "darwin":
        return [platformdirs.site_config_path("pip", appauthor=False)]
    folders = platformdirs.site_config_dir("pip", appauthor=False, multipath=True)
    return [*(Path(folder) for folder in folders.split(os.pathsep)), Path("/etc")]


def _user_folder(home: Path) -> Path:
    folder = platformdirs.user_config_path("pip", appauthor=False, roaming=True)
    if sys.platform == "darwin" and not folder.is_dir():
        return home / ".config" / "pip"
    return folder
