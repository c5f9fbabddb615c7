"""Where a repository is, by the address that people type. Every command opens it by this alone."""

from __future__ import annotations

import re
from pathlib import Path

from securepip.errors import UsageError
from securepip.signing.repository.site import FolderSite, Site
from securepip.transport import file_url_to_path

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def site_of(address: str) -> Site:
    """The places of the repository at ``address``.

    Args:
        address: A folder, or its ``file://`` URL.

    Raises:
        UsageError: It is neither.
    """
    scheme = _scheme(address)
    if not scheme:
        return FolderSite(Path(address))
    if scheme == "file":
        return FolderSite(file_url_to_path(address))
    raise UsageError(
        f"no repository can be kept at an address that begins with {scheme}://",
        remedy="Name a folder.",
    )


def _scheme(address: str) -> str:
    match = _SCHEME.match(address)
    return match[1].lower() if match else ""
