"""Reads requirements and constraints files as pip does.

Rule: the options in the files are returned in ``FileOptions``; the caller honours or refuses them.
A file at a URL is read only through a function that the caller provides.

Source: pip's documentation, "Requirements File Format".
"""

from __future__ import annotations

import codecs
import locale
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from securepip.errors import RequirementError
from securepip.resolver.requirements.lines import LineOptions, logical_lines, parse_line
from securepip.resolver.requirements.links import expand_home
from securepip.resolver.requirements.parse import parse_editable, parse_requirement
from securepip.resolver.requirements.types import FileOptions, ResolveInput, UserRequirement

_log = logging.getLogger(__name__)

_SCHEME = re.compile(r"^(https?|file):", re.IGNORECASE)
_CODING = re.compile(rb"coding[:=]\s*([-\w.]+)")
# UTF-32 comes before UTF-16: the mark of UTF-32-LE begins with that of UTF-16-LE.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Codecs for host names. They take time quadratic in the length, so a hostile file could block.
_NO_TEXT = frozenset({"punycode", "idna"})
_MAX_FILE_BYTES = 64 << 20

# Limits against endless chains: how deep files may nest, and how many files from URLs may name.
_MAX_NESTED = 50
_MAX_REMOTE_FILES = 500

# The options that a file from a URL may use. All others are refused, also those that pip will get.
_FOR_REMOTE = frozenset({"hashes", "require_hashes", "requirements", "constraints"})

ReadUrl = Callable[[str], bytes]
"""Fetches a requirements file from a URL, up to a limit. Raises TransportError."""


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
    must_be_verifiable: bool = True,
) -> ResolveInput:
    """Read what a command line names: requirements, ``-e``, ``-r`` files and ``-c`` files.

    Args:
        arguments: Requirements, paths and URLs.
        requirement_files: ``-r``: paths or URLs.
        constraint_files: ``-c``: paths or URLs.
        editables: ``-e``.
        more: Requirements that were read elsewhere (``--group``). As in pip, they come after the
            arguments.
        config_settings: ``-C`` of the command line. As in pip, for arguments and editables only.
        no_require_hashes: ``--no-require-hashes``: a hash does not switch hash-checking mode on.
        read_url: Reads files from URLs. None refuses those.
        must_be_verifiable: Whether to refuse requirements that nothing could verify. Callers that
            install nothing pass False.

    Raises:
        RequirementError: A file cannot be read, or something in it or on the command line is not
            valid or cannot be honoured.
        TransportError: A file could not be fetched from its URL.
    """
    read = _Read(read_url, must_be_verifiable)
    for constraint_file in constraint_files:
        _read_file(constraint_file, read, constraint=True)
    named = [
        parse_requirement(
            text, config_settings=config_settings, must_be_verifiable=must_be_verifiable
        )
        for text in arguments
        if text.strip()
    ]
    named += more
    named += [
        parse_editable(text, config_settings=config_settings, must_be_verifiable=must_be_verifiable)
        for text in editables
    ]
    for requirement_file in requirement_files:
        _read_file(requirement_file, read)
    requirements = (*named, *read.requirements)
    hashed = any(asked.hashes for asked in (*requirements, *read.constraints))
    no_require_hashes |= read.no_require_hashes
    return ResolveInput(
        requirements=requirements,
        constraints=tuple(read.constraints),
        prereleases=read.prereleases,
        require_hashes=read.file_options.require_hashes or (hashed and not no_require_hashes),
        file_options=read.file_options,
    )


@dataclass
class _Read:
    """What has been read from files so far, in the order of their lines."""

    read_url: ReadUrl | None
    must_be_verifiable: bool
    requirements: list[UserRequirement] = field(default_factory=list)
    constraints: list[UserRequirement] = field(default_factory=list)
    prereleases: bool = False
    no_require_hashes: bool = False
    file_options: FileOptions = field(default_factory=FileOptions)
    remote_files: int = 0

    def add_options(self, name: str, number: int, options: LineOptions) -> None:
        """Add the options of a line without a requirement."""
        if options.hashes:
            _log.warning(
                "%s line %s has --hash but no requirement, and will be ignored.", name, number
            )
        known = self.file_options
        self.prereleases |= options.prereleases
        self.no_require_hashes |= options.no_require_hashes
        releases = [("--all-releases", ":all:")] if options.prereleases else []
        self.file_options = replace(
            known,
            index_url=options.index_url or known.index_url,
            extra_index_urls=(*known.extra_index_urls, *options.extra_index_urls),
            no_index=known.no_index or options.no_index,
            find_links=(*known.find_links, *(_place(name, one) for one in options.find_links[:1])),
            formats=(*known.formats, *options.formats),
            releases=(*known.releases, *options.releases, *releases),
            prefer_binary=known.prefer_binary or options.prefer_binary,
            require_hashes=known.require_hashes or options.require_hashes,
            trusted_hosts=(*known.trusted_hosts, *options.trusted_hosts),
            features=(*known.features, *options.features),
        )


def _place(name: str, written: str) -> str:
    """What ``--find-links`` in the file ``name`` means: a place beside the file, if it exists."""
    if not _SCHEME.match(name):
        beside = Path(os.path.abspath(name)).parent / written  # noqa: PTH100 - drops `..`
        if beside.exists():
            return str(beside)
    return expand_home(written)


def _read_file(
    name: str, into: _Read, *, constraint: bool = False, parents: Mapping[str, str] | None = None
) -> None:
    """Read a file, and the files that it names with ``-r`` and ``-c``.

    Args:
        name: Its path or URL.
        into: Takes what is read.
        constraint: Whether its lines are constraints.
        parents: The files that led here, each with the file that names it.

    Raises:
        RequirementError: It cannot be read, is not valid, names itself, or asks for something that
            cannot be done.
        TransportError: It could not be fetched.
    """
    if parents is None:
        identity = name if _SCHEME.match(name) else os.path.abspath(name)  # noqa: PTH100 - drops `..`
        parents = {identity: ""}
    content, is_remote = _read(name, into.read_url, constraint=constraint), _is_remote(name)
    for number, line in logical_lines(content, with_variables=not is_remote):
        source = f"{'-c' if constraint else '-r'} {name} (line {number})"
        text, options = parse_line(line, source)
        if is_remote:
            _check_remote(name, line, source, options)
        if text or options.editables:
            asked = _asked(
                text,
                options,
                source,
                constraint=constraint,
                must_be_verifiable=into.must_be_verifiable,
            )
            if is_remote and asked.link is not None:
                raise _not_for_remote(line, source)
            (into.constraints if constraint else into.requirements).append(asked)
        elif options.requirements or options.constraints:
            nested = _beside(name, (options.requirements or options.constraints)[0])
            if nested in parents:
                again = f" and again in {parents[nested]}" if parents[nested] else ""
                raise RequirementError(f"{nested} recursively references itself in {name}{again}")
            into.remote_files += is_remote
            if len(parents) > _MAX_NESTED or into.remote_files > _MAX_REMOTE_FILES:
                raise RequirementError(
                    f"{name} leads to more files than anybody writes (line {number})",
                    meaning="Each file names another one: a server can go on like that for ever.",
                )
            _read_file(
                nested,
                into,
                constraint=not options.requirements,
                parents={**parents, nested: name},
            )
        else:
            into.add_options(name, number, options)


def _check_remote(name: str, line: str, source: str, options: LineOptions) -> None:
    """Check that a line of a file from a URL names projects and hashes, and nothing else.

    No signature covers such a file. Its author, or an attacker on the network, must not name files
    of this machine, vouch with a hash for what is at a URL, pick the repository that speaks for a
    project, or pass settings to a build. It may name other such files on the same server.

    Raises:
        RequirementError: The line says something else.
    """
    here = urlsplit(name)
    try:
        nested = [
            urlsplit(_beside(name, one)) for one in (*options.requirements, *options.constraints)
        ]
    except ValueError:  # not a URL
        raise _not_for_remote(line, source) from None
    if any(value for option, value in vars(options).items() if option not in _FOR_REMOTE) or any(
        (one.scheme, one.netloc) != (here.scheme, here.netloc) for one in nested
    ):
        raise _not_for_remote(line, source)


def _not_for_remote(line: str, source: str) -> RequirementError:
    return RequirementError(
        f"Invalid requirement: {line} (from {source})",
        meaning="A file that is not on this machine may name projects, versions and hashes. No "
        "signature covers what it says, so it may say nothing else: no address, folder or index, "
        "and no option.",
        remedy="Download it, look at it, and name the copy.",
    )


def _asked(
    text: str, options: LineOptions, source: str, *, constraint: bool, must_be_verifiable: bool
) -> UserRequirement:
    """The requirement or constraint of a line."""
    settings = _settings(options.config_settings, source)
    if not text:
        return parse_editable(
            options.editables[0],
            source,
            constraint=constraint,
            config_settings=settings,
            must_be_verifiable=must_be_verifiable,
        )
    return parse_requirement(
        text,
        source,
        options.hashes,
        constraint=constraint,
        config_settings=settings,
        must_be_verifiable=must_be_verifiable,
    )


def _settings(given: Sequence[str], source: str) -> dict[str, str | list[str]]:
    """Parse ``KEY=VALUE`` settings. The value of a key that is given more than once is a list."""
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


def _beside(name: str, nested: str) -> str:
    """The path or URL that ``nested`` means in the file ``name``: relative to that file."""
    if _SCHEME.match(nested):
        return nested
    if _SCHEME.match(name):
        return urljoin(name, nested)
    return os.path.abspath(Path(name).parent / nested)  # noqa: PTH100 - drops `..`


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
    except (UnicodeError, LookupError) as error:
        raise RequirementError(f"Could not read {kind} file {name}: {error}") from None


def _read_here(name: str, kind: str) -> bytes:
    path = name
    if _SCHEME.match(name):
        # Imported late: it imports `http.client` and `ssl`.
        from urllib.request import url2pathname

        path = url2pathname(urlsplit(name).path)
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - the message quotes it as it is written
            data = stream.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        # pip's messages: it says the same for a constraints file, and fetches a `file:` URL as if
        # from a server.
        what = f"Could not open requirements file: {error}"
        if path != name and isinstance(error, FileNotFoundError):
            what = f"404 Client Error: FileNotFoundError for url: {name}"
        raise RequirementError(what) from None
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
            encoding = codecs.lookup(coding[1].decode("ascii")).name
            if encoding in _NO_TEXT:
                raise LookupError(f"{encoding} is no encoding of texts")
            return data.decode(encoding)
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
