"""The nouns of an explanation. Their form in JSON is documented, and only added to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from packaging.utils import NormalizedName

from securepip.formats.digests import Sha256

FORMAT_VERSION = 1


class Claim(Enum):
    """Who says that the file belongs to the project."""

    MAINTAINERS = "maintainers"
    """The project signs for itself (PEP 480)."""
    OPERATOR = "operator"
    """Those who run the repository (PEP 458)."""
    FIRST_USE = "first-use"
    """This machine, which believed what it saw first."""


@dataclass(frozen=True)
class Signature:
    """One key that has signed.

    Attributes:
        key_id: Its identifier.
        name: Whose it is, where the metadata says so; else "".
    """

    key_id: str
    name: str = ""


@dataclass(frozen=True)
class Link:
    """One link of the chain.

    Attributes:
        name: The role, or ``page``, or ``file``.
        says: What it says, in words.
        url: Where it is, without credentials.
        version: The version of a role; None for page and file.
        expires: Until when a role is good (UTC).
        signatures: Who has signed a role, as its delegator counts.
        threshold: How many had to.
        keys: How many keys could have.
        sha256: The digest of a page or file.
        size: Bytes of a page or file.
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
        """As documented."""
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
    """Why one file is believed.

    Attributes:
        project: Its project.
        version: Its version.
        filename: Its name.
        sha256: Its digest.
        size: Bytes; None where nobody has said it yet.
        repository: The name of the trusted repository.
        location: Where that is, without credentials.
        claim: Who says that the file is the project's.
        since: When it was seen or uploaded first, as far as somebody says so.
        links: The chain, from the root on.
        url: Where the bytes come from, without credentials.
        is_stored: Whether this machine has them already.
        not_checked: What nobody has checked, in words.
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
        """As documented; ``explain --json`` and the key ``securepip`` of reports hold it."""
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
