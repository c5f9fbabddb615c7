"""The description of one option of pip: its syntax, and which program handles it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Handler(Enum):
    """Which program does what an option asks for."""

    SECUREPIP = "securepip"
    PIP = "handed to pip"
    BOTH = "securepip, and handed to pip"
    NOBODY = "no effect here"


class Option(NamedTuple):
    """One option.

    Attributes:
        names: Its names in pip: short names first, then the name that pip prints, then aliases.
        dest: The attribute that holds its value, as in pip.
        help: What it does, in a few words; empty for an option that pip hides.
        action: As in ``optparse``, or one of ``format_control``, ``release_control``,
            ``config_settings``, ``group``, ``python_version``, ``uploaded_prior_to``,
            ``refresh_package`` and ``no_cache_dir``, which have forms of their own.
        default: Its value when it is not given.
        metavar: The name of its value in the help; empty for an option without a value.
        type: ``str``, ``int``, ``float`` or ``path`` (``~`` is the home folder).
        choices: The values that it accepts; empty for any.
        handler: Which program does what it asks for.
        why: The reason, where it has no effect or some of its values are refused.
    """

    names: tuple[str, ...]
    dest: str
    help: str = ""
    action: str = "store"
    default: object = None
    metavar: str = ""
    type: str = "str"
    choices: tuple[str, ...] = ()
    handler: Handler = Handler.SECUREPIP
    why: str = ""


class Group(NamedTuple):
    """Options under one heading of ``--help``."""

    title: str
    options: tuple[Option, ...]
