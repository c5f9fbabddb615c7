"""Requirements and constraints files, read as pip reads them.

Rule: every option that pip accepts in such a file is known here. Those about choosing and about
sources are reported in ``FileOptions`` for whoever honours or refuses them; one that pip does not
know is an error, as in pip. A file at an address is read only through what the caller provides.

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

from securepip.errors import RequirementError
from securepip.resolver.places import expand_home
from securepip.resolver.requirements import (
    FileOptions,
    ResolveInput,
    UserRequirement,
    parse_editable,
    parse_requirement,
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

ReadUrl = Callable[[str], bytes]
"""Fetches a requirements file that the user names by address, bounded. Raises TransportError."""


def read_requirements(
    arguments: Sequence[str] = (),
    requirement_files: Sequence[str] = (),
    constraint_files: Sequence[str] = (),
    *,
    editables: Sequence[str] = (),
    more: Sequence[UserRequirement] = (),
    config_settings: Mapping[str, str | list[str]] | None = None,
    no_require_hashes: bool = False,
    read_url: ReadUrl | None = None,
) -> ResolveInput:
    """Read what a command line names: requirements, ``-e``, ``-r`` files and ``-c`` files.

    Args:
        arguments: Requirements, paths and URLs.
        requirement_files: ``-r``: paths or URLs.
        constraint_files: ``-c``: paths or URLs.
        editables: ``-e``.
        more: What was read elsewhere (``--group``); it comes after the arguments, as in pip.
        config_settings: ``-C`` of the command line; as in pip, for arguments and editables.
        no_require_hashes: ``--no-require-hashes``: a hash of one does not ask for one of each.
        read_url: Reads files at addresses; without it these are refused.

    Raises:
        RequirementError: A file cannot be read, or something in it or on the command line is not
            valid or cannot be honoured.
        TransportError: A file at an address could not be fetched.
    """
    read = _Read(read_url)
    for constraint_file in constraint_files:
        _read_file(constraint_file, read, constraint=True)
    named = [
        parse_requirement(text, config_settings=config_settings)
        for text in arguments
        if text.strip()
    ]
    named += more
    named += [parse_editable(text, config_settings=config_settings) for text in editables]
    for requirement_file in requirement_files:
        _read_file(requirement_file, read)
    requirements = (*named, *read.requirements)
    hashed = any(asked.hashes for asked in (*requirements, *read.constraints))
    no_require_hashes |= read.no_require_hashes
    return ResolveInput(
        requirements=requirements,
        constraints=tuple(read.constraints),
        prereleases=read.prereleases,
        require_hashes=read.said.require_hashes or (hashed and not no_require_hashes),
        said=read.said,
    )


@dataclass
class _Read:
    """What has been read so far from files, in the order of their lines."""

    read_url: ReadUrl | None
    requirements: list[UserRequirement] = field(default_factory=list)
    constraints: list[UserRequirement] = field(default_factory=list)
    prereleases: bool = False
    no_require_hashes: bool = False
    said: FileOptions = field(default_factory=FileOptions)

    def add_options(self, name: str, number: int, options: _Options) -> None:
        """Take note of an option line."""
        if options.hashes:
            _log.warning(
                "%s line %s has --hash but no requirement, and will be ignored.", name, number
            )
        said = self.said
        self.prereleases |= options.prereleases
        self.no_require_hashes |= options.no_require_hashes
        releases = [("--all-releases", ":all:")] if options.prereleases else []
        self.said = replace(
            said,
            index_url=options.index_url or said.index_url,
            extra_index_urls=(*said.extra_index_urls, *options.extra_index_urls),
            no_index=said.no_index or options.no_index,
            find_links=(*said.find_links, *(_place(name, one) for one in options.find_links[:1])),
            formats=(*said.formats, *options.formats),
            releases=(*said.releases, *options.releases, *releases),
            prefer_binary=said.prefer_binary or options.prefer_binary,
            require_hashes=said.require_hashes or options.require_hashes,
            trusted_hosts=(*said.trusted_hosts, *options.trusted_hosts),
            features=(*said.features, *options.features),
        )


def _place(name: str, written: str) -> str:
    """What ``--find-links`` names in the file ``name``: beside it, if there is such a thing."""
    if not _SCHEME.match(name):
        beside = Path(os.path.abspath(name)).parent / written  # noqa: PTH100 - `..` too
        if beside.exists():
            return str(beside)
    return expand_home(written)


def _read_file(
    name: str, into: _Read, *, constraint: bool = False, parents: Mapping[str, str] | None = None
) -> None:
    """Read a file, and those it names with ``-r`` and ``-c``, into ``into``.

    Args:
        name: Its path or URL.
        into: Takes what is read.
        constraint: Whether its lines are constraints.
        parents: The files that led here, each with the file that names it.

    Raises:
        RequirementError: It cannot be read, is not valid, names itself, or asks for what cannot
            be done.
    """
    if parents is None:
        identity = name if _SCHEME.match(name) else os.path.abspath(name)  # noqa: PTH100 - `..` too
        parents = {identity: ""}
    content, is_remote = _read(name, into.read_url, constraint=constraint), _is_remote(name)
    for number, line in _lines(content, with_variables=not is_remote):
        source = f"{'-c' if constraint else '-r'} {name} (line {number})"
        text, options = _parse_line(line, source)
        if is_remote:
            _check_remote(name, line, source, options)
        if text or options.editables:
            asked = _asked(text, options, source, constraint=constraint)
            if is_remote and asked.link is not None:
                raise _not_for_remote(line, source)
            (into.constraints if constraint else into.requirements).append(asked)
        elif options.requirements or options.constraints:
            nested = _beside(name, (options.requirements or options.constraints)[0])
            if nested in parents:
                again = f" and again in {parents[nested]}" if parents[nested] else ""
                raise RequirementError(f"{nested} recursively references itself in {name}{again}")
            _read_file(
                nested,
                into,
                constraint=not options.requirements,
                parents={**parents, nested: name},
            )
        else:
            into.add_options(name, number, options)


def _check_remote(name: str, line: str, source: str, options: _Options) -> None:
    """See that a file from elsewhere names projects, and nothing that no repository signs.

    Who sends it, or alters it on its way, must not choose files of this machine, nor vouch by a
    hash of their own for what lies at an address.

    Raises:
        RequirementError: It names something else.
    """
    here = urlsplit(name)
    nested = [urlsplit(_beside(name, one)) for one in (*options.requirements, *options.constraints)]
    indexes = [options.index_url, *options.extra_index_urls]
    if (
        options.editables
        or options.find_links
        or options.trusted_hosts
        or any(one is not None and not _is_remote(one) for one in indexes)
        or any((one.scheme, one.netloc) != (here.scheme, here.netloc) for one in nested)
    ):
        raise _not_for_remote(line, source)


def _not_for_remote(line: str, source: str) -> RequirementError:
    return RequirementError(
        f"Invalid requirement: {line} (from {source})",
        meaning="A file that is not on this machine may name projects, versions and hashes. No "
        "signature covers what it says, so it may not name addresses, folders or other hosts.",
        remedy="Download it, look at it, and name the copy.",
    )


def _asked(text: str, options: _Options, source: str, *, constraint: bool) -> UserRequirement:
    """The requirement or constraint of a line."""
    settings = _settings(options.config_settings, source)
    if not text:
        return parse_editable(
            options.editables[0], source, constraint=constraint, config_settings=settings
        )
    return parse_requirement(
        text, source, options.hashes, constraint=constraint, config_settings=settings
    )


def _settings(given: Sequence[str], source: str) -> dict[str, str | list[str]]:
    """``KEY=VALUE`` settings; a key that is given more than once has a list."""
    settings: dict[str, str | list[str]] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not separator:
            raise RequirementError(
                f"Arguments to --config-settings must be of the form KEY=VAL (from {source})"
            )
        known = settings.get(key)
        if known is None:
            settings[key] = value
        else:
            settings[key] = [*known, value] if isinstance(known, list) else [known, value]
    return settings


class _Options(argparse.Namespace):
    requirements: list[str]
    constraints: list[str]
    editables: list[str]
    hashes: list[str]
    config_settings: list[str]
    index_url: str | None
    extra_index_urls: list[str]
    no_index: bool
    find_links: list[str]
    formats: list[tuple[str, str]]
    releases: list[tuple[str, str]]
    prefer_binary: bool
    prereleases: bool
    require_hashes: bool
    no_require_hashes: bool
    trusted_hosts: list[str]
    features: list[str]


class _LineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RequirementError(message)

    def takes_value(self, word: str) -> bool:
        """Whether the word is an option whose value is the next word."""
        action = self._option_string_actions.get(word)
        return action is not None and action.nargs != 0


def _make_parser() -> _LineParser:
    parser = _LineParser(prog="", add_help=False)
    for names, dest in (
        (("-r", "--requirement"), "requirements"),
        (("-c", "--constraint"), "constraints"),
        (("-e", "--editable"), "editables"),
        (("--hash",), "hashes"),
        (("-C", "--config-settings", "--config-setting"), "config_settings"),
        (("--extra-index-url",), "extra_index_urls"),
        (("-f", "--find-links"), "find_links"),
        (("--trusted-host",), "trusted_hosts"),
        (("--use-feature",), "features"),
    ):
        parser.add_argument(*names, dest=dest, action="append", default=[])
    parser.add_argument("-i", "--index-url", "--pypi-url", dest="index_url")
    for option in ("--no-index", "--prefer-binary", "--require-hashes", "--no-require-hashes"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("--pre", dest="prereleases", action="store_true")
    for option in ("--no-binary", "--only-binary"):
        parser.add_argument(option, dest="formats", action=_InOrder, default=[])
    for option in ("--all-releases", "--only-final"):
        parser.add_argument(option, dest="releases", action=_InOrder, default=[])
    return parser


class _InOrder(argparse.Action):
    """Keeps the order of two options that undo each other."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*before, (self.option_strings[0], str(values))])


def _parse_line(line: str, source: str) -> tuple[str, _Options]:
    text, written = _split_options(line)
    try:
        words = _joined_values(shlex.split(written))
        # As in pip, words after an option's value are passed over; unknown options are not.
        options, rest = _PARSER.parse_known_args(words, namespace=_Options())
        unknown = [word for word in rest if word.startswith("-")]
        if unknown:
            raise RequirementError(f"no such option: {unknown[0]}")
    except ValueError as error:
        raise RequirementError(
            f"Invalid requirement: {line} (from {source})",
            meaning=f"Could not split options: {written}: {error}",
        ) from None
    except RequirementError as error:
        raise RequirementError(
            f"Invalid requirement: {line} (from {source})", meaning=error.what
        ) from None
    return text, options


def _joined_values(words: Sequence[str]) -> list[str]:
    """The words, each option with its value in one: a value may begin with a dash."""
    joined: list[str] = []
    rest = iter(words)
    for word in rest:
        takes_value = _PARSER.takes_value(word)
        value = next(rest, None) if takes_value else None
        if value is None:
            joined.append(word)
        else:
            joined.append(f"{word}={value}" if word.startswith("--") else f"{word}{value}")
    return joined


def _split_options(line: str) -> tuple[str, str]:
    """The requirement and the options after it; markers would not survive ``shlex``."""
    words = line.split(" ")
    at = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    return " ".join(words[:at]), " ".join(words[at:])


def _lines(content: str, *, with_variables: bool) -> Iterator[tuple[int, str]]:
    """The logical lines with their numbers: joined, without comments, variables filled in.

    Not in a file from elsewhere: it could have secrets sent to where it says.
    """
    for number, line in _joined(enumerate(content.splitlines(), start=1)):
        line = _COMMENT.sub("", line).strip()
        if line:
            yield number, _VARIABLE.sub(_value_of, line) if with_variables else line


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
    if _SCHEME.match(name):
        return urljoin(name, nested)
    return os.path.abspath(Path(name).parent / nested)  # noqa: PTH100 - `..` too


def _is_remote(name: str) -> bool:
    return re.match(r"https?:", name, re.IGNORECASE) is not None


def _read(name: str, read_url: ReadUrl | None, *, constraint: bool) -> str:
    kind = "constraint" if constraint else "requirements"
    if _is_remote(name):
        if read_url is None:
            raise RequirementError(
                f"Could not open {kind} file: {name} is not on this machine.",
                remedy="Download it, look at it, and name the copy.",
            )
        data = read_url(name)
    else:
        data = _read_here(name, kind)
    try:
        return _decode(data, name)
    except (UnicodeDecodeError, LookupError) as error:
        raise RequirementError(f"Could not read {kind} file {name}: {error}") from None


def _read_here(name: str, kind: str) -> bytes:
    path = url2pathname(urlsplit(name).path) if _SCHEME.match(name) else name
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - the message quotes it as it is written
            data = stream.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise RequirementError(f"Could not open {kind} file: {error}") from None
    if len(data) > _MAX_FILE_BYTES:
        raise RequirementError(
            f"Could not open {kind} file: {name} is larger than {_MAX_FILE_BYTES}"
        )
    return data


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
