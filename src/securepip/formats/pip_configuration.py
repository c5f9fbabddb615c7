"""pip's configuration files and ``PIP_*`` variables.

People have configured certificates, proxies, time limits and constraints for pip once; they must
not have to do it again, neither to install nor to sign. Precedence, files and forms are pip's (pip
documentation, "Configuration"): global, user, site and ``PIP_CONFIG_FILE``, then the environment;
in each file the section ``[global]``, then that of the command.
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
# `PIP_CONFIG_FILE` and these are no options of a command. Verification is switched off by the one
# who runs the command, in so many words: never by a file or a variable that is left somewhere. Nor
# is it decided there which of the trusted repositories speaks.
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
    """What pip would take as the defaults of a command's options.

    Args:
        commands: For example ``install``; of several, what is said of a later one wins.
        prefix: The environment whose own configuration counts; securepip's own by default.
        environ: The environment variables.
        isolated: Leave out variables and the user's own files (``--isolated``).
        of_prefix: Whether the environment itself may say where distributions come from.

    Returns:
        Options' long names without dashes in front, and their values as written, the weakest
        first: one that can be given several times adds up over sections, as in pip.

    Raises:
        SecurepipError: A configuration file cannot be read, as with pip.
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
        # An empty value takes back what a weaker file says in the same section, and no more.
        if value and name not in _NO_OPTIONS
    ]


def places_of_prefix(
    *commands: str, prefix: str | None = None, environ: Mapping[str, str] = os.environ
) -> list[tuple[str, str]]:
    """What the environment's own file says of where distributions come from, as ``PLACES``.

    Raises:
        SecurepipError: It cannot be read.
    """
    if environ.get("PIP_CONFIG_FILE") == os.devnull:
        return []
    sections = _read(configuration_of(prefix or sys.prefix))
    said = [pair for name in ("global", *commands) for pair in sections.get(name, {}).items()]
    return [(name, value) for name, value in said if name in PLACES and value]


def default_index() -> str:
    """The index that pip asks when it is told none: the pip beside securepip says which.

    pip is not imported for it, since that would start the plugin where it is enabled: the one
    module of pip that knows the address needs nothing else of pip, and is run by itself.

    Raises:
        SecurepipError: There is no pip, or it says it elsewhere.
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
    """The file in which an environment has its own configuration."""
    return Path(prefix) / _FILE_NAME


def configuration_files(prefix: str, environ: Mapping[str, str], *, isolated: bool) -> list[Path]:
    """The files that pip reads, the weakest first, whether they are there or not."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    files = [folder / _FILE_NAME for folder in _global_folders()]
    # The named one stands for the user's own files.
    if not isolated and not (named and Path(named).exists()):
        home = Path.home()
        files.append(home / ("pip" if os.name == "nt" else ".pip") / _FILE_NAME)
        files.append(_user_folder(home) / _FILE_NAME)
    files.append(configuration_of(prefix))
    if named:
        files.append(Path(named))
    return files


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


def option_of(variable: str) -> str:
    """The option that a ``PIP_*`` variable sets, without dashes in front."""
    return _normalize(variable.removeprefix("PIP_"))


def _read(path: Path) -> dict[str, dict[str, str]]:
    """The options of a file by section; nothing where there is no file."""
    try:
        text = path.read_text(encoding=locale.getpreferredencoding(False))
    except (FileNotFoundError, NotADirectoryError):  # a home that is /dev/null has none
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
    said = platformdirs.site_config_dir("pip", appauthor=False, multipath=True)
    folders = [Path(folder) for folder in said.split(os.pathsep)]
    if os.name != "nt" and sys.platform != "darwin":
        folders.append(Path("/etc"))
    return folders


def _user_folder(home: Path) -> Path:
    folder = platformdirs.user_config_path("pip", appauthor=False, roaming=True)
    if sys.platform == "darwin" and not folder.is_dir():
        return home / ".config" / "pip"
    return folder
