"""The types of an explanation. Their JSON form is documented, and keys are only added to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from packaging.utils import NormalizedName

from securepip.formats.digests import Sha256

FORMAT_VERSION = 1


class Claim(Enum):
    """Who vouches that the file belongs to the project."""

    MAINTAINERS = "maintainers"
    """The project's maintainers, who sign for it themselves (PEP 480)."""
    OPERATOR = "operator"
    """The operator of the repository (PEP 458)."""
    FIRST_USE = "first-use"
    """This machine, which believed the index at first use."""


@dataclass(frozen=True)
class Signature:
    """One key that has signed.

    Attributes:
        key_id: Its id.
        name: Its owner, if the metadata names one; else "".
    """

    key_id: str
    name: str = ""


@dataclass(frozen=True)
class Link:
    """One link of the chain.

    Attributes:
        name: The name of a role; or ``page``, or ``file``.
        says: What it says, in words.
        url: Its URL, without credentials.
        version: The version of a role; None for page and file.
        expires: When a role expires (UTC); None for page and file.
        signatures: The signatures on a role that its delegator counts.
        threshold: How many signatures a role needs.
        keys: How many keys may sign a role.
        sha256: The digest of a page or file.
        size: The length of a page or file in bytes.
    """

    name: str
    says: str
    url: str
    version: int | None = None
    expires: datetime | None = None
    signatures: tuple[Signature, ...] = ()
    threshold: int = 0
    keys: int = 0
    sha256: Sha256 | None = None
    size: int | None = None

    def to_json(self) -> dict[str, object]:
        """The documented JSON form."""
        document: dict[str, object] = {"link": self.name, "says": self.says, "url": self.url}
        if self.version is not None:
            document["version"] = self.version
        if self.expires is not None:
            document["expires"] = self.expires.isoformat()
        if self.threshold:
            document["threshold"] = self.threshold
            document["keys"] = self.keys
            document["signed_by"] = [
                {"key_id": one.key_id, "name": one.name or None} for one in self.signatures
            ]
        if self.sha256 is not None:
            document["sha256"] = self.sha256
        if self.size is not None:
            document["size"] = self.size
        return document


@dataclass(frozen=True)
class Explanation:
    """Why one file is trusted.

    Attributes:
        project: Its project.
        version: Its version.
        filename: Its name.
        sha256: Its digest.
        size: Its length in bytes; None if it is not known yet.
        repository: The name of the trusted repository.
        location: The location of the repository, without credentials.
        claim: Who vouches that the file belongs to the project.
        since: When it was first seen or uploaded, in words; "" if that is not known.
        links: The chain, from the root on.
        url: The URL of the file, without credentials.
        is_stored: Whether the file is in this machine's store.
        not_checked: What was not checked, in words.
    """

    project: NormalizedName
    version: str
    filename: str
    sha256: Sha256
    size: int | None
    repository: str
    location: str
    claim: Claim
    since: str
    links: tuple[Link, ...]
    url: str
    is_stored: bool
    not_checked: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The documented JSON form, for ``explain --json`` and the key ``securepip`` of reports."""
        return {
            "format": FORMAT_VERSION,
            "verified": "signed",
            "name": self.project,
            "version": self.version,
            "file": self.filename,
            "sha256": self.sha256,
            "size": self.size,
            "repository": self.repository,
            "location": self.location,
            "claim": self.claim.value,
            "since": self.since or None,
            "url": self.url,
            "stored": self.is_stored,
            "chain": [link.to_json() for link in self.links],
            "not_checked": list(self.not_checked),
        }
