"""What people read: lines, warnings and errors, and what moves while they wait."""

from securepip.cli.console.lines import (
    configure,
    is_verbose,
    keep_stdout_free,
    say,
    say_machine,
    show_error,
    warn,
)

__all__ = [
    "configure",
    "is_verbose",
    "keep_stdout_free",
    "say",
    "say_machine",
    "show_error",
    "warn",
]
