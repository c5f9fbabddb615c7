"""Reads pip's configuration files and ``PIP_*`` variables.

People have configured certificates, proxies, timeouts and constraints for pip, and must not have to
do it again, neither to install nor to sign. Files, precedence and forms are pip's (pip's
documentation, "Configuration"): the global, user and site files and ``PIP_CONFIG_FILE``, then the
environment; in each file the section ``[global]``, then the command's.
"""

from __future__ import annotations

import importlib.util
import locale
import os
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from securepip.errors import SecurepipError

_TRUE = {"y", "yes", "t", "true", "on", "1"}
_FALSE = {"n", "no", "f", "false", "off", "0"}
# What a configuration may not set. Only the command line switches verification off, allows older
# releases or picks a repository: a file or a variable that somebody left there, or that an attacker
# could write, must not weaken what the user gets.
_NO_OPTIONS = frozenset(
    {"version", "help", "config-file"}
    | {"unsafely-disable-package-verification", "allow-older-releases", "repository"}
)
_FILE_NAME = "pip.ini" if os.name == "nt" else "pip.conf"
PLACES = frozenset({"index-url", "pypi-url", "extra-index-url", "no-index", "find-links"})
"""The options that say where distributions come from."""


def read_pip_configuration(
    *commands: str,
    prefix: str | None = None,
    environ: Mapping[str, str] = os.environ,
    isolated: bool = False,
    of_prefix: bool = True,
) -> list[tuple[str, str]]:
    """The defaults of a command's options, by pip's configuration.

    Args:
        commands: For example ``install``. Of several commands, the section of a later one wins.
        prefix: The environment whose own file is read; by default securepip's.
        environ: The environment variables.
        isolated: Whether to ignore the variables and the user's files (``--isolated``).
        of_prefix: Whether the environment's own file may say where distributions come from.

    Returns:
        The long names of options, without leading dashes, and their values as written. The weakest
        comes first; an option that can be given several times is listed for each section, as in
        pip.

    Raises:
        SecurepipError: A configuration file cannot be read, as in pip.
    """
    merged: dict[str, dict[str, str]] = {}
    own = configuration_of(prefix or sys.prefix)
    for path in configuration_files(prefix or sys.prefix, environ, isolated=isolated):
        for section, values in _read(path).items():
            if path == own and not of_prefix:
                values = {name: value for name, value in values.items() if name not in PLACES}
            merged.setdefault(section, {}).update(values)
    variables = {
        option_of(name): value
        for name, value in environ.items()
        if name.startswith("PIP_") and not isolated
    }
    return [
        (name, value)
        for section in ("global", *commands, None)
        for name, value in (variables if section is None else merged.get(section, {})).items()
        # An empty value only cancels the value of a weaker file for the same section.
        if value and name not in _NO_OPTIONS
    ]


def places_of_prefix(
    *commands: str, prefix: str | None = None, environ: Mapping[str, str] = os.environ
) -> list[tuple[str, str]]:
    """Where distributions come from (``PLACES``), by an environment's own configuration file.

    Args:
        commands: As for ``read_pip_configuration``.
        prefix: Likewise.
        environ: Likewise.

    Raises:
        SecurepipError: The file cannot be read.
    """
    if environ.get("PIP_CONFIG_FILE") == os.devnull:
        return []
    sections = _read(configuration_of(prefix or sys.prefix))
    pairs = [pair for name in ("global", *commands) for pair in sections.get(name, {}).items()]
    return [(name, value) for name, value in pairs if name in PLACES and value]


def default_index() -> str:
    """The URL of pip's default index, as the pip beside securepip has it.

    Importing pip would start the plugin if it is enabled. So only the one module of pip that has
    the URL is run, which needs nothing else of pip.

    Raises:
        SecurepipError: There is no pip, or its module has another form.
    """
    spec = importlib.util.find_spec("pip")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise SecurepipError(
            "pip is not installed beside securepip, so its default index is not known",
            remedy="Name the index, or install pip here.",
        )
    path = Path(folders[0], "_internal", "models", "index.py")
    try:
        return str(runpy.run_path(str(path))["PyPI"].simple_url)
    except (OSError, ImportError, SyntaxError, KeyError, AttributeError) as error:
        raise SecurepipError(
            f"pip does not say which index is its default: {path}: {error!r}",
            remedy="Name the index.",
        ) from None


def configuration_of(prefix: str) -> Path:
    """The path of an environment's own configuration file."""
    return Path(prefix) / _FILE_NAME


def configuration_files(prefix: str, environ: Mapping[str, str], *, isolated: bool) -> list[Path]:
    """The files that pip would read, the weakest first; some may not exist."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    files = [folder / _FILE_NAME for folder in _global_folders()]
    # `PIP_CONFIG_FILE` replaces the user's own files.
    if not isolated and not (named and Path(named).exists()):
        home = Path.home()
        files.append(home / ("pip" if os.name == "nt" else ".pip") / _FILE_NAME)
        files.append(_user_folder(home) / _FILE_NAME)
    files.append(configuration_of(prefix))
    if named:
        files.append(Path(named))
    return files


def to_flag(value: str) -> bool:
    """Parse a boolean value, in any of pip's words.

    Raises:
        ValueError: It is none of them.
    """
    word = value.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(
        f"{value} is not a valid value: specify a boolean value like yes/no, true/false or 1/0"
    )


def option_of(variable: str) -> str:
    """The long name of the option that a ``PIP_*`` variable sets, without leading dashes."""
    return _normalize(variable.removeprefix("PIP_"))


def _read(path: Path) -> dict[str, dict[str, str]]:
    """The options of a file, by section; empty if there is no file."""
    try:
        text = path.read_text(encoding=locale.getpreferredencoding(False))
    except (FileNotFoundError, NotADirectoryError):  # the latter if the home is /dev/null
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text, source=str(path))
    except configparser.Error as error:
        raise _unreadable(path, error) from None
    return {
        section: {_normalize(key): value for key, value in parser.items(section)}
        for section in parser.sections()
    }


def _unreadable(path: Path, error: Exception) -> SecurepipError:
    return SecurepipError(f"pip's configuration file {path} cannot be read: {error}")


def _normalize(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _global_folders() -> list[Path]:
    joined = platformdirs.site_config_dir("pip", appauthor=False, multipath=True)
    folders = [Path(folder) for folder in joined.split(os.pathsep)]
    if os.name != "nt" and sys.platform != "darwin":
        folders.append(Path("/etc"))
    return folders


def _user_folder(home: Path) -> Path:
    folder = platformdirs.user_config_path("pip", appauthor=False, roaming=True)
    if sys.platform == "darwin" and not folder.is_dir():
        return home / ".config" / "pip"
    return folder
