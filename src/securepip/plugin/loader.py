"""Loads the shim when pip is imported, or stops pip.

Rule: the source of this file is part of the start-up line, so that the line alone is enough to stop
pip. It runs on Python 3.10 and later, once for each import of pip.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

NAME = "SecurepipPlugin"
"""The name by which the finder is recognized."""


def run(rest: tuple[Any, ...], config: dict[str, Any]) -> None:
    """React to the import of pip.

    Args:
        rest: The other arguments of ``find_spec``; ``("early",)`` if pip was imported earlier.
        config: ``shim`` is a file name, ``sha256`` its digest, and ``remedy`` says how to repair or
            remove the plugin. The other entries are for the shim.

    Raises:
        ImportError, SystemExit: As ``refuse``.
    """
    finders: list[Any] = list(sys.meta_path)
    plugin = next(finder for finder in finders if getattr(finder, "name", "") == NAME)
    if rest == ("early",):
        # Otherwise Python would use these modules, and not ask the finder.
        for name in [name for name in sys.modules if name.partition(".")[0] == "pip"]:
            del sys.modules[name]
        plugin.early = True
    elif hasattr(plugin, "early"):
        refuse("pip was imported before the plugin could look at it, by another start-up file.",
               config)  # fmt: skip
    else:
        load(config)


def load(config: dict[str, Any]) -> None:
    """Load the shim, if it has the right digest, and let it patch pip; or stop pip."""
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
    """Stop pip: ``SystemExit`` if pip is the program that runs, else ``ImportError``."""
    text = "pip is stopped by securepip's plugin, which is enabled in this environment: "
    text += reason + "\n" + config["remedy"]
    place = sys.argv[0].replace("\\", "/").split("/") if getattr(sys, "argv", None) else []
    frame: FrameType | None = sys._getframe()
    while frame is not None and "site" not in Path(frame.f_code.co_filename).name:
        frame = frame.f_back
    # While Python starts up, an exit would look like a crash.
    if frame is None and ("pip" in " ".join(place[-2:]) or place == ["-m"]):
        raise SystemExit("ERROR: " + text)
    # To a program that imports pip, pip is simply not available.
    raise ImportError(text)
