"""Checks the requirements of served releases: none may be a URL, or a project that nobody signs.

The rules:

* Nobody signs what is at a URL in a requirement (``evil @ https://…``). ``securepip install``
  refuses such requirements in signed metadata, and tells the user. A tool would fetch the URL past
  the gateway, so the tool does not get the metadata.
* A requirement with a marker may not apply to the tool's environment, which the gateway does not
  know. If its URL is http or https, it is let through when something else stops the connection.
* If a served release requires a project that no repository knows, the answer is an error and not
  "unknown". Otherwise tools would take an older release that does not require it, and whoever hides
  one project would decide which versions of others are installed.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import FormatError, UntrustedError, VerificationError
from securepip.formats.core_metadata import parse_core_metadata
from securepip.formats.digests import Sha256, sha256_of
from securepip.gateway.by_url import RefusedError
from securepip.transport import redact

_MAX_REMEMBERED = 100_000
_log = logging.getLogger(__name__)


class UnsignedDependencyError(UntrustedError):
    """A release that was served requires a project that no trusted repository knows."""


class Dependencies:
    """Remembers what served releases require. For one event loop.

    Args:
        connections_are_held: Whether every connection of the tool is controlled: by the gateway as
            its proxy, or by the plugin in pip.
        older_releases: Whether a tool may take an older release if a newer one requires a project
            that nobody signs. That is so if the user says so, or has other places that may have it.
    """

    def __init__(self, *, connections_are_held: bool, older_releases: bool = False) -> None:
        self._connections_are_held = connections_are_held
        self._older_releases = older_releases
        self._required_by: OrderedDict[NormalizedName, str] = OrderedDict()
        self._checked: OrderedDict[Sha256, None] = OrderedDict()

    def check(self, filename: str, metadata: bytes) -> None:
        """Check the metadata of a distribution before a tool gets it.

        Raises:
            RefusedError: It requires something at a URL.
            VerificationError: It cannot be parsed.
        """
        sha256 = sha256_of(metadata)
        if sha256 in self._checked:
            return
        try:
            requirements = parse_core_metadata(metadata).requires_dist
        except FormatError as error:
            raise VerificationError(
                f"the signed metadata of {filename} cannot be read: {error.what}",
                remedy="Ask for another version, and tell the people who run the repository.",
            ) from None
        for requirement in requirements:
            if requirement.url and not self._is_left_to_others(requirement):
                raise _address_refusal(filename, requirement)
        for requirement in requirements:
            self._remember(canonicalize_name(requirement.name), filename)
        self._checked[sha256] = None
        if len(self._checked) > _MAX_REMEMBERED:
            self._checked.popitem(last=False)

    def unknown(self, project: NormalizedName) -> UntrustedError | None:
        """The error for an unknown project that a served release requires; None if none does."""
        filename = self._required_by.get(project)
        if filename is None:
            return None
        if self._older_releases:
            _log.warning("%s requires %s, which no trusted repository knows.", filename, project)
            return None
        return UnsignedDependencyError(
            f"no trusted repository knows the project {project}, which {filename} requires",
            meaning="No trusted repository has signed anything of that name. An older release may "
            "not require it; but then whoever hides a project could choose versions.",
            remedy=f"Have {project} signed, or ask for a version that does not require it. With "
            "--allow-older-releases a gateway lets tools take older releases.",
        )

    def _remember(self, project: NormalizedName, filename: str) -> None:
        self._required_by[project] = filename
        self._required_by.move_to_end(project)
        if len(self._required_by) > _MAX_REMEMBERED:
            self._required_by.popitem(last=False)

    def _is_left_to_others(self, requirement: Requirement) -> bool:
        scheme = urlsplit(requirement.url or "").scheme.lower()
        is_connection = scheme in ("http", "https")
        return self._connections_are_held and is_connection and requirement.marker is not None


def _address_refusal(filename: str, requirement: Requirement) -> RefusedError:
    shown = f"{requirement.name} @ {redact(requirement.url or '')}"
    return RefusedError(
        f"the metadata of {filename} requires {shown}, an address that nobody signs",
        meaning="What a tool fetched there would not be verified. `securepip install` takes no "
        "address from signed metadata either.",
        remedy="Ask for another version, or ask the project to require a release by its name.",
    )
