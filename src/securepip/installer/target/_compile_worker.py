"""Byte-compiles what it is told of, with the interpreter that runs it.

Rule: the target interpreter runs this file, and it may be old and have nothing of ours: standard
library alone, syntax of Python 3.8.

It is started in two ways:

* with the argument ``installed``, as the target starts any program: it compiles files that are
  installed, exactly as pip does;
* without, and with ``-I -S``: it compiles sources out of wheels. What it answers is kept and used
  in other environments too, so nothing of this one (a path file, ``sitecustomize``, a variable)
  takes part in it.

And the process that is pip is asked what ``answer`` returns, which starts none.

Every line in and out is JSON. The first answer describes the interpreter, see ``interpreter``. Then
each line in has one line out:

* the path of an installed source: ``[mtime_ns, size, path of the byte code or null]`` of it, or
  null when it is not there;
* ``[wheel, members, optimization level, file to write]``: a row of each member, see
  ``compile_member``; the file holds the pieces of all, one after the other.
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
        kind: How a short ASCII text is written at the same place: interned (``Z``) or not
            (``z``), and with the flag (0x80) by which later places refer to it or without.
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
    """What ``marshal`` writes of a code object, without the name of its file.

    Returns:
        The kind of the name, and what is before and after it; None where the name does not stand
        there once.
    """
    data = marshal.dumps(code)
    for kind in _KINDS:
        pieces = data.split(marshalled_text(name, kind))
        if len(pieces) == 2 and data.count(name.encode()) == 1:
            return kind, pieces[0], pieces[1]
    return None


def can_split() -> bool:
    """Whether code that has got another name in this way is what it was, tried here and now."""
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
    """What decides the byte code of a source here, and where byte code is put.

    ``identity`` is all that decides the code but the optimization level, ``level``. ``suffix``
    ends the name of byte code, ``prefix`` is the folder that it is put under, or null.
    ``by_hash``: whether it is checked by the hash of its source. ``splits``: whether the name of
    the file can be left out of what ``marshal`` writes.
    """
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
        # As ``py_compile`` decides it.
        "by_hash": bool(os.environ.get("SOURCE_DATE_EPOCH")),
        "splits": bool(tag) and can_split(),
    }


def installation_schemes(options: dict[str, str]) -> list[dict[str, str]]:
    """Where pip installs with these options (``user``, ``target``, ``prefix``, ``root``)."""
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
            # Where pip turns to when it may not write to the first.
            schemes.append(_paths("user"))
    root = options.get("root")
    if root:
        schemes = [
            {key: str(Path(root, path.lstrip(os.sep))) for key, path in scheme.items()}
            for scheme in schemes
        ]
    return schemes


def compile_installed(path: str) -> tuple[int, int, str | None] | None:
    """Compile as pip does: timestamp or hash, optimization and mode are the interpreter's."""
    import compileall

    try:
        status = Path(path).stat()
    except OSError:
        return None
    # pip passes over a file that does not compile; the complaint goes to standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        done = compileall.compile_file(path, force=True, quiet=True)
    compiled = importlib.util.cache_from_source(path) if done else None
    return status.st_mtime_ns, status.st_size, compiled


def compile_members(wheel: str, members: list[str], level: int, output: str) -> list[Any]:
    """Compile sources of a wheel; see ``compile_member``."""
    archive = opened(wheel)
    with Path(output).open("xb") as stream:
        return [compile_member(archive.read(member), level, stream) for member in members]


@functools.lru_cache(maxsize=1)
def opened(wheel: str) -> Any:
    """The wheel as an archive: the next question is mostly about the same one.

    To read what a large wheel holds takes as long as to compile one of its sources.
    """
    import zipfile

    return zipfile.ZipFile(wheel)


def compile_member(source: bytes, level: int, stream: BinaryIO) -> list[Any] | None:
    """Compile one source, and write its code without the name of its file.

    Returns:
        The sha256 of the source, and, where it compiles, its hash as byte code has it, the kind
        of the name that was left out, and the lengths of the two pieces that were written. None
        where the name cannot be left out.
    """
    digest = hashlib.sha256(source).hexdigest()
    name = f"<the source {digest}>"
    loader = importlib.machinery.SourceFileLoader("<py_compile>", name)
    try:
        code = loader.source_to_code(source, name, _optimize=level)
    except Exception:  # pip passes over a file that does not compile.
        return [digest]
    pieces = split_at_name(name, code)
    if pieces is None:
        return None
    kind, before, after = pieces
    stream.write(before)
    stream.write(after)
    return [digest, importlib.util.source_hash(source).hex(), kind, len(before), len(after)]


def answer(location: dict[str, str]) -> str:
    """What the interpreter says of itself, with where it installs with these options, as JSON."""
    return json.dumps({**interpreter(), "schemes": installation_schemes(location)})


def main() -> None:
    """Answer line by line, until standard input ends."""
    answers = sys.stdout
    warnings.filterwarnings("ignore")
    if sys.argv[1:]:
        # The folder of this file holds modules of ours, which are not for the target.
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
        # As pip: a distributor's or Apple's own scheme is not for a prefix that the user chose.
        name = "posix_prefix"
    paths = sysconfig.get_paths(name, vars=variables)
    return {key: paths[key] for key in ("purelib", "platlib", "scripts", "data")}


def _prefix_scheme(prefix: str) -> dict[str, str]:
    names = ("installed_base", "base", "installed_platbase", "platbase", "prefix", "exec_prefix")
    return _paths("prefix", dict.fromkeys(names, prefix))


if __name__ == "__main__":
    main()
