"""Where things are in a repository: target paths, and the files they stand for.

Rule: a target path is built from a normalized project name and a checked file name alone, never
taken from a page. Grouping by project is what lets a PEP 480 role be delegated ``simple/<p>/*``
and ``packages/<p>/*``.

Sources: PEP 458 (targets), PEP 503 (normalized names), TUF specification 3 (consistent snapshots).
"""

from __future__ import annotations

import re
from urllib.parse import quote

from packaging.utils import NormalizedName, canonicalize_name, is_normalized_name

from securepip.errors import FormatError
from securepip.formats.digests import Sha256

METADATA_DIR = "metadata"
SIMPLE_DIR = "simple"
PACKAGES_DIR = "packages"
_OWN = f"../../{PACKAGES_DIR}/"
PAGE_NAME = "index.json"
METADATA_SUFFIX = ".metadata"

BINS_ROLE = "bins"
CLAIMED_ROLE = "claimed"
RECENTLY_CLAIMED_ROLE = "recently-claimed"
ROLE_FIELD = "x-securepip-role"
"""In every role below root, its own name. TUF writes the name into that of the file only.

One key signs all bins, and one signs `claimed` and all its shards. Whoever answers in the
repository's place could otherwise serve one of them under the name of another of the same version:
validly signed, it would say of every project that belongs there that there is none.
"""
REPOSITORY_FIELD = "x-securepip-repository"
"""In every role below root, the sha256 of the repository's ``1.root.json``, in hexadecimal digits.

Two repositories, say staging and production, may share an online key: a role of one of them is no
role of the other.
"""
NAMED_FIELD = "x-securepip-named"
"""In ``targets``, which offline keys sign: which roles say name and repository.

``own``: all that the repository signs, so all but those of projects that sign for themselves.
``all``: these too. A client that has seen the one or the other insists on it for ever.
"""
STATUS_DIR = "status"
"""Holds a page for people, which is not signed and which no client reads."""
REASON_FIELD = "x-securepip-why"
"""In the role of a project, why its maintainers have signed it, in one line of their words."""
OWN_ROLES = "own"
ALL_ROLES = "all"
_PROJECT_ROLE = "project."
SHARD_PREFIXES = (1, 2, 3, 4, 6, 8, 11, 14, 18, 22, 28)
"""How many letters of a project's name the shards of a claiming role go by, level after level.

``claimed`` delegates ``p*`` to ``claimed.p``, that one ``py*`` to ``claimed.py``, and so on for as
long as a shard would hold too many projects.
"""

# What a distribution's file name may consist of (wheel and sdist specifications, and the `!`, `+`
# and space seen in old releases). No separator of any system, no drive, no leading dot or dash,
# so that a name from the network can neither leave its folder nor become an option of a command.
_FILENAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.!+ -]*")
_MAX_FILENAME = 240


def parse_project(name: str) -> NormalizedName:
    """``name`` in its normalized form (PEP 503).

    Raises:
        FormatError: It is not the name of a project.
    """
    try:
        normalized = canonicalize_name(name, validate=True)
    except ValueError:
        raise FormatError(f"not a project name: {name!r:.80}") from None
    # A distribution of a longer one could have no name of its own, and a database no row of it.
    if len(normalized) > _MAX_FILENAME:
        raise FormatError(f"not a project name: {name!r:.80}")
    return normalized


def check_filename(filename: object) -> str:
    """``filename``, once it is known to be a plain name of one file.

    Raises:
        FormatError: It could name another folder, a device, an option or a hidden file.
    """
    if (
        not isinstance(filename, str)
        or len(filename) > _MAX_FILENAME
        or not _FILENAME.fullmatch(filename)
        or filename.endswith((" ", "."))
    ):
        raise FormatError(f"not the name of a distribution file: {filename!r:.80}")
    return filename


def page_target(project: NormalizedName) -> str:
    """The target path of a project's page."""
    return f"{SIMPLE_DIR}/{project}/{PAGE_NAME}"


def file_target(project: NormalizedName, filename: str) -> str:
    """The target path of a distribution.

    Raises:
        FormatError: ``filename`` is not a plain file name.
    """
    return f"{PACKAGES_DIR}/{project}/{check_filename(filename)}"


def project_role(project: NormalizedName) -> str:
    """The role of a claimed project. A dot is in no normalized name: nothing can collide."""
    return f"{_PROJECT_ROLE}{project}"


def project_paths(project: NormalizedName) -> list[str]:
    """The target paths that are delegated to a claimed project, as patterns."""
    return [f"{SIMPLE_DIR}/{project}/*", f"{PACKAGES_DIR}/{project}/*"]


def project_of_role(role: str) -> NormalizedName | None:
    """The project whose role that is, or None for any other role."""
    found = role.removeprefix(_PROJECT_ROLE)
    return NormalizedName(found) if found != role and is_normalized_name(found) else None


def project_of_target(target_path: str) -> NormalizedName | None:
    """The project that a target path belongs to, or None when it is no path of ours."""
    parts = target_path.split("/")
    if len(parts) != 3 or parts[0] not in (SIMPLE_DIR, PACKAGES_DIR):
        return None
    return NormalizedName(parts[1]) if is_normalized_name(parts[1]) else None


def shard_names(top: str, project: NormalizedName) -> list[str]:
    """The shards of ``claimed`` or ``recently-claimed`` that may lead to a project, outer first."""
    return [f"{top}.{project[:letters]}" for letters in SHARD_PREFIXES if letters <= len(project)]


def consistent_path(target_path: str, sha256: Sha256) -> str:
    """Where consistent snapshots keep the target: its name, prefixed with its digest."""
    folder, _, name = target_path.rpartition("/")
    return f"{folder}/{sha256}.{name}"


def is_own_url(url: str, project: NormalizedName, filename: str) -> bool:
    """Whether ``url`` is that of a repository's own distribution (``relative_file_url``)."""
    return url.startswith(_OWN) and url == relative_file_url(project, filename)


def relative_file_url(project: NormalizedName, filename: str) -> str:
    """The URL of a repository's own distribution, relative to its project page."""
    return f"{_OWN}{project}/{quote(check_filename(filename))}"
