"""Requirements and constraints files, read as pip reads them.

Rule: every option that pip accepts in such a file is known here, and either honoured or refused
with the reason (``_REFUSED``); one that pip does not know is an error, as in pip.

Source: pip's documentation, "Requirements File Format".
"""

from __future__ import annotations

import argparse
import codecs
import locale
import logging
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit
from urllib.request import url2pathname

from securepip.errors import UsageError
from securepip.resolver.requirements import (
    ResolveInput,
    UserRequirement,
    parse_requirement,
    refuse_editable,
)

_log = logging.getLogger(__name__)

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_SCHEME = re.compile(r"^(https?|file):", re.IGNORECASE)
_CODING = re.compile(rb"coding[:=]\s*([-\w.]+)")
# The longer marks first: that of UTF-16-LE is how that of UTF-32-LE begins.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MAX_FILE_BYTES = 64 << 20

_WHERE = "Which index is asked is decided by the trusted repositories: see `securepip trust list`."
_CHOICE = "It changes which distributions may be chosen, and securepip does not know it."
_REFUSED = {
    "--index-url": _WHERE,
    "--extra-index-url": _WHERE,
    "--no-index": _WHERE,
    "--find-links": "What lies in a folder or on a page of links is not signed.",
    "--trusted-host": "Trust in a host is not needed here: what is signed is checked instead.",
    "--no-binary": _CHOICE,
    "--only-binary": _CHOICE,
    "--prefer-binary": _CHOICE,
    "--all-releases": _CHOICE,
    "--only-final": _CHOICE,
    "--use-feature": "It switches on a feature of pip's that securepip does not use.",
    "--no-require-hashes": "It would leave unchecked what the file asks to be checked.",
    "--config-settings": "Settings for the builds of single requirements are not passed on.",
}


def read_requirements(
    arguments: Sequence[str] = (),
    requirement_files: Sequence[str] = (),
    constraint_files: Sequence[str] = (),
) -> ResolveInput:
    """Read what a command line names: requirements, ``-r`` files and ``-c`` files.

    Raises:
        UsageError: A file cannot be read, or something in it or on the command line is not valid
            or cannot be honoured.
    """
    read = _Read()
    for constraint_file in constraint_files:
        _read_file(constraint_file, read, constraint=True)
    named = [parse_requirement(text) for text in arguments if text.strip()]
    for requirement_file in requirement_files:
        _read_file(requirement_file, read)
    requirements = (*named, *read.requirements)
    return ResolveInput(
        requirements=requirements,
        constraints=tuple(read.constraints),
        prereleases=read.prereleases,
        require_hashes=read.require_hashes
        or any(asked.hashes for asked in (*requirements, *read.constraints)),
    )


@dataclass
class _Read:
    """What has been read so far from files, in the order of their lines."""

    requirements: list[UserRequirement] = field(default_factory=list)
    constraints: list[UserRequirement] = field(default_factory=list)
    prereleases: bool = False
    require_hashes: bool = False


def _read_file(
    name: str, into: _Read, *, constraint: bool = False, parents: tuple[str, ...] = ()
) -> None:
    """Read a file, and those it names with ``-r`` and ``-c``, into ``into``.

    Args:
        name: Its path, or a ``file:`` URL.
        into: Takes what is read.
        constraint: Whether its lines are constraints.
        parents: The files that led here, outermost first.

    Raises:
        UsageError: It cannot be read, is not valid, names itself, or asks for what cannot be done.
    """
    identity = name if _SCHEME.match(name) else os.path.abspath(name)  # noqa: PTH100 - `..` too
    if identity in parents:
        raise UsageError(f"{identity} recursively references itself in {parents[-1]}")
    for number, line in _lines(_read(name, constraint=constraint)):
        source = f"{'-c' if constraint else '-r'} {name} (line {number})"
        text, options = _parse_line(line, source)
        if text:
            asked = parse_requirement(text, source, options.hashes, constraint=constraint)
            (into.constraints if constraint else into.requirements).append(asked)
        elif options.requirements or options.constraints:
            nested = options.requirements or options.constraints
            _read_file(
                _beside(name, nested[0]),
                into,
                constraint=not options.requirements,
                parents=(*parents, identity),
            )
        else:
            into.prereleases |= options.prereleases
            into.require_hashes |= options.require_hashes


class _Options(argparse.Namespace):
    requirements: list[str]
    constraints: list[str]
    editables: list[str]
    hashes: list[str]
    prereleases: bool
    require_hashes: bool


class _LineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _make_parser() -> _LineParser:
    parser = _LineParser(prog="", add_help=False)
    parser.add_argument("-r", "--requirement", dest="requirements", action="append", default=[])
    parser.add_argument("-c", "--constraint", dest="constraints", action="append", default=[])
    parser.add_argument("-e", "--editable", dest="editables", action="append", default=[])
    parser.add_argument("--hash", dest="hashes", action="append", default=[])
    parser.add_argument("--pre", dest="prereleases", action="store_true")
    parser.add_argument("--require-hashes", action="store_true")
    short = {"--index-url": ["-i", "--pypi-url"], "--find-links": ["-f"]}
    short["--config-settings"] = ["-C", "--config-setting"]
    for option in _REFUSED:
        takes_value = option not in ("--no-index", "--prefer-binary", "--no-require-hashes")
        parser.add_argument(
            *short.get(option, ()), option, action=_Refuse, nargs=None if takes_value else 0
        )
    return parser


class _Refuse(argparse.Action):
    def __call__(
        self, parser: object, namespace: object, values: object, flag: object = ""
    ) -> None:
        name = self.option_strings[-1]
        raise UsageError(f"{name} cannot be honoured", meaning=_REFUSED[name])


def _parse_line(line: str, source: str) -> tuple[str, _Options]:
    text, written = _split_options(line)
    try:
        options = _PARSER.parse_args(shlex.split(written), namespace=_Options())
    except ValueError as error:
        raise UsageError(f"Could not split options: {written} (from {source}): {error}") from None
    except UsageError as error:
        raise UsageError(
            f"Invalid requirement: {line} (from {source}): {error.what}",
            meaning=error.meaning,
            remedy=f"Take it out of {source.split(' ', 1)[1]}." if error.meaning else "",
        ) from None
    if not text and options.editables:
        raise refuse_editable(options.editables[0], source)
    return text, options


def _split_options(line: str) -> tuple[str, str]:
    """The requirement and the options after it; markers would not survive ``shlex``."""
    words = line.split(" ")
    at = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    return " ".join(words[:at]), " ".join(words[at:])


def _lines(content: str) -> Iterator[tuple[int, str]]:
    """The logical lines with their numbers: joined, without comments, variables filled in."""
    for number, line in _joined(enumerate(content.splitlines(), start=1)):
        line = _COMMENT.sub("", line).strip()
        if line:
            yield number, _VARIABLE.sub(_value_of, line)


def _joined(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    first, parts = 0, list[str]()
    for number, line in lines:
        first = first if parts else number
        comment = _COMMENT.match(line)
        if line.endswith("\\") and not comment:
            parts.append(line.strip("\\"))
            continue
        # A comment ends a continued line; the space keeps it recognizable as one.
        yield first, "".join([*parts, f" {line}" if comment else line])
        parts = []
    if parts:
        yield first, "".join(parts)


def _value_of(variable: re.Match[str]) -> str:
    return os.environ.get(variable[1]) or variable[0]


def _beside(name: str, nested: str) -> str:
    """What ``nested`` means in the file ``name``: a relative path starts at that file."""
    if _SCHEME.match(nested):
        return nested
    here = url2pathname(urlsplit(name).path) if _SCHEME.match(name) else name
    return os.path.abspath(Path(here).parent / nested)  # noqa: PTH100 - `..` too


def _read(name: str, *, constraint: bool) -> str:
    kind = "constraint" if constraint else "requirements"
    if re.match(r"https?:", name, re.IGNORECASE):
        raise UsageError(
            f"Could not open {kind} file: {name} is not on this machine.",
            meaning="Nobody signs that file, so it could ask for anything.",
            remedy="Download it, look at it, and name the copy.",
        )
    path = Path(url2pathname(urlsplit(name).path) if _SCHEME.match(name) else name)
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"Could not open {kind} file: {error}") from None
    if len(data) > _MAX_FILE_BYTES:
        raise UsageError(f"Could not open {kind} file: {name} is larger than {_MAX_FILE_BYTES}")
    try:
        return _decode(data, name)
    except (UnicodeDecodeError, LookupError) as error:
        raise UsageError(f"Could not read {kind} file {name}: {error}") from None


def _decode(data: bytes, name: str) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding)
    for line in data.split(b"\n")[:2]:
        coding = _CODING.search(line) if line.startswith(b"#") else None
        if coding:
            return data.decode(coding[1].decode("ascii"))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        encoding = locale.getpreferredencoding(False) or sys.getdefaultencoding()
        _log.warning(
            "unable to decode data from %s with default encoding utf-8, falling back to encoding "
            "from locale: %s. If this is intentional you should specify the encoding with a "
            "PEP-263 style comment, e.g. '# -*- coding: %s -*-'",
            name,
            encoding,
            encoding,
        )
        return data.decode(encoding)


_PARSER = _make_parser()
