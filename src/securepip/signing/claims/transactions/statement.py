"""Statements about a project's keys: which they are from now on, and how many of them must sign.

Rule: a statement names the version of the project's role that it comes with, so that nobody can
hand in an old statement again. It is signed as a DSSE envelope with its own payload type, so that a
signature on a statement never counts for TUF metadata, nor the other way round.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from packaging.utils import NormalizedName
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SecuresystemslibError
from securesystemslib.signer import Key, Signer

from securepip.errors import FormatError
from securepip.formats.layout import parse_project
from securepip.formats.words import counted
from securepip.signing.keys.ring import NO_KEYS, check_public_key
from securepip.signing.repository.claim_tree import Keyholders

PAYLOAD_TYPE = "application/vnd.securepip.project-keys+json"
MAX_KEYS = 32
"""The most keys that a project may have: each costs every client of its shard some 200 bytes."""


@dataclass(frozen=True)
class Statement:
    """The contents of a statement.

    Attributes:
        project: The project whose keys it names.
        version: The version of the project's role that it comes with. The keys count from then on.
        holders: The keys and their threshold.
        lost: Whether the earlier keys are lost, so that they cannot sign the statement.
    """

    project: NormalizedName
    version: int
    holders: Keyholders
    lost: bool = False

    def to_envelope(self) -> Envelope:
        """The DSSE envelope to be signed, without signatures."""
        document = {
            "project": self.project,
            "role-version": self.version,
            "threshold": self.holders.threshold,
            "lost-keys": self.lost,
            "keys": {key.keyid: key.to_dict() for key in self.holders.keys},
        }
        return Envelope(json.dumps(document, sort_keys=True).encode(), PAYLOAD_TYPE, {})


@dataclass(frozen=True)
class SignedStatement:
    """A statement and its signatures, which nobody has verified yet."""

    statement: Statement
    envelope: Envelope

    def sign(self, signers: list[Signer]) -> None:
        """Add signatures."""
        for signer in signers:
            self.envelope.sign(signer)

    def is_signed_by(self, holders: Keyholders) -> bool:
        """Whether enough of these keys have signed it."""
        try:
            self.envelope.verify(list(holders.keys), holders.threshold)
        except (SecuresystemslibError, ValueError):
            return False
        return True

    def is_begun_by(self, holders: Keyholders) -> bool:
        """Whether at least one of these keys has signed it."""
        return self.is_signed_by(Keyholders(holders.keys, 1))

    def to_json(self) -> bytes:
        """The envelope as a transaction holds it."""
        return json.dumps(self.envelope.to_dict(), indent=1).encode()


def parse_statement(data: bytes) -> SignedStatement:
    """Parse a statement. Its signatures are not verified.

    Raises:
        FormatError: ``data`` is not a valid statement.
    """
    try:
        envelope = Envelope.from_dict(json.loads(data))
        if envelope.payload_type != PAYLOAD_TYPE:
            raise FormatError(f"a statement of another kind: {envelope.payload_type!r:.80}")
        document = json.loads(envelope.payload)
        keys = tuple(
            Key.from_dict(str(keyid), dict(key)) for keyid, key in document["keys"].items()
        )
        version = document["role-version"]
        if type(version) is not int or version < 1:
            raise FormatError(f"not a version: {version!r:.80}")
        holders = check_holders(keys, document["threshold"])
        project, lost = parse_project(document["project"]), document["lost-keys"] is True
        return SignedStatement(Statement(project, version, holders, lost), envelope)
    except NO_KEYS as error:
        raise FormatError(f"this is not a statement about keys: {error!r:.200}") from None


def check_holders(keys: tuple[Key, ...], threshold: Any) -> Keyholders:
    """Check the keys and the threshold of a project.

    Raises:
        FormatError: There are too many or too few keys, or one is there twice; or the threshold
            cannot be reached.
    """
    if not 1 <= len(keys) <= MAX_KEYS:
        raise FormatError(f"a project has 1 to {MAX_KEYS} keys, not {len(keys)}")
    if type(threshold) is not int or not 1 <= threshold <= len(keys):
        raise FormatError(f"a threshold of {threshold!r:.20}, of {counted(len(keys), 'key')}")
    # One key under two ids would be two signatures by one person.
    distinct = {check_public_key(key).keyval["public"] for key in keys}
    if len(distinct) != len(keys):
        raise FormatError("a key is listed twice")
    return Keyholders(tuple(sorted(keys, key=lambda key: key.keyid)), threshold)
