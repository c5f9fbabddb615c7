"""Where pip on this machine looks for distributions, and how it connects: pip itself is asked.

Rule: no file of pip's is parsed here and no address is known here. ``pip config`` says what is set
(configuration files and ``PIP_*`` variables, in pip's precedence); the help of ``pip install``
says which index is the default.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from securepip.errors import SecurepipError
from securepip.transport import TransportOptions

# pip merges the sections in this order; a later one wins (pip's user guide, "Config Precedence").
_SECTIONS = ("global", "download", "install", ":env:")
_DEFAULT = re.compile(r"\(default:?\s+(\S+?)\)")
_SECONDS = 60

ANSWER_SECONDS = 600.0
"""A page, or a distribution whose requirements nobody tells otherwise, comes in this time."""
_TRUE = {"y", "yes", "t", "true", "on", "1"}


@dataclass(frozen=True)
class PipConfiguration:
    """What pip here is configured for.

    Attributes:
        indexes: URLs (or folders) of the indexes, in pip's order; may hold credentials.
        find_links: URLs, folders or files of ``find-links``.
        constraints: Paths or URLs of constraint files.
        transport: Certificates, proxy, timeout, retries and trusted hosts.
    """

    indexes: tuple[str, ...]
    find_links: tuple[str, ...]
    constraints: tuple[str, ...]
    transport: TransportOptions


def read_pip_configuration(indexes: Sequence[str] = ()) -> PipConfiguration:
    """Ask the pip of this interpreter; ``indexes`` take the place of those that pip would use.

    Raises:
        SecurepipError: pip is not there or cannot read its configuration.
    """
    settings = _settings()
    default = TransportOptions()
    return PipConfiguration(
        indexes=tuple(indexes or _indexes(settings)),
        find_links=tuple(settings.get("find-links", "").split()),
        constraints=tuple(settings.get("constraint", "").split()),
        transport=TransportOptions(
            timeout=_number(settings, ("timeout", "default-timeout"), default.timeout),
            retries=int(_number(settings, ("retries",), default.retries)),
            cert=_path(settings.get("cert")),
            client_cert=_path(settings.get("client-cert")),
            proxy=settings.get("proxy"),
            trusted_hosts=tuple(settings.get("trusted-host", "").split()),
            # What an index says is signed here: it must not come from anybody on the way.
            stay_encrypted=True,
            answer_seconds=ANSWER_SECONDS,
        ),
    )


def _indexes(settings: Mapping[str, str]) -> Iterator[str]:
    if settings.get("no-index", "").lower() in _TRUE:
        return
    yield settings.get("index-url") or settings.get("pypi-url") or _default_index()
    yield from settings.get("extra-index-url", "").split()


def _settings() -> dict[str, str]:
    """The options that are set, by their long names, each with the value that wins."""
    lines = _pip("config", "list").splitlines()
    found = [(key, value) for key, value in map(_parse_line, lines) if key]
    # `list` names a key once for each file that sets it, and not in the order of precedence.
    repeated = {key for key, count in Counter(key for key, _ in found).items() if count > 1}
    values = {key: value for key, value in found if key not in repeated}
    values |= {key: _pip("config", "get", key).strip("\r\n") for key in repeated}
    settings: dict[str, str] = {}
    for section in _SECTIONS:
        prefix = f"{section}."
        settings |= {
            key.removeprefix(prefix): value
            for key, value in values.items()
            # pip ignores what is set to nothing.
            if key.startswith(prefix) and value
        }
    return settings


def _parse_line(line: str) -> tuple[str, str]:
    """Key and value of a line ``section.key='value'``; two empty texts for any other line."""
    key, equals, value = line.partition("=")
    try:
        parsed = ast.literal_eval(value) if equals else ""
    except (ValueError, SyntaxError):
        return "", ""
    return (key, parsed) if isinstance(parsed, str) else ("", "")


def _default_index() -> str:
    usage = " ".join(_pip("install", "--help").split())
    _, _, after = usage.partition("--index-url ")
    found = _DEFAULT.search(after.partition(" --")[0])
    if found is None:
        raise SecurepipError(
            "pip does not say which index is its default",
            remedy="Name the index with --upstream URL.",
        )
    return found.group(1)


def _pip(*arguments: str) -> str:
    spec = importlib.util.find_spec("pip")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise SecurepipError(
            "pip is not installed beside securepip, so its configuration cannot be read",
            remedy="Install pip here.",
        )
    # pip's folder and not `-m pip`, which would run a file `pip.py` of the current folder.
    command = [sys.executable, folders[0], "--disable-pip-version-check", *arguments]
    environment = {**os.environ, "COLUMNS": "1000", "PYTHONIOENCODING": "utf-8"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SecurepipError(f"pip could not be asked for its configuration: {error}") from None
    if done.returncode:
        raise SecurepipError(
            f"pip could not be asked for its configuration: {done.stderr.strip()[-500:]}",
            remedy="Mend pip's configuration: `pip config debug` shows its files.",
        )
    return done.stdout


def _number(settings: Mapping[str, str], keys: tuple[str, ...], default: float) -> float:
    for key in keys:
        if key in settings:
            try:
                return float(settings[key])
            except ValueError:
                raise SecurepipError(
                    f"pip's setting {key} is not a number: {settings[key]!r:.80}"
                ) from None
    return default


def _path(value: str | None) -> str | None:
    return str(Path(value).expanduser()) if value else None
