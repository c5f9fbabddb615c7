"""Where things are in a repository: target paths, role names, and file names.

Rule: a target path is built from a normalized project name and a checked file name, never taken
from a page. Paths are grouped by project, so that a PEP 480 role can be delegated ``simple/<p>/*``
and ``packages/<p>/*``.

Sources: PEP 458 (targets), PEP 503 (normalized names), TUF specification 3 (consistent snapshots),
TAP 15 (hash bins).
"""

from __future__ import annotations

import hashlib
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
"""The field of every role below root that holds the role's own name.

In TUF only the file name says which role a file is. One key signs all bins, and one signs `claimed`
and all its shards. Without this field, a malicious mirror could serve one bin as another bin of the
same version: it is validly signed, and lists none of the other bin's projects.
"""
REPOSITORY_FIELD = "x-securepip-repository"
"""The field of every role below root that holds the sha256 of ``1.root.json`` (hexadecimal).

Two repositories, say staging and production, may share an online key. Without this field, a role
of one could be served as a role of the other.
"""
NAMED_FIELD = "x-securepip-named"
"""The field of ``targets`` that says which roles have the two fields above (``OWN_ROLES`` or
``ALL_ROLES``). Offline keys sign it, and a client that has seen it insists on it forever."""
STATUS_DIR = "status"
"""The folder of a web page for people. The page is not signed, and no client reads it."""
REASON_FIELD = "x-securepip-why"
"""The field of a project's role that says, in one line, why its maintainers have signed it."""
OWN_ROLES = "own"
"""The roles that the repository signs: all except those of projects that sign for themselves."""
ALL_ROLES = "all"
"""All roles below root."""
_PROJECT_ROLE = "project."
SHARD_PREFIXES = (1, 2, 3, 4, 6, 8, 11, 14, 18, 22, 28)
"""How many letters of a project's name are in the names of shards, level by level.

``claimed`` delegates ``p*`` to ``claimed.p``, which delegates ``py*`` to ``claimed.py``, and so on
until a shard does not hold too many projects.
"""

# The characters of distribution file names (wheel and sdist specifications, and the `!`, `+` and
# space of old releases). There is no path separator, no drive, and no dot or dash in front: a name
# from the network can neither leave its folder nor be taken for an option of a command.
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
    # With a longer name, the project's distributions could have no valid file name.
    if len(normalized) > _MAX_FILENAME:
        raise FormatError(f"not a project name: {name!r:.80}")
    return normalized


def check_filename(filename: object) -> str:
    """Return ``filename`` if it is a plain file name.

    Raises:
        FormatError: It is not: it could name another folder, a device, an option or a hidden file.
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
    """The role of a claimed project. No normalized name has a dot, so no two names collide."""
    return f"{_PROJECT_ROLE}{project}"


def project_paths(project: NormalizedName) -> list[str]:
    """The target paths that are delegated to a claimed project, as patterns."""
    return [f"{SIMPLE_DIR}/{project}/*", f"{PACKAGES_DIR}/{project}/*"]


def project_of_role(role: str) -> NormalizedName | None:
    """The project whose role ``role`` is; None for any other role."""
    name = role.removeprefix(_PROJECT_ROLE)
    return NormalizedName(name) if name != role and is_normalized_name(name) else None


def project_of_target(target_path: str) -> NormalizedName | None:
    """The project that a target path belongs to; None if the path is not of this layout."""
    parts = target_path.split("/")
    if len(parts) != 3 or parts[0] not in (SIMPLE_DIR, PACKAGES_DIR):
        return None
    return NormalizedName(parts[1]) if is_normalized_name(parts[1]) else None


def shard_names(top: str, project: NormalizedName) -> list[str]:
    """The shards of ``top`` (``claimed``, ``recently-claimed``) that may lead to a project.

    The outermost is first.
    """
    return [f"{top}.{project[:letters]}" for letters in SHARD_PREFIXES if letters <= len(project)]


def bin_number(target_path: str, bits: int) -> int:
    """The number of the hash bin that a target path belongs to (TAP 15).

    Args:
        target_path: The path.
        bits: How many leading bits of the path's SHA-256 are the number: at most 32.
    """
    digest = hashlib.sha256(target_path.encode()).digest()
    return int.from_bytes(digest[:4], "big") >> (32 - bits)


def consistent_path(target_path: str, sha256: Sha256) -> str:
    """The target's path with consistent snapshots: the file name is prefixed with the digest."""
    folder, _, name = target_path.rpartition("/")
    return f"{folder}/{sha256}.{name}"


def is_own_url(url: str, project: NormalizedName, filename: str) -> bool:
    """Whether ``url`` is the ``relative_file_url`` of the file."""
    return url.startswith(_OWN) and url == relative_file_url(project, filename)


def relative_file_url(project: NormalizedName, filename: str) -> str:
    """The URL of a repository's own distribution, relative to its project page."""
    return f"{_OWN}{project}/{quote(check_filename(filename))}"
