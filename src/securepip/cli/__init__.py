"""The command line: parse, call one room, print. No decision about trust is made here."""

from securepip.cli.main import main

__all__ = ["main"]
