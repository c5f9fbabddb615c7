"""Loads the shim when pip is imported, or has pip refuse.

Rule: the text of this file is part of the start-up line, so that nothing but that line has to be
whole for pip to be stopped. It runs on any Python from 3.10 on, once for each import of pip.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

NAME = "SecurepipPlugin"
"""By this the finder is known among others."""


def run(rest: tuple[Any, ...], config: dict[str, Any]) -> None:
    """What the finder does when it is asked for pip.

    Args:
        rest: What it is asked besides; ``("early",)`` when pip was there before the finder.
        config: ``shim`` is a file name, ``sha256`` its digest; ``remedy`` says how to repair or
            remove the plugin; the rest is the shim's.

    Raises:
        ImportError: Something is wrong; SystemExit where pip is the program that runs.
    """
    finders: list[Any] = list(sys.meta_path)
    plugin = next(finder for finder in finders if getattr(finder, "name", "") == NAME)
    if rest == ("early",):
        # Else they would be taken as they are, and nobody would ask the finder.
        for name in [name for name in sys.modules if name.partition(".")[0] == "pip"]:
            del sys.modules[name]
        plugin.early = True
    elif hasattr(plugin, "early"):
        refuse("pip was imported before the plugin could look at it, by another start-up file.",
               config)  # fmt: skip
    else:
        load(config)


def load(config: dict[str, Any]) -> None:
    """Hand pip over to the shim."""
    reason = config["shim"] + " is missing."
    source = b""
    for folder in sys.path:
        path = Path(folder, config["shim"])
        try:
            source = path.read_bytes()
        except OSError:
            continue
        reason = str(path) + " was changed or cut off."
        if hashlib.sha256(source).hexdigest() == config["sha256"]:
            reason = ""
            break
    if not reason:
        try:
            shim: dict[str, Any] = {"__name__": "_securepip_plugin"}
            exec(compile(source, config["shim"], "exec"), shim)  # noqa: S102 - its digest is known
            reason = shim["attach"](config, lambda reason: refuse(reason, config))
        except Exception as error:
            reason = "its shim failed: " + type(error).__name__ + ": " + str(error)
    if reason:
        refuse(reason, config)


def refuse(reason: str, config: dict[str, Any]) -> NoReturn:
    """Stop pip."""
    text = "pip is stopped by securepip's plugin, which is enabled in this environment: "
    text += reason + "\n" + config["remedy"]
    place = sys.argv[0].replace("\\", "/").split("/") if getattr(sys, "argv", None) else []
    frame: FrameType | None = sys._getframe()
    while frame is not None and "site" not in Path(frame.f_code.co_filename).name:
        frame = frame.f_back
    # While Python starts, an exit would be a crash of it.
    if frame is None and ("pip" in " ".join(place[-2:]) or place == ["-m"]):
        raise SystemExit("ERROR: " + text)
    # To a program that imports pip it is like a pip that is not there.
    raise ImportError(text)
