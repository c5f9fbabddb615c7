"""Byte-compiles the files it is told of, with the interpreter that runs it.

Rule: the target interpreter runs this file, and it may be old and have nothing of ours: standard
library alone, syntax of Python 3.8.

Its argument and every line in and out is JSON. The first answer is the list of installation
schemes that pip may use here; then each line in is the path of a source, and each line out says
``[mtime_ns, size, path of the byte code or null]`` of that source, or null when it is not there.
"""

from __future__ import annotations

import compileall
import contextlib
import importlib.util
import io
import json
import os
import site
import sys
import sysconfig
import warnings
from pathlib import Path


def installation_schemes(options: dict[str, str]) -> list[dict[str, str]]:
    """Where pip installs with these options (``user``, ``target``, ``prefix``, ``root``)."""
    if options.get("target"):
        target = Path(options["target"]).absolute()
        schemes = [dict.fromkeys(("purelib", "platlib", "data"), str(target))]
        schemes[0]["scripts"] = str(target / "bin")
    elif options.get("prefix"):
        schemes = [_prefix_scheme(options["prefix"])]
    elif options.get("user"):
        schemes = [_paths("user")]
    else:
        schemes = [_paths("prefix")]
        if site.ENABLE_USER_SITE:
            # Where pip turns to when it may not write to the first.
            schemes.append(_paths("user"))
    root = options.get("root")
    if root:
        schemes = [
            {key: str(Path(root, path.lstrip(os.sep))) for key, path in scheme.items()}
            for scheme in schemes
        ]
    return schemes


def compile_source(path: str) -> tuple[int, int, str | None] | None:
    """Compile as pip does: timestamp or hash, optimization and mode are the interpreter's."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    # pip passes over a file that does not compile; the complaint goes to standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        done = compileall.compile_file(path, force=True, quiet=True)
    compiled = importlib.util.cache_from_source(path) if done else None
    return status.st_mtime_ns, status.st_size, compiled


def main() -> None:
    """Answer line by line, until standard input ends."""
    # The folder of this file holds modules of ours, which are not for the target.
    del sys.path[0]
    answers = sys.stdout
    warnings.filterwarnings("ignore")
    print(json.dumps(installation_schemes(json.loads(sys.argv[1]))), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(compile_source(json.loads(line))), file=answers, flush=True)


def _paths(kind: str, variables: dict[str, str] | None = None) -> dict[str, str]:
    preferred = getattr(sysconfig, "get_preferred_scheme", None)
    name = preferred(kind) if preferred else f"{os.name}_{kind}"
    if variables and name in ("posix_local", "osx_framework_library"):
        # As pip: a distributor's or Apple's own scheme is not for a prefix that the user chose.
        name = "posix_prefix"
    paths = sysconfig.get_paths(name, vars=variables)
    return {key: paths[key] for key in ("purelib", "platlib", "scripts", "data")}


def _prefix_scheme(prefix: str) -> dict[str, str]:
    names = ("installed_base", "base", "installed_platbase", "platbase", "prefix", "exec_prefix")
    return _paths("prefix", dict.fromkeys(names, prefix))


if __name__ == "__main__":
    main()
