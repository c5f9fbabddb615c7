"""The command line: parse, call one room, print. No decision about trust is made here."""

from securepip.cli.main import main, program

__all__ = ["main", "program"]
