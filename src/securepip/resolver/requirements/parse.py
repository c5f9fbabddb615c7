"""Parses one requirement.

Rule: a requirement that cannot be honoured is refused with the reason, never ignored. It may name a
file or folder of the user's own, or a URL with a hash. A URL without a hash, or a version control
system, is refused, because there is no signature to verify.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)

from securepip.errors import FormatError, RequirementError
from securepip.formats.core_metadata import parse_dependency
from securepip.formats.distribution import is_distribution
from securepip.resolver.options import ConfigSettings
from securepip.resolver.requirements.links import (
    STRONG_HASHES,
    UserLink,
    is_url,
    is_vcs,
    link_to_path,
    parse_link,
)
from securepip.resolver.requirements.types import UserRequirement

_log = logging.getLogger(__name__)
_EXTRAS = re.compile(r"(.+)(\[[^\]]+\])$", re.DOTALL)
_HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


def parse_requirement(
    text: str,
    source: str = "",
    hashes: Iterable[str] = (),
    *,
    constraint: bool = False,
    config_settings: ConfigSettings | None = None,
    must_be_verifiable: bool = True,
) -> UserRequirement:
    """Parse a requirement or constraint.

    Args:
        text: A PEP 508 requirement, a path or a URL, without options.
        source: Where it is written, for messages.
        hashes: The values of its ``--hash`` options, ``sha256:…``.
        constraint: Whether it is a constraint.
        config_settings: Its ``--config-settings``.
        must_be_verifiable: As for ``read_requirements``.

    Raises:
        RequirementError: It is not valid, or nothing could verify what it names.
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
    if must_be_verifiable and marker is None:
        refuse_unverifiable(asked)
    return asked


def parse_editable(
    text: str,
    source: str = "",
    *,
    constraint: bool = False,
    config_settings: ConfigSettings | None = None,
    must_be_verifiable: bool = True,
) -> UserRequirement:
    """Parse what ``-e`` names: a folder on this machine. The arguments are as above.

    Raises:
        RequirementError: It names something else, or is a constraint.
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
    if must_be_verifiable and marker is None:
        refuse_unverifiable(asked)
    return asked


def _editable_url(text: str) -> UserLink:
    # pip takes "git:…" for "git+git:…".
    return parse_link(f"git+{text}" if text.lower().startswith("git:") else text)


def _split_marker(text: str) -> tuple[str, Marker | None]:
    """Split off the marker. After a URL, it begins only at a semicolon with a space."""
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
        return found[1].rstrip(), Requirement(f"placeholder{found[2]}").extras
    except InvalidRequirement:
        return text, set()


def _link_in(name: str) -> tuple[UserLink | None, set[str]]:
    """The path or URL in a requirement, with extras; None if it names a project.

    Raises:
        RequirementError: It is the path of a folder that is not a project.
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
    """The requirement that a link's file name or ``#egg=`` states; None if neither does.

    Raises:
        RequirementError: The file name, or ``#egg=``, is not valid.
    """
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
    """Refuse a constraint that pip refuses.

    Raises:
        RequirementError: It names no project, or has extras.
    """
    if asked.requirement is None:
        raise RequirementError("Unnamed requirements are not allowed as constraints")
    if asked.extras:
        raise RequirementError("Constraints cannot have extras")


def refuse_unverifiable(asked: UserRequirement) -> None:
    """Refuse a URL that nothing could verify.

    For a requirement with a marker this is called later, once the marker applies.

    Raises:
        RequirementError: It is a URL without a hash, or of a version control system.
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
            meaning="It names a direct URL. No trusted repository signs that, so nothing "
            "could prove that it is what its authors made.",
            remedy="Say which bytes you mean: add #sha256=… to the URL, or --hash in a "
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
    """`` (from line 3 of FILE)``, as pip writes it; "" for the command line."""
    found = re.fullmatch(r"-[rc] (.*) \(line (\d+)\)", source, re.DOTALL)
    if found:
        return f" (from line {found[2]} of {found[1]})"
    return f" (from {source})" if source else ""
