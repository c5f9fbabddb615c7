"""What is known of one option of pip's: its form, and who does what it asks for."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Handler(Enum):
    """Who does what an option asks for."""

    SECUREPIP = "securepip"
    PIP = "handed to pip"
    BOTH = "securepip, and handed to pip"
    NOBODY = "no effect here"


class Option(NamedTuple):
    """One option.

    Attributes:
        names: As pip spells it, short names first, aliases after the name that pip prints.
        dest: The attribute that holds its value, as in pip.
        help: What it does, in a few words; empty for one that pip hides.
        action: As in ``optparse``, or one of ``format_control``, ``release_control``,
            ``config_settings``, ``group``, ``python_version``, ``uploaded_prior_to``,
            ``refresh_package`` and ``no_cache_dir``, which have forms of their own.
        default: Its value when it is not given.
        metavar: What its value is called; empty for one that takes none.
        type: ``str``, ``int``, ``float`` or ``path`` (``~`` is the home folder).
        choices: The only values that it takes.
        handler: Who does it.
        why: The reason, where that is nobody, or only some values are refused.
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
