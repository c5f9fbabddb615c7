"""The transaction log: what was signed, when, with which keys, and why.

Rule: an entry is on disk before the signatures that it is about become current, and it holds the
digest of the entry before it. The timestamp signs the number and digest of the newest entry (in its
field ``log``). So if somebody changes or removes entries, `repo audit` and `repo status` find out,
and nothing more is signed until the log is whole again. The entry in turn names the timestamp and
the snapshot that it was written for: nothing is signed on top of any other state, which a thief of
the online key may have made. If the log has later entries than the one that the timestamp names, a
run was killed, and they are harmless.

The log has one line of JSON for each entry (``lines``), and is never served. Source: PEP 480 asks
for a transaction log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from tuf.api.metadata import Timestamp

from securepip.errors import FormatError, RepositoryStateError
from securepip.formats.digests import Sha256, parse_sha256, sha256_of
from securepip.signing.repository.state.later import Aside
from securepip.signing.repository.state.lines import Lines

ANCHOR_FIELD = "log"
"""The field of the timestamp that names the newest entry. Other clients ignore it."""

_NOTHING = Sha256("0" * 64)
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
_DECODE = json.JSONDecoder().raw_decode
_SIGNED = '"signed":['
"""Marks the list of roles in an entry. No JSON string can hold this text, because the quotes would
be escaped."""


@dataclass(frozen=True, slots=True)
class SignedRole:
    """One signed file of an entry.

    Attributes:
        role: The name of its role.
        version: Its version.
        sha256: The digest of the file. For a timestamp, which has to name this entry, it is the
            digest of its snapshot.
        keyids: The ids of the keys that signed it.
    """

    role: str
    version: int
    sha256: Sha256 | None
    keyids: tuple[str, ...]


@dataclass(frozen=True)
class Reason:
    """Why something is signed.

    Attributes:
        command: The command and its arguments, without its options.
        words: The operator's own reason (``formats.words.parse_reason``); "" if none was given.
    """

    command: str = ""
    words: str = ""


@dataclass(frozen=True)
class Entry:
    """One transaction, or a decision of a person without a transaction.

    Attributes:
        number: The number of the entry, from 1 on.
        time: When it was written (UTC).
        why: The command with its arguments.
        words: The operator's own reason; "" if none was given.
        signed: The signed files; empty for a decision.
        previous: The digest of the entry before.
        sha256: The digest of this entry.
    """

    number: int
    time: datetime
    why: str
    words: str
    signed: tuple[SignedRole, ...]
    previous: Sha256
    sha256: Sha256


@dataclass(frozen=True)
class Anchor:
    """The number and the digest of the newest log entry, as a timestamp names them."""

    entries: int
    sha256: Sha256


def signed_aside() -> Aside[SignedRole]:
    """A file for any number of signed files, until they are written to an entry."""
    return Aside(
        lambda each: (each.role, each.version, each.sha256, each.keyids),
        lambda role, version, sha256, keyids: SignedRole(role, version, sha256, tuple(keyids)),
    )


def anchor_of(timestamp: Timestamp) -> Anchor | None:
    """The log entry that ``timestamp`` names; None if it names none, or is malformed there."""
    try:
        field = timestamp.unrecognized_fields[ANCHOR_FIELD]
        return Anchor(int(field["entries"]), parse_sha256(field["sha256"]))
    except (KeyError, TypeError, ValueError, FormatError):
        return None


def set_anchor(timestamp: Timestamp, anchor: Anchor) -> None:
    """Let ``timestamp`` name the newest entry."""
    field = {"entries": anchor.entries, "sha256": anchor.sha256}
    timestamp.unrecognized_fields[ANCHOR_FIELD] = field


class Log:
    """The log of one repository. The repository's lock must be held to append to it.

    Attributes:
        reason: The reason that the next entries give.
    """

    def __init__(self, lines: Lines, reason: Reason | None = None) -> None:
        self._lines = lines
        self.reason = reason or Reason()

    def entries(self) -> Iterator[Entry]:
        """All entries, the oldest first. Each is checked against the one before.

        Raises:
            RepositoryStateError: An entry was changed; it and all later ones cannot be believed.
        """
        before = Anchor(0, _NOTHING)
        for line, _ in self._lines.after(0):
            entry = self._parse(line)
            if entry is None or (entry.number, entry.previous) != (
                before.entries + 1,
                before.sha256,
            ):
                raise self._damaged(f"the entry after number {before.entries} was changed")
            before = Anchor(entry.number, entry.sha256)
            yield entry

    def append(
        self, signed: Iterable[SignedRole], anchored: Anchor | None, step: str = ""
    ) -> Anchor:
        """Write the next entry with the ``reason``, and wait until it is on disk.

        Args:
            signed: The signed files; there may be a hundred thousand bins among them.
            anchored: What the current timestamp says of the log; None if it says nothing.
            step: Text in place of the command, for one step of a command that takes several.

        Returns:
            The number and digest of the entry, for the next timestamp.

        Raises:
            RepositoryStateError: The log is not what ``anchored`` says. Nothing may be signed, or
                the timestamp would vouch for a log that somebody has changed.
        """
        last = self._last(anchored)
        fields = {
            "number": last.entries + 1,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "why": step or self.reason.command,
            **({"words": self.reason.words} if self.reason.words else {}),
        }
        digest = hashlib.sha256()

        def parts() -> Iterator[bytes]:
            for text in _entry(fields, signed, last.sha256):
                part = text.encode()
                digest.update(part)
                yield part

        self._lines.append(parts())
        return Anchor(last.entries + 1, Sha256(digest.hexdigest()))

    def give_words(self, words: str) -> None:
        """Use ``words`` as the operator's own reason, unless the command has one already."""
        if not self.reason.words:
            self.reason = replace(self.reason, words=words)

    def note(self, timestamp: Timestamp) -> None:
        """Write an entry for a decision of a person, for which nothing is signed now.

        The next timestamp vouches for it.

        Args:
            timestamp: The current timestamp.

        Raises:
            RepositoryStateError: The log is not what was written.
        """
        self.append((), anchor_of(timestamp))

    def after(self, offset: int) -> Iterator[tuple[Entry, int]]:
        """The entries from ``offset`` on, each with the offset of the next one.

        They are not checked, so use them only to show them. Of the signed files of an entry, only
        the timestamp and the snapshot are kept.
        """
        for line, following in self._lines.after(offset):
            entry = self._parse(line, ["timestamp", "snapshot"])
            if entry is not None:
                yield entry, following

    def size(self) -> int:
        """The offset behind the last entry; it grows with each entry. 0 if it is not known."""
        return self._lines.size()

    def check(self, timestamp: Timestamp) -> tuple[Entry, ...]:
        """All entries, after a check that ``timestamp`` vouches for them.

        Raises:
            RepositoryStateError: Some were changed or removed, or ``timestamp`` was not signed
                here.
        """
        entries = tuple(self.entries())
        self._check_named(timestamp, entries)
        return entries

    def check_made(self, timestamp: Timestamp) -> None:
        """Check that ``timestamp`` was signed here. Only the end of the log is read.

        Raises:
            RepositoryStateError: It was not, or its entry is missing.
        """
        anchor = anchor_of(timestamp)
        lines = self._tail(anchor.entries if anchor else None)
        entries = (self._parse(line, ["timestamp"]) for line in lines)
        self._check_named(timestamp, [entry for entry in entries if entry is not None])

    def become(self, other: Log) -> None:
        """Replace all entries with those of another log."""
        self._lines.become(line for line, _ in other._lines.after(0))

    def set_aside(self) -> None:
        """Keep the log under another name, and begin a new one."""
        self._lines.set_aside()

    def _check_named(self, timestamp: Timestamp, entries: Sequence[Entry]) -> None:
        """Check that the entry that ``timestamp`` names is among ``entries`` and names it too."""
        anchor = anchor_of(timestamp)
        if anchor is None:
            if entries:
                raise _not_ours(timestamp, "does not name the log")
            return
        named = (anchor.entries, anchor.sha256)
        entry = next((each for each in entries if (each.number, each.sha256) == named), None)
        if entry is None:
            raise self._damaged(f"entry {anchor.entries}, which the timestamp names, is not there")
        # A thief of the key can name the newest entry in his timestamp, but that entry does not
        # name his timestamp.
        snapshot = (timestamp.snapshot_meta.hashes or {}).get("sha256")
        if not any(
            (each.role, each.version, each.sha256) == ("timestamp", timestamp.version, snapshot)
            for each in entry.signed
        ):
            raise _not_ours(timestamp, f"is not the one of entry {entry.number} of the log")

    def _last(self, anchored: Anchor | None) -> Anchor:
        """The newest entry, after a check that the log has the entry ``anchored``."""
        self._lines.drop_torn()
        newest: Anchor | None = None
        has_anchored = anchored is None
        for line in self._tail(anchored.entries if anchored else None):
            entry = self._parse(line, ())
            follows = (entry.number - 1, entry.previous) if entry else None
            if entry is None or (newest and follows != (newest.entries, newest.sha256)):
                raise self._damaged("an entry was changed")
            newest = Anchor(entry.number, entry.sha256)
            has_anchored = has_anchored or newest == anchored
        if not has_anchored and anchored is not None:
            raise self._damaged(f"entry {anchored.entries}, which the timestamp names, is gone")
        return newest or Anchor(0, _NOTHING)

    def _tail(self, number: int | None) -> list[bytes]:
        """The last lines: at least those from entry ``number`` on."""

        def number_of(line: bytes) -> int | None:
            entry = self._parse(line, ())
            return None if entry is None else entry.number

        return self._lines.tail(number, number_of)

    def _parse(self, line: bytes, only: Container[str] | None = None) -> Entry | None:
        """Parse an entry; None if the line is no entry.

        Roles are decoded one at a time: all of them would take many times the memory of their text.

        Args:
            line: The line.
            only: The roles that are kept in the entry; None for all of them.
        """
        try:
            text = line.decode()
            start = position = text.index(_SIGNED) + len(_SIGNED)
            signed: list[SignedRole] = []
            keys: dict[tuple[str, ...], tuple[str, ...]] = {}  # all bins share one tuple of ids
            while text.startswith("[", position):
                (role, version, sha256, keyids), position = _DECODE(text, position)
                position += text.startswith(",[", position)
                if only is None or role in only:
                    keyids = keys.setdefault(tuple(keyids), tuple(keyids))
                    signed.append(SignedRole(role, version, sha256, keyids))
            document = json.loads(text[:start] + text[position:])
            return Entry(
                number=int(document["number"]),
                time=datetime.fromisoformat(document["time"]),
                why=str(document["why"]),
                words=str(document.get("words", "")),
                signed=tuple(signed),
                previous=Sha256(document["previous"]),
                sha256=sha256_of(line),
            )
        except (ValueError, KeyError, TypeError):
            return None

    def _damaged(self, what: str) -> RepositoryStateError:
        return RepositoryStateError(
            f"{self._lines.address}: {what}",
            meaning="The log of what was signed is not the one that was written: somebody, or a "
            "broken disk, changed it.",
            remedy="Nothing more is signed until it is whole. Restore it from a backup; if "
            "somebody had a hand in it, `securepip repo recover` replaces the keys and begins a "
            "new log.",
        )


def _entry(fields: object, signed: Iterable[SignedRole], previous: Sha256) -> Iterator[str]:
    """The text of an entry, in parts, because that of many bins has megabytes."""
    yield f"{_ENCODE(fields)[:-1]},{_SIGNED}"
    separator = ""
    for each in signed:
        yield separator + _ENCODE([each.role, each.version, each.sha256, each.keyids])
        separator = ","
    yield f'],"previous":{_ENCODE(previous)}}}'


def _not_ours(timestamp: Timestamp, what: str) -> RepositoryStateError:
    return RepositoryStateError(
        f"the current timestamp, version {timestamp.version}, {what}",
        meaning="It was not signed by this repository: somebody else has its key.",
        remedy="Nothing is signed on top of it. `securepip repo recover` replaces the keys and "
        "comes back to the state that you know to be yours.",
    )
