"""Splits requirements files into logical lines, and lines into a requirement and options.

Rule: this module knows every option that pip accepts in such a file. As in pip, any other is an
error.

Source: pip's documentation, "Requirements File Format".
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from securepip.errors import RequirementError

_COMMENT = re.compile(r"(?<!\S)#.*$")
# Limits against hostile files from URLs: parsing a longer line takes minutes or hours.
_MAX_REQUIREMENT, _MAX_WORDS = 20_000, 10_000
_SHOWN = 500
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")


class LineOptions(argparse.Namespace):
    """The options of one line, each with all of its values."""

    requirements: list[str]
    constraints: list[str]
    editables: list[str]
    hashes: list[str]
    config_settings: list[str]
    index_url: str | None
    extra_index_urls: list[str]
    no_index: bool
    find_links: list[str]
    formats: list[tuple[str, str]]
    releases: list[tuple[str, str]]
    prefer_binary: bool
    prereleases: bool
    require_hashes: bool
    no_require_hashes: bool
    trusted_hosts: list[str]
    features: list[str]


class _LineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RequirementError(message)

    def takes_value(self, word: str) -> bool:
        """Whether ``word`` is an option whose value is the next word."""
        action = self._option_string_actions.get(word)
        return action is not None and action.nargs != 0

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """As in the base class, which would take the value ``--`` for no value."""
        if action.option_strings and arg_strings == ["--"]:
            self.error(f"argument {'/'.join(action.option_strings)}: expected one argument")
        return super()._get_values(action, arg_strings)


def _make_parser() -> _LineParser:
    parser = _LineParser(prog="", add_help=False)
    for names, dest in (
        (("-r", "--requirement"), "requirements"),
        (("-c", "--constraint"), "constraints"),
        (("-e", "--editable"), "editables"),
        (("--hash",), "hashes"),
        (("-C", "--config-settings", "--config-setting"), "config_settings"),
        (("--extra-index-url",), "extra_index_urls"),
        (("-f", "--find-links"), "find_links"),
        (("--trusted-host",), "trusted_hosts"),
        (("--use-feature",), "features"),
    ):
        parser.add_argument(*names, dest=dest, action="append", default=[])
    parser.add_argument("-i", "--index-url", "--pypi-url", dest="index_url")
    for option in ("--no-index", "--prefer-binary", "--require-hashes", "--no-require-hashes"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("--pre", dest="prereleases", action="store_true")
    for option in ("--no-binary", "--only-binary"):
        parser.add_argument(option, dest="formats", action=_InOrder, default=[])
    for option in ("--all-releases", "--only-final"):
        parser.add_argument(option, dest="releases", action=_InOrder, default=[])
    return parser


class _InOrder(argparse.Action):
    """Keeps the order in which two options that undo each other are given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*before, (self.option_strings[0], str(values))])


def parse_line(line: str, source: str) -> tuple[str, LineOptions]:
    """Split a line into the requirement that it begins with, perhaps "", and its options.

    Args:
        line: A logical line.
        source: Where it is written, for messages.

    Raises:
        RequirementError: An option is not known or lacks its value, or the line is too long.
    """
    text, written = _split_options(line)
    try:
        words = shlex.split(written)
        if len(text) > _MAX_REQUIREMENT or len(words) > _MAX_WORDS:
            raise RequirementError("It is longer than a requirement with thousands of hashes.")
        words = _joined_values(words)
        # As in pip, words after an option's value are ignored, and unknown options are errors.
        options, rest = _PARSER.parse_known_args(words, namespace=LineOptions())
        unknown = [word for word in rest if word.startswith("-")]
        if unknown:
            raise RequirementError(f"no such option: {unknown[0]}")
    except ValueError as error:
        raise RequirementError(
            f"Invalid requirement: {line} (from {source})",
            meaning=f"Could not split options: {written}: {error}",
        ) from None
    except RequirementError as error:
        raise RequirementError(
            f"Invalid requirement: {line:.{_SHOWN}} (from {source})", meaning=error.what
        ) from None
    return text, options


def _joined_values(words: Sequence[str]) -> list[str]:
    """The words, with each option and its value in one word, because a value may begin with -."""
    joined: list[str] = []
    rest = iter(words)
    for word in rest:
        takes_value = _PARSER.takes_value(word)
        value = next(rest, None) if takes_value else None
        if value is None:
            joined.append(word)
        else:
            joined.append(f"{word}={value}" if word.startswith("--") else f"{word}{value}")
    return joined


def _split_options(line: str) -> tuple[str, str]:
    """Split a line into the requirement and the rest. ``shlex`` would break quotes in markers."""
    words = line.split(" ")
    at = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    return " ".join(words[:at]), " ".join(words[at:])


def logical_lines(content: str, *, with_variables: bool) -> Iterator[tuple[int, str]]:
    """The logical lines, with the number of their first line: joined, and without comments.

    Args:
        content: The file.
        with_variables: Whether to replace environment variables (``${NAME}``). Not for a file from
            a URL, which could put secrets into a URL of its own choice.
    """
    for number, line in _joined(enumerate(content.splitlines(), start=1)):
        line = _COMMENT.sub("", line).strip()
        if line:
            yield number, _VARIABLE.sub(_value_of, line) if with_variables else line


def _joined(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    first, parts = 0, list[str]()
    for number, line in lines:
        first = first if parts else number
        comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not comment:
            parts.append(line.strip("\\"))
            continue
        # A comment ends a continued line. The space is needed for it to be taken for a comment.
        yield first, "".join([*parts, f" {line}" if comment else line])
        parts = []
    if parts:
        yield first, "".join(parts)


def _value_of(variable: re.Match[str]) -> str:
    return os.environ.get(variable[1]) or variable[0]


_PARSER = _make_parser()
