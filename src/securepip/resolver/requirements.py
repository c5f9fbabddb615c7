"""What the user asks for: requirements, constraints and hashes, from the command line and files.

Rule: what cannot be honoured is refused with the reason, never passed over. A requirement that
points to a URL, a path or a version control system has no signature to check: it is refused here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from securepip.errors import FormatError, UsageError
from securepip.formats.digests import Sha256, parse_sha256
from securepip.formats.distribution import is_distribution

_URL = re.compile(r"(?:https?|file|ftp|(?:git|hg|svn|bzr)(?:\+[a-z]+)?):", re.IGNORECASE)
_STRONG_HASHES = ("sha256", "sha384", "sha512")


@dataclass(frozen=True)
class UserRequirement:
    """One requirement, or one constraint, in the user's words.

    Attributes:
        requirement: What it says.
        source: Where it is written, as pip says it: ``-r FILE (line 3)``, "" for the command line.
        hashes: The digests its file may have; empty when the user named none.
    """

    requirement: Requirement
    source: str = ""
    hashes: frozenset[Sha256] = frozenset()


@dataclass(frozen=True)
class ResolveInput:
    """Everything that the user asks for, in the order that counts.

    Attributes:
        requirements: What to install.
        constraints: What versions may be installed of projects that something else asks for.
        prereleases: Whether a file says ``--pre``.
        require_hashes: Whether every distribution must have a hash: asked for in a file, or
            because one requirement or constraint has one.
    """

    requirements: tuple[UserRequirement, ...] = ()
    constraints: tuple[UserRequirement, ...] = ()
    prereleases: bool = False
    require_hashes: bool = False


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
    return UserRequirement(requirement, source, _parse_hashes(text, hashes, source))


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
