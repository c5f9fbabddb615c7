"""Repositories of this machine's own: which index each one signs, and by which rules.

Such a repository is verified like any other, but this machine signs it, while the resolver asks for
projects (room ``first_use``). So its entry in the trust map also says which index it reads, and
what the user demands of files that are seen for the first time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True)
class FirstUseRules:
    """What the user demands of a file before this machine signs it for the first time.

    Attributes:
        min_age: Files uploaded more recently than this are left out; None for no rule.
        witnesses: URLs of other indexes that must list the same sha256. May hold credentials.
        memory: A text file of file names and sha256 digests, shared with other machines.
    """

    min_age: timedelta | None = None
    witnesses: tuple[str, ...] = ()
    memory: Path | None = None

    def to_json(self) -> dict[str, object]:
        """The rules as the trust map holds them."""
        document: dict[str, object] = {}
        if self.min_age is not None:
            document["min-age-hours"] = int(self.min_age / timedelta(hours=1))
        if self.witnesses:
            document["witnesses"] = list(self.witnesses)
        if self.memory is not None:
            document["memory"] = str(self.memory)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> FirstUseRules:
        """The rules in an entry of the trust map.

        Raises:
            ValueError: They do not have the form that ``to_json`` writes.
        """
        hours = document.get("min-age-hours")
        witnesses = document.get("witnesses", [])
        memory = document.get("memory")
        if not (hours is None or (type(hours) is int and 0 < hours < 1_000_000)):
            raise ValueError(f"not a number of hours: {hours!r:.80}")
        if not isinstance(witnesses, list) or not all(isinstance(each, str) for each in witnesses):
            raise ValueError(f"not a list of addresses: {witnesses!r:.80}")
        if not (memory is None or isinstance(memory, str)):
            raise ValueError(f"not a path: {memory!r:.80}")
        return cls(
            None if hours is None else timedelta(hours=hours),
            tuple(witnesses),
            None if memory is None else Path(memory),
        )


@dataclass(frozen=True)
class FirstUse:
    """Which index a repository of this machine's own signs, and by which rules.

    Attributes:
        index_url: The index that is read. May hold credentials.
        rules: What is demanded of files that are seen for the first time.
    """

    index_url: str
    rules: FirstUseRules = FirstUseRules()

    def to_json(self) -> dict[str, object]:
        """What the trust map holds about this index and its rules."""
        return {"index-url": self.index_url, **self.rules.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> FirstUse:
        """The index and rules in an entry of the trust map.

        Raises:
            ValueError: It does not have the form that ``to_json`` writes.
        """
        url = document.get("index-url")
        if not isinstance(url, str):
            raise ValueError(f"not an address: {url!r:.80}")
        return cls(url, FirstUseRules.from_json(document))
