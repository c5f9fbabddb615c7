"""Byte-compiles files with the interpreter that runs it.

Rule: the target interpreter runs this file, and may be old. So it imports only the standard
library, and has the syntax of Python 3.8.

It is started in two ways:

* with the argument ``installed``, and with ``-S``: it compiles installed files, as pip does in the
  process that was started before anything was installed;
* without it, and with ``-I -S``: it compiles sources in wheels. The byte code is kept and used in
  other environments too, so nothing of this one (a ``.pth`` file, ``sitecustomize``, a variable)
  may take part.

The process of pip also loads this file, and calls ``answer``, which saves starting a process.

Input and output are lines of JSON. The first line of output describes the interpreter
(``interpreter``). Then each line of input gets one line of output:

* for the path of an installed source: ``[mtime_ns, size, path of the byte code or null]``, or null
  if there is no such file;
* for ``[wheel, members, optimization level, file to write]``: a row for each member (see
  ``compile_member``). The file gets the pieces of all members, one after the other.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import io
import json
import marshal
import os
import sys
import warnings
from pathlib import Path
from typing import Any, BinaryIO

_KINDS = tuple(letter | flag for letter in b"zZ" for flag in (0x80, 0))


def marshalled_text(text: str, kind: int) -> bytes:
    """A text as ``marshal`` writes it (since Python 3.4).

    Args:
        text: The text.
        kind: The type byte of a short ASCII text in its place: interned (``Z``) or not (``z``),
            with or without the flag (0x80) that lets later places refer to it.
    """
    flag, is_interned = kind & 0x80, kind & 0x7F == ord("Z")
    data = text.encode("utf-8", "surrogatepass")
    if len(data) != len(text):
        letter = "t" if is_interned else "u"
    elif len(data) < 256:
        return bytes([kind, len(data)]) + data
    else:
        letter = "A" if is_interned else "a"
    return bytes([ord(letter) | flag]) + len(data).to_bytes(4, "little") + data


def split_at_name(name: str, code: Any) -> tuple[int, bytes, bytes] | None:
    """Marshal a code object, and split the bytes at the name of its file.

    Returns:
        The kind of the name (``marshalled_text``), and the bytes before and after it. None if the
        name is not there exactly once.
    """
    data = marshal.dumps(code)
    for kind in _KINDS:
        pieces = data.split(marshalled_text(name, kind))
        if len(pieces) == 2 and data.count(name.encode()) == 1:
            return kind, pieces[0], pieces[1]
    return None


def can_split() -> bool:
    """Whether this interpreter's code stays the same if its file name is replaced in this way."""
    name = "<name>"
    text = "def f():\n def g(): return 'x'\n return g\nclass A:\n def m(self): return 1\n"
    code = compile(text, name, "exec", dont_inherit=True)
    pieces = split_at_name(name, code)
    if pieces is None:
        return False
    kind, before, after = pieces
    try:
        for other in ("/other.py", f"/{'long' * 100}.py", "/\u00e9\udcff.py"):
            data = before + marshalled_text(other, kind) + after
            renamed = marshal.loads(data)  # noqa: S302 - made here
            if renamed != compile(text, other, "exec", dont_inherit=True):
                return False
            if _names(renamed) != {other}:
                return False
    except (ValueError, EOFError, TypeError):
        return False
    return True


def _names(code: Any) -> set[str]:
    inner = [each for each in code.co_consts if hasattr(each, "co_code")]
    return {code.co_filename}.union(*map(_names, inner))


def interpreter() -> dict[str, Any]:
    """Describe how this interpreter compiles: the fields of ``byte_code.Interpreter``."""
    tag = sys.implementation.cache_tag
    compiled = Path(importlib.util.cache_from_source("/x.py")).name if tag else ""
    return {
        "identity": [
            *(sys.implementation.name, hex(sys.hexversion), sys.version, str(tag)),
            importlib.util.MAGIC_NUMBER.hex(),
        ],
        "magic": importlib.util.MAGIC_NUMBER.hex(),
        "level": sys.flags.optimize,
        "suffix": compiled[1:],
        "prefix": sys.pycache_prefix,
        # As in ``py_compile``.
        "by_hash": bool(os.environ.get("SOURCE_DATE_EPOCH")),
        "splits": bool(tag) and can_split(),
    }


def installation_schemes(options: dict[str, str]) -> list[dict[str, str]]:
    """The schemes that pip may use with these options (``user``, ``target``, ``prefix``, ``root``).

    The first choice comes first.
    """
    import site

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
            # pip uses it if it may not write to the first.
            schemes.append(_paths("user"))
    root = options.get("root")
    if root:
        schemes = [
            {key: str(Path(root, path.lstrip(os.sep))) for key, path in scheme.items()}
            for scheme in schemes
        ]
    return schemes


def compile_installed(path: str) -> tuple[int, int, str | None] | None:
    """Compile an installed source as pip does, with the interpreter's own settings."""
    import compileall

    try:
        status = Path(path).stat()
    except OSError:
        return None
    # pip ignores a file that does not compile. `compileall` prints the error to standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        done = compileall.compile_file(path, force=True, quiet=True)
    compiled = importlib.util.cache_from_source(path) if done else None
    return status.st_mtime_ns, status.st_size, compiled


def compile_members(wheel: str, members: list[str], level: int, output: str) -> list[Any]:
    """Compile sources of a wheel into a file; see ``compile_member``."""
    archive = opened(wheel)
    with Path(output).open("xb") as stream:
        return [compile_member(archive.read(member), level, stream) for member in members]


@functools.lru_cache(maxsize=1)
def opened(wheel: str) -> Any:
    """Open a wheel, and keep it open: the next line of input is mostly about the same one.

    Reading the directory of a large wheel takes as long as compiling one source.
    """
    import zipfile

    return zipfile.ZipFile(wheel)


def compile_member(source: bytes, level: int, stream: BinaryIO) -> list[Any] | None:
    """Compile one source, and write its marshalled code without the name of its file.

    Returns:
        The sha256 of the source. If it compiles, also its hash as in byte code, the kind of the
        name that was left out, and the lengths of the two pieces that were written. None if the
        name cannot be left out.
    """
    digest = hashlib.sha256(source).hexdigest()
    name = f"<the source {digest}>"
    loader = importlib.machinery.SourceFileLoader("<py_compile>", name)
    try:
        code = loader.source_to_code(source, name, _optimize=level)
    except Exception:  # pip ignores a file that does not compile
        return [digest]
    pieces = split_at_name(name, code)
    if pieces is None:
        return None
    kind, before, after = pieces
    stream.write(before)
    stream.write(after)
    return [digest, importlib.util.source_hash(source).hex(), kind, len(before), len(after)]


def answer(location: dict[str, str]) -> str:
    """Describe the interpreter, and where pip installs with these options, as JSON."""
    return json.dumps({**interpreter(), "schemes": installation_schemes(location)})


def main() -> None:
    """Answer line by line, until standard input ends."""
    answers = sys.stdout
    warnings.filterwarnings("ignore")
    if sys.argv[1:]:
        # The target must not import securepip's modules from the folder of this file.
        del sys.path[0]
    print(json.dumps(interpreter()), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        answer: Any = (
            compile_installed(asked) if isinstance(asked, str) else compile_members(*asked)
        )
        print(json.dumps(answer), file=answers, flush=True)


def _paths(kind: str, variables: dict[str, str] | None = None) -> dict[str, str]:
    import sysconfig

    preferred = getattr(sysconfig, "get_preferred_scheme", None)
    name = preferred(kind) if preferred else f"{os.name}_{kind}"
    if variables and name in ("posix_local", "osx_framework_library"):
        # As in pip: a distributor's or Apple's own scheme does not apply to a chosen prefix.
        name = "posix_prefix"
    paths = sysconfig.get_paths(name, vars=variables)
    return {key: paths[key] for key in ("purelib", "platlib", "scripts", "data")}


def _prefix_scheme(prefix: str) -> dict[str, str]:
    names = ("installed_base", "base", "installed_platbase", "platbase", "prefix", "exec_prefix")
    return _paths("prefix", dict.fromkeys(names, prefix))


if __name__ == "__main__":
    main()
