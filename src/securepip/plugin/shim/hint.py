"""Guesses from the command line whether pip will fetch, so that a gateway can start early."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Sequence

from securepip.plugin.shim.inside import GATEWAY

_FETCHING = {"download", "wheel", "-U", "--upgrade", "-I", "--ignore-installed"}
_NAMED = r"([A-Za-z0-9][\w.-]*)\s*(\[[^]]*\])?\s*([=<>!~][^;@]*)?"


def will_fetch(words: Sequence[str]) -> bool:
    """Whether this pip will probably need its own gateway. A wrong guess only costs time.

    Args:
        words: The command line, without the program.
    """
    elsewhere = any(word.partition("=")[0] == "--python" for word in words)
    if os.environ.get(GATEWAY) or elsewhere:
        return False
    if not _FETCHING.isdisjoint(words):
        return True
    for word in words if "install" in words else ():
        named = re.fullmatch(_NAMED, word, re.ASCII)
        if named and word != "install":
            try:
                importlib.metadata.distribution(named[1])
            except importlib.metadata.PackageNotFoundError:
                return True
    return False
