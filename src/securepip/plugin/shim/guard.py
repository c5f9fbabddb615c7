"""The audit hook: it refuses connections and processes that pip starts past the plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from securepip.plugin.shim.inside import KNOWN, is_called_by, refusal

_VCS = {"git", "hg", "svn", "bzr"}
# The subcommands that fetch. `pip freeze` runs other ones.
_VCS_FETCHES = {"clone", "fetch", "pull", "submodule", "checkout", "export", "branch", "update"}


def guard(port: Callable[[], int | None]) -> Callable[[str, tuple[Any, ...]], None]:
    """Make the audit hook. It stops connections and processes of pip that bypass the plugin.

    It applies to pip alone: a program that imports pip may connect to any host.

    Args:
        port: Returns the gateway's port; None while it is not known.
    """

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            address = arguments[1]
            known = not isinstance(address, tuple) or address[:2] == ("127.0.0.1", port())
            if not known and _in_pip():
                raise refusal(
                    f"pip was about to connect to {address[0]}:{address[1]} by a way that "
                    "securepip's plugin does not know.",
                    KNOWN,
                )
        elif event == "subprocess.Popen":
            words = arguments[1] if isinstance(arguments[1], (list, tuple)) else []
            if _is_other_pip(words) and _in_pip() and not _has_plugin(words[0]):
                raise refusal(
                    f"the plugin is not enabled for {words[0]}, whose pip was to go on from here: "
                    "nothing would be verified there.",
                    f"Enable it there: securepip plugin enable --python {words[0]}",
                )
            first = Path(os.fsdecode(words[0])).name if words else ""
            if first.partition(".")[0] in _VCS and _VCS_FETCHES.intersection(words) and _in_pip():
                raise refusal(
                    f"pip was about to run {first}, and no signature covers what it would fetch.",
                    "Install a release, or fetch it yourself and install it from your folder.",
                )

    return hook


def _is_other_pip(words: Sequence[Any]) -> bool:
    """Whether a command is pip in another interpreter, for ``--python`` or for a build."""
    # A pip in an archive names its folder in the archive instead of its runner.
    is_pip = len(words) > 1 and Path(os.fsdecode(words[1])).name in ("__pip-runner__.py", "pip")
    return is_pip and words[0] != sys.executable


def _has_plugin(python: str) -> bool:
    """Whether an interpreter starts the plugin when it starts."""
    program = "import sys; sys.exit('SecurepipPlugin' not in str(sys.meta_path))"
    try:
        return subprocess.run([python, "-c", program], check=False).returncode == 0
    except OSError:
        return False


def _in_pip() -> bool:
    return is_called_by("pip._internal", "pip._vendor")
