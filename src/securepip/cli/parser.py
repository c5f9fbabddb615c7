"""The ``argparse`` parser of every command: options may stand between arguments, as in pip."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

MAX_PORT = 65_535
_YEAR = 365 * 24 * 60 * 60  # seconds


def maybe_meant(word: str, known: Iterable[str]) -> str:
    """The member of ``known`` that is most similar to ``word``; "" where none is similar."""
    import difflib

    return next(iter(difflib.get_close_matches(word.partition("=")[0], list(known), n=1)), "")


def whole(least: int, most: int) -> Callable[[str], int]:
    """An ``argparse`` type: a whole number from ``least`` to ``most``."""

    def read(text: str) -> int:
        is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
        if not (is_number and least <= int(text) <= most):
            raise _no_number(text, least, most)
        return int(text)

    return read


def seconds(least: float = 0.0) -> Callable[[str], float]:
    """An ``argparse`` type: a number of seconds from ``least`` to a year; NaN is refused."""

    def read(text: str) -> float:
        with suppress(ValueError):
            if least <= float(text) <= _YEAR:
                return float(text)
        raise _no_number(text, least, _YEAR)

    return read


def _no_number(text: str, least: float, most: int) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"not a number from {least:g} to {most:d}: {text!r:.80}")


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that accepts ``sync DIR --upstream URL PROJECT``.

    The base class assigns all positional arguments when it reaches the first of them, and reports
    those that follow an option as unrecognized.
    """

    _inside = False
    _usage_before: str | None = None

    def parse_known_args(  # type: ignore[override] # typeshed overloads it for namespaces
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As in the base class."""
        has_commands = any(action.nargs == argparse.PARSER for action in self._actions)
        if self._inside or has_commands:
            return super().parse_known_args(args, namespace)
        # `parse_known_intermixed_args` sets `usage` to a long text while it runs.
        self._usage_before = self._short_usage()
        self._inside = True
        try:
            parsed, unknown = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False
        if unknown:
            # Reported here: the parent parser would show its own usage instead of this one.
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._hint(unknown)}")
        return parsed, unknown

    def _hint(self, unknown: Sequence[str]) -> str:
        options = [word for word in unknown if word.startswith("--")]
        hints = (maybe_meant(word, self._option_string_actions) for word in options)
        meant = " ".join(dict.fromkeys(filter(None, hints)))
        return f" - maybe you meant {meant}" if meant else ""

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """As in the base class, but refuse ``--`` as a value, which it turns into an empty list."""
        if action.option_strings and arg_strings == ["--"]:
            self.error(f"argument {'/'.join(action.option_strings)}: expected one argument")
        return super()._get_values(action, arg_strings)

    def error(self, message: str) -> NoReturn:
        """As in the base class, but with a short usage instead of a list of all options.

        Where the name of a command is missing, the help with all commands is shown.
        """
        wanted = [each.metavar for each in self._actions if each.nargs == argparse.PARSER]
        if wanted and " required: " in message:
            self.print_help(sys.stderr)
            message = f"no {wanted[0]} is named"
        else:
            self._print_message(self._short_usage(), sys.stderr)
            message += f". See `{self.prog} --help`."
        self.exit(2, f"{self.prog}: error: {message}\n")

    def _short_usage(self) -> str:
        """The usage with ``[options]`` in place of all options."""
        if self._usage_before is not None:
            return self._usage_before
        if self.usage:
            return f"usage: {self.usage}\n"
        formatter = self._get_formatter()
        formatter.add_usage(None, self._get_positional_actions(), [])
        return formatter.format_help().replace(self.prog, f"{self.prog} [options]", 1)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As in the base class, but for an unknown command suggest a similar one with its usage."""
        if action.nargs == argparse.PARSER and action.choices and value not in action.choices:
            commands: dict[str, Parser] = dict(action.choices)
            meant = maybe_meant(value, commands)
            self._print_message(commands.get(meant, self)._short_usage(), sys.stderr)
            see = f"{self.prog} {meant}".rstrip()
            maybe = f' - maybe you meant "{meant}"' if meant else ""
            self.exit(
                2, f'{self.prog}: error: unknown command "{value}"{maybe}. See `{see} --help`.\n'
            )
        super()._check_value(action, value)
