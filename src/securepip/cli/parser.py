"""The parser of every command: options may stand between arguments, as pip allows it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` for which ``sync DIR --upstream URL PROJECT`` is no surprise.

    Its own ``parse_known_args`` gives all arguments that it has seen to the first group, and calls
    those after an option unrecognized.
    """

    _inside = False

    def parse_known_args(  # type: ignore[override] # typeshed overloads it for namespaces
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As in the base class."""
        has_commands = any(action.nargs == argparse.PARSER for action in self._actions)
        if self._inside or has_commands:
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            found, unknown = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False
        if unknown:
            # Here and not in the parser above, which would show its own usage.
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown
