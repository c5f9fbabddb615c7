"""What the user asks for: requirements, constraints and hashes, from the command line and files.

Rule: what cannot be honoured is refused with the reason, never passed over. A requirement that
points to a URL, a path or a version control system has no signature to check: it is refused here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import FormatError, UsageError
from securepip.formats.digests import Sha256, parse_sha256
from securepip.formats.distribution import is_distribution
from securepip.resolver.options import ConfigSettings, ResolveOptions

_URL = re.compile(r"(?:https?|file|ftp|(?:git|hg|svn|bzr)(?:\+[a-z]+)?):", re.IGNORECASE)
_STRONG_HASHES = ("sha256", "sha384", "sha512")


@dataclass(frozen=True)
class UserLink:
    """A path or an address of its own that a requirement names.

    Attributes:
        url: ``file:`` or ``https:``, without fragment.
        path: The file or folder, when it is on this machine.
        hash: What the fragment says, ``sha256=…``, or "".
        subdirectory: Where in it the project is (``#subdirectory=``), or "".
    """

    url: str
    path: Path | None = None
    hash: str = ""
    subdirectory: str = ""


@dataclass(frozen=True)
class UserRequirement:
    """One requirement, or one constraint, in the user's words.

    Attributes:
        requirement: What it says. None of a path or URL whose project only its metadata tells.
        source: Where it is written, as pip says it: ``-r FILE (line 3)``, "" for the command line.
        hashes: The digests its file may have; empty when the user named none.
        text: As it is written, for messages.
        link: The path or URL it names.
        editable: ``-e``.
        extras: The extras that are asked for.
        marker: When it is meant.
        config_settings: ``--config-settings`` of this requirement.
    """

    requirement: Requirement | None
    source: str = ""
    hashes: frozenset[Sha256] = frozenset()
    text: str = ""
    link: UserLink | None = None
    editable: bool = False
    extras: frozenset[NormalizedName] = frozenset()
    marker: Marker | None = None
    config_settings: ConfigSettings = field(default_factory=dict)


@dataclass(frozen=True)
class FileOptions:
    """What the option lines of requirements files say, in their order.

    Attributes:
        index_url: The last ``--index-url``, or None.
        extra_index_urls: ``--extra-index-url``.
        no_index: ``--no-index``.
        find_links: ``--find-links``, a path relative to its file made absolute.
        formats: ``--no-binary`` and ``--only-binary`` with their values.
        releases: ``--all-releases`` and ``--only-final`` with their values; ``--pre`` is the
            former with ``:all:``.
        prefer_binary: ``--prefer-binary``.
        require_hashes: ``--require-hashes``.
        trusted_hosts: ``--trusted-host``.
        features: ``--use-feature``.
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    no_index: bool = False
    find_links: tuple[str, ...] = ()
    formats: tuple[tuple[str, str], ...] = ()
    releases: tuple[tuple[str, str], ...] = ()
    prefer_binary: bool = False
    require_hashes: bool = False
    trusted_hosts: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResolveInput:
    """Everything that the user asks for, in the order that counts.

    Attributes:
        requirements: What to install.
        constraints: What versions may be installed of projects that something else asks for.
        prereleases: Whether a file says ``--pre``.
        require_hashes: Whether every distribution must have a hash: asked for in a file, or
            because one requirement or constraint has one.
        said: The option lines of the files. Those about the network and which index is asked are
            for the caller; those about choosing come back from ``options``.
    """

    requirements: tuple[UserRequirement, ...] = ()
    constraints: tuple[UserRequirement, ...] = ()
    prereleases: bool = False
    require_hashes: bool = False
    said: FileOptions = FileOptions()

    def options(self, given: ResolveOptions) -> ResolveOptions:
        """How to choose: what the command line says, and the files after it.

        Raises:
            UsageError: A format or release option has no value.
        """
        formats, releases, said = given.formats, given.releases, self.said
        for option, value in said.formats:
            no_binary = option == "--no-binary"
            formats = (formats.with_no_binary if no_binary else formats.with_only_binary)(value)
        for option, value in said.releases:
            final = option == "--only-final"
            releases = (releases.with_only_final if final else releases.with_all_releases)(value)
        return replace(
            given,
            prereleases=given.prereleases or self.prereleases,
            require_hashes=given.require_hashes or self.require_hashes,
            formats=formats,
            releases=releases,
            prefer_binary=given.prefer_binary or said.prefer_binary,
            no_index=given.no_index or said.no_index,
            find_links=(*given.find_links, *said.find_links),
        )


def parse_requirement(
    text: str, source: str = "", hashes: Iterable[str] = (), *, constraint: bool = False
) -> UserRequirement:
    """One requirement or constraint.

    Args:
        text: A PEP 508 requirement, without options.
        source: Where it is written, for messages.
        hashes: The values of its ``--hash`` options, ``sha256:…``.
        constraint: Whether it is one.

    Raises:
        UsageError: It is not valid, or is a path, a URL or an editable install.
    """
    text = text.strip()
    _refuse_unsigned(text, source)
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise UsageError(
            f"Invalid requirement: {text!r}: {error}{_from(source)}", remedy=_hint(text)
        ) from None
    if requirement.url:
        raise _unsigned(text, source)
    if constraint and requirement.extras:
        raise UsageError(f"Constraints cannot have extras: {text!r}{_from(source)}")
    return UserRequirement(
        requirement,
        source,
        _parse_hashes(text, hashes, source),
        text=text,
        extras=frozenset(canonicalize_name(extra) for extra in requirement.extras),
        marker=requirement.marker,
    )


def refuse_editable(text: str, source: str = "") -> UsageError:
    """Why ``-e`` is refused."""
    return _unsigned(f"-e {text}", source)


def _refuse_unsigned(text: str, source: str) -> None:
    name = text.split(";", 1)[0].strip()
    looks_like_path = name.startswith(".") or any(
        separator in name for separator in (os.sep, os.altsep) if separator
    )
    named_url = " @ " in name or re.match(r"[\w.-]+(\[[^]]*\])?@", name)
    if _URL.match(name) or (is_distribution(name) and not named_url):
        raise _unsigned(text, source)
    if looks_like_path and not named_url and Path(name.split("[", 1)[0]).is_dir():
        raise _unsigned(text, source)


def _unsigned(text: str, source: str) -> UsageError:
    return UsageError(
        f"{text!r} cannot be installed{_from(source)}.",
        meaning=(
            "It names a file, a folder or an address of its own. No trusted repository signs "
            "that, so nothing could prove that it is what its authors made."
        ),
        remedy="Name the project and a version instead, for example: name==1.0",
    )


def _parse_hashes(text: str, hashes: Iterable[str], source: str) -> frozenset[Sha256]:
    digests, weaker = set(), False
    for value in hashes:
        algorithm, _, digest = value.partition(":")
        if algorithm not in _STRONG_HASHES:
            raise UsageError(
                f"Arguments to --hash must be a hash name followed by a value, like "
                f"--hash=sha256:abcde..., not {value!r}{_from(source)}.",
                meaning=f"Allowed hash algorithms for --hash are {', '.join(_STRONG_HASHES)}.",
            )
        if algorithm != "sha256":
            weaker = True
            continue
        try:
            digests.add(parse_sha256(digest))
        except FormatError as error:
            raise UsageError(f"--hash of {text!r}{_from(source)}: {error}") from None
    if weaker and not digests:
        raise UsageError(
            f"{text!r} has no sha256 hash{_from(source)}.",
            meaning="Signed pages name files by their sha256 alone, so no other can be compared.",
            remedy="Add --hash=sha256:… (pip-compile and `pip hash` write these).",
        )
    return frozenset(digests)


def _hint(text: str) -> str:
    if os.sep in text:
        return f"Hint: It looks like a path. File {text!r} does not exist."
    if "=" in text and not any(operator in text for operator in ("==", "~=", "!=", ">=", "<=")):
        return "Hint: = is not a valid operator. Did you mean == ?"
    return ""


def _from(source: str) -> str:
    return f" (from {source})" if source else ""
