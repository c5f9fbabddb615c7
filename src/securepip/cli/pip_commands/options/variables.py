"""Tells which environment variables are settings of pip."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from securepip.cli.pip_commands.options.table import COMMANDS
from securepip.formats.pip_configuration import option_of


def variables_of_others(environ: Mapping[str, str]) -> dict[str, str]:
    """The ``PIP_*`` variables that are no settings of pip; a project's build may use them."""
    options = (option for group in chain(*COMMANDS.values()) for option in group.options)
    settings = {name.removeprefix("--") for option in options for name in option.names}
    return {
        name: value
        for name, value in environ.items()
        if name.startswith("PIP_") and option_of(name) not in settings | {"config-file"}
    }
