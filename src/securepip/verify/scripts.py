"""Recognizes the scripts that installers write for entry points; no wheel contains them.

Rule: a script is recognized only if pip or uv writes each of its lines for that entry point.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from securepip.formats.digests import Sha256, open_plain, sha256_of_stream
from securepip.verify.record import read_bounded

_MAX_SCRIPT_BYTES = 16 << 10
_MAX_LINE_BYTES = 8 << 10
_SHELL_LINE = "#!/bin/sh"
_LAUNCHER_SUFFIX = ".exe"
_VERSIONED = {"pip", "easy_install"}
"""pip also writes these scripts with the version of Python in the name: ``pip3``, ``pip3.11``."""

_KNOWN = frozenset(
    {
        "",
        "# -*- coding: utf-8 -*-",
        "import re",
        "import sys",
        "if __name__ == '__main__':",
        r"sys.argv[0] = re.sub(r'(-script\.pyw|\.exe)?$', '', sys.argv[0])",
        r"sys.argv[0] = re.sub(r'(-script\.pyw?|\.exe)?$', '', sys.argv[0])",
        "sys.argv[0] = sys.argv[0].removesuffix('.exe')",
        "if sys.argv[0].endswith('.exe'):",
        "elif sys.argv[0].endswith('.exe'):",
        "if sys.argv[0].endswith('-script.pyw'):",
        "sys.argv[0] = sys.argv[0][:-4]",
        "sys.argv[0] = sys.argv[0][:-11]",
    }
)
_SHELL = re.compile(r"'''exec' (?P<python>\"[^\"\\$`]+\"|[^\s\"'\\$`;&|]+) \"\$0\" \"\$@\"")


def entry_point_of(
    filename: str, scripts: Mapping[str, tuple[str, str]]
) -> tuple[str, tuple[str, str]] | None:
    """The entry point that a file in the folder of scripts belongs to, by its name; or None.

    Returns:
        The name of the script, and the module and attribute that it calls.
    """
    stem = filename.removesuffix(_LAUNCHER_SUFFIX)
    stem = re.sub(r"-script\.pyw?$", "", stem)
    if stem in scripts:
        return stem, scripts[stem]
    name = re.sub(r"-?\d+(\.\d+)?$", "", stem)
    if name in _VERSIONED and name in scripts:
        return stem, scripts[name]
    return None


def is_known_script(path: Path, calls: tuple[str, str], python: Path) -> bool:
    """Whether a file is the script that an installer writes for an entry point.

    Args:
        path: The script.
        calls: Module and attribute of the entry point.
        python: The environment's interpreter.
    """
    data = read_bounded(path, _MAX_SCRIPT_BYTES)
    try:
        lines = (data or b"").decode("utf-8").replace("\r\n", "\n").split("\n")
    except ValueError:
        return False
    module, attribute = calls
    rest = _after_first_lines(lines, python)
    if rest is None:
        return False
    own = {
        f"from {module} import {attribute.partition('.')[0]}",
        f"sys.exit({attribute}())",
    }
    # Quotes are compared as single quotes: pip and uv write different ones.
    normal = [re.sub(r'(?<!\\)"', "'", line.strip()) for line in rest]
    return own <= set(normal) and all(line in _KNOWN or line in own for line in normal)


def same_script(path: Path, sha256: Sha256, size: int, python: Path) -> bool:
    """Whether a script equals that of a wheel, except for the lines that name the interpreter.

    Args:
        path: The installed script.
        sha256: The digest of the rest of the script in the wheel.
        size: The length of that rest in bytes.
        python: The environment's interpreter, which the first lines have to name.
    """
    try:
        with open_plain(path) as stream:
            # If the path is long, the first line names a shell, and the next two the interpreter.
            first = [stream.readline(_MAX_LINE_BYTES)]
            if first[0].strip() == _SHELL_LINE.encode():
                first += [stream.readline(_MAX_LINE_BYTES) for _ in range(2)]
            lines = [line.decode("utf-8").rstrip("\r\n") for line in first]
            if _after_first_lines(lines, python) != []:
                return False
            return sha256_of_stream(stream) == (sha256, size)
    except (OSError, ValueError):
        return False


def _after_first_lines(lines: list[str], python: Path) -> list[str] | None:
    """The lines after those that name the interpreter; None if they name another program."""
    first = lines[0].strip()
    if first == _SHELL_LINE and len(lines) > 2 and lines[2].strip() == "' '''":
        match = _SHELL.fullmatch(lines[1].strip())
        named, rest = (match["python"].strip('"') if match else ""), lines[3:]
    elif first.startswith("#!"):
        named, rest = first[2:].strip().strip('"'), lines[1:]
    else:
        return None
    return rest if _is_interpreter(Path(named), python) else None


def _is_interpreter(named: Path, python: Path) -> bool:
    """Whether a path is one of the names of the environment's interpreter."""
    if not named.is_absolute() or not re.fullmatch(r"(python|pypy)[0-9.]*w?(\.exe)?", named.name):
        return False
    if named.name.endswith("w.exe"):  # on Windows, `pythonw.exe` is for programs without a console
        named = named.with_name(f"{named.name[:-5]}.exe")
    # The folder counts, too: in all environments of one Python, the links lead to the same file.
    own = python.resolve()
    folders = (python.parent.resolve(), own.parent)
    return named.parent.resolve() in folders and named.resolve() == own
