"""The options of ``install``, ``download`` and ``lock``, which are pip's, as data (``table``)."""

from securepip.cli.pip_commands.options.table import COMMANDS, GENERAL
from securepip.cli.pip_commands.options.types import Group, Handler, Option
from securepip.cli.pip_commands.options.variables import variables_of_others

__all__ = ["COMMANDS", "GENERAL", "Group", "Handler", "Option", "variables_of_others"]
