"""What the user asks for: requirements, constraints and hashes, from the command line and files.

Rule: what cannot be honoured is refused with the reason, never passed over. A requirement may name
a file or folder on this machine, which is the user's own, or an address with a hash; an address
without one, or a version control system, has no signature to check and is refused here.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)

from securepip.errors import FormatError, RequirementError
from securepip.formats.core_metadata import parse_dependency
from securepip.formats.distribution import is_distribution
from securepip.resolver.links import (
    STRONG_HASHES,
    UserLink,
    is_url,
    is_vcs,
    link_to_path,
    parse_link,
)
from securepip.resolver.options import ConfigSettings, ResolveOptions

_log = logging.getLogger(__name__)
_EXTRAS = re.compile(r"(.+)(\[[^\]]+\])$", re.DOTALL)
_HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


@dataclass(frozen=True)
class UserRequirement:
    """One requirement, or one constraint, in the user's words.

    Attributes:
        requirement: What it says. None of a path or URL whose project only its metadata tells.
        source: Where it is written, as pip says it: ``-r FILE (line 3)``, "" for the command line.
        hashes: The digests its file may have, ``sha256:…``; empty when the user named none.
        text: As it is written, for messages.
        link: The path or URL it names.
        editable: ``-e``.
        extras: The extras that are asked for.
        marker: When it is meant.
        config_settings: ``--config-settings`` of this requirement.
        by_user: False when it is a dependency of a distribution of the user's.
    """

    requirement: Requirement | None
    source: str = ""
    hashes: frozenset[str] = frozenset()
    text: str = ""
    link: UserLink | None = None
    editable: bool = False
    extras: frozenset[NormalizedName] = frozenset()
    marker: Marker | None = None
    config_settings: ConfigSettings = field(default_factory=dict)
    by_user: bool = True

    @property
    def project(self) -> NormalizedName | None:
        """The normalized name; None of a path or URL that does not say it."""
        return None if self.requirement is None else canonicalize_name(self.requirement.name)

    @property
    def acceptable(self) -> frozenset[str]:
        """The hashes that what its link leads to may have: its own, and that in the URL."""
        own = {self.link.hash} if self.link is not None and self.link.hash else set()
        known = self.hashes | own
        # One hash is enough: where there is a strong one, a broken one must not be.
        strong = {one for one in known if one.partition(":")[0] in STRONG_HASHES}
        return frozenset(strong) or known


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
            require_hashes=given.require_hashes or self.require_hashes,
            formats=formats,
            releases=releases,
            prefer_binary=given.prefer_binary or said.prefer_binary,
            no_index=given.no_index or said.no_index,
            find_links=(*given.find_links, *said.find_links),
        )


def parse_requirement(
    text: str,
    source: str = "",
    hashes: Iterable[str] = (),
    *,
    constraint: bool = False,
    config_settings: ConfigSettings | None = None,
) -> UserRequirement:
    """One requirement or constraint.

    Args:
        text: A PEP 508 requirement, a path or a URL, without options.
        source: Where it is written, for messages.
        hashes: The values of its ``--hash`` options, ``sha256:…``.
        constraint: Whether it is one.
        config_settings: Its ``--config-settings``.

    Raises:
        RequirementError: It is not valid, or names what nothing could verify.
    """
    text = text.strip()
    name, marker = _split_marker(text)
    link, extras = _link_in(name)
    if link is None:
        requirement: Requirement | None = _requirement(name, source)
    else:
        requirement = _named_by(link, source)
    if requirement is not None:
        requirement.marker = marker
        extras = extras or requirement.extras
        if requirement.url:
            link = parse_link(requirement.url)
    asked = UserRequirement(
        requirement,
        source,
        _parse_hashes(text, hashes, source),
        text=text,
        link=link,
        extras=frozenset(canonicalize_name(extra) for extra in extras),
        marker=marker,
        config_settings=config_settings or {},
    )
    if constraint:
        _check_constraint(asked)
    if marker is None:
        refuse_unverifiable(asked)
    return asked


def parse_editable(
    text: str,
    source: str = "",
    *,
    constraint: bool = False,
    config_settings: ConfigSettings | None = None,
) -> UserRequirement:
    """What ``-e`` names: a folder on this machine.

    Raises:
        RequirementError: It is something else, or not a project.
    """
    text = text.strip()
    if constraint:
        raise RequirementError("Editable requirements are not allowed as constraints")
    try:
        requirement: Requirement | None = Requirement(text)
    except InvalidRequirement:
        requirement = None
    marker = None
    if requirement is not None and requirement.url:
        link, extras, marker = parse_link(requirement.url), requirement.extras, requirement.marker
    else:
        path, extras = _strip_extras(text)
        link = link_to_path(path) if os.path.isdir(path) else _editable_url(path)  # noqa: PTH112
        requirement = _named_by(link, source)
    if link.path is None and not is_vcs(link.url):
        raise RequirementError(
            f"{text} is not a valid editable requirement. It should either be a path to a local "
            "project or a VCS URL (beginning with bzr+http, bzr+https, git+https, hg+https, "
            "svn+https)."
        )
    asked = UserRequirement(
        requirement,
        source,
        text=text,
        link=link,
        editable=True,
        extras=frozenset(canonicalize_name(extra) for extra in extras),
        marker=marker,
        config_settings=config_settings or {},
    )
    if marker is None:
        refuse_unverifiable(asked)
    return asked


def _editable_url(text: str) -> UserLink:
    # "git:…" is what "git+git:…" is.
    return parse_link(f"git+{text}" if text.lower().startswith("git:") else text)


def _split_marker(text: str) -> tuple[str, Marker | None]:
    """The requirement and its marker. In a URL a semicolon counts only before a space."""
    name, _, written = text.partition("; " if is_url(text) else ";")
    if not written.strip():
        return name.strip(), None
    try:
        return name.strip(), Marker(written.strip())
    except (InvalidMarker, RecursionError) as error:
        raise RequirementError(f"Invalid requirement: {name.strip()!r}: {error}") from None


def _strip_extras(text: str) -> tuple[str, set[str]]:
    found = _EXTRAS.match(text)
    if not found:
        return text, set()
    try:
        return found[1].rstrip(), Requirement(f"placeholder{found[2].lower()}").extras
    except InvalidRequirement:
        return text, set()


def _link_in(name: str) -> tuple[UserLink | None, set[str]]:
    """The link that a requirement is, with its extras; None when it names a project.

    Raises:
        RequirementError: It is the path of a folder that is no project.
    """
    if is_url(name):
        return parse_link(name), set()
    path, extras = _strip_extras(name)
    if _looks_like_path(name) and os.path.isdir(path):  # noqa: PTH112 - any text
        if not _is_project(path):
            raise RequirementError(
                f"Directory {name!r} is not installable. Neither 'setup.py' nor "
                "'pyproject.toml' found."
            )
        return link_to_path(path), extras
    if not is_distribution(path):
        return None, set()
    if not os.path.isfile(path):  # noqa: PTH113 - any text
        before, at, _ = name.partition("@")
        if at and not _looks_like_path(before):
            return None, set()
        _log.warning("Requirement %r looks like a filename, but the file does not exist", name)
    return link_to_path(path), extras


def _looks_like_path(name: str) -> bool:
    return name.startswith(".") or any(mark in name for mark in (os.sep, os.altsep) if mark)


def _is_project(path: str) -> bool:
    names = ("setup.py", "pyproject.toml")
    return any(os.path.isfile(os.path.join(path, name)) for name in names)  # noqa: PTH113, PTH118


def _named_by(link: UserLink, source: str) -> Requirement | None:
    """The requirement that a link's name tells; None when only its metadata does."""
    if link.is_wheel:
        try:
            project, version, _, _ = parse_wheel_filename(link.filename)
        except InvalidWheelFilename:
            raise RequirementError(f"{link.filename} is not a valid wheel filename.") from None
        return Requirement(f"{project}=={version}")
    return _requirement(link.egg, source) if link.egg else None


def _requirement(name: str, source: str) -> Requirement:
    try:
        return parse_dependency(name)
    except FormatError as error:
        raise RequirementError(
            f"Invalid requirement: {name!r:.500}: {error}{_from(source)}", remedy=_hint(name)
        ) from None


def _check_constraint(asked: UserRequirement) -> None:
    """As in pip.

    Raises:
        RequirementError: It cannot limit anything.
    """
    if asked.requirement is None:
        raise RequirementError("Unnamed requirements are not allowed as constraints")
    if asked.extras:
        raise RequirementError("Constraints cannot have extras")


def refuse_unverifiable(asked: UserRequirement) -> None:
    """Refuse a link that nothing could verify. One with a marker is judged when that holds.

    Raises:
        RequirementError: It is an address without a hash, or a version control system.
    """
    link = asked.link
    if link is None or link.path is not None:
        return
    if is_vcs(link.url):
        raise RequirementError(
            f"{asked.text!r} cannot be installed{_from(asked.source)}.",
            meaning="It names a version control system. No signature covers what that delivers, "
            "so nothing could prove that it is what its authors made.",
            remedy="Name the project and a version instead, for example: name==1.0, or the folder "
            "of a copy that you have looked at.",
        )
    strong = [one for one in asked.acceptable if one.partition(":")[0] in STRONG_HASHES]
    if not strong:
        raise RequirementError(
            f"{asked.text!r} cannot be installed{_from(asked.source)}.",
            meaning="It names an address of its own. No trusted repository signs that, so nothing "
            "could prove that it is what its authors made.",
            remedy="Say which bytes you mean: add #sha256=… to the address, or --hash in a "
            "requirements file. Or name the project and a version, for example: name==1.0",
        )


def _parse_hashes(text: str, hashes: Iterable[str], source: str) -> frozenset[str]:
    found = set()
    for value in hashes:
        algorithm, _, digest = value.partition(":")
        if algorithm not in STRONG_HASHES:
            raise RequirementError(
                f"Arguments to --hash must be a hash name followed by a value, like "
                f"--hash=sha256:abcde..., not {value!r}{_from(source)}.",
                meaning=f"Allowed hash algorithms for --hash are {', '.join(STRONG_HASHES)}.",
            )
        if not re.fullmatch(f"[0-9a-fA-F]{{{_HEX_LENGTHS[algorithm]}}}", digest):
            raise RequirementError(f"--hash of {text!r}{_from(source)}: not a {value!r:.160} hash")
        found.add(f"{algorithm}:{digest.lower()}")
    return frozenset(found)


def _hint(text: str) -> str:
    if os.sep in text:
        exists = os.path.exists(text)  # noqa: PTH110 - any text
        return "Hint: It looks like a path. " + (
            f"The path does exist. The argument you provided ({text}) appears to be a "
            "requirements file. If that is the case, use the '-r' flag to install the packages "
            "specified within it."
            if exists
            else f"File {text!r} does not exist."
        )
    if "=" in text and not any(operator in text for operator in ("==", "~=", "!=", ">=", "<=")):
        return "Hint: = is not a valid operator. Did you mean == ?"
    return ""


def _from(source: str) -> str:
    """``(from line 3 of FILE)``, as pip says it."""
    found = re.fullmatch(r"-[rc] (.*) \(line (\d+)\)", source, re.DOTALL)
    if found:
        return f" (from line {found[2]} of {found[1]})"
    return f" (from {source})" if source else ""
