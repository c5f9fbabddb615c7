"""Output for people: lines, warnings, errors, and the progress display."""

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
