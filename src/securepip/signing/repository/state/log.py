"""The transaction log: what was signed, when, with which keys, and why.

Rule: an entry is on the disk before the signature that it is about becomes current, and it holds
the digest of the entry before it. The number and digest of the newest entry are signed too, in the
timestamp (its field ``log``): who changes, drops or cuts off entries is found out by `repo audit`
and `repo status`, and nothing more is signed until the log is whole again. The entry in turn names
the timestamp and the snapshot that it was written for: nothing is signed on top of others, which a
thief of the online key may have made. A log that says more than the timestamp does is the trace of
a run that was killed, and harmless.

One line of JSON for each entry (``lines``), never served. Source: PEP 480 asks for a
transaction log.
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
"""The field of the timestamp that names the newest entry; other clients pass over it."""

_NOTHING = Sha256("0" * 64)
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
_DECODE = json.JSONDecoder().raw_decode
_SIGNED = '"signed":['
"""In no text of JSON is this but where it is meant: there, its quotes would have backslashes."""


@dataclass(frozen=True, slots=True)
class SignedRole:
    """One signed file. There is one for each bin.

    Attributes:
        role: Its role.
        version: Its version.
        sha256: Of the file; of a timestamp, which names its own entry, that of its snapshot.
        keyids: Of the keys that signed.
    """

    role: str
    version: int
    sha256: Sha256 | None
    keyids: tuple[str, ...]


@dataclass(frozen=True)
class Reason:
    """Why something is signed.

    Attributes:
        command: What asked for it: the command and its arguments, but not its options.
        words: What the person who typed it said of the reason (``formats.words.parse_reason``);
            empty where nobody said anything.
    """

    command: str = ""
    words: str = ""


@dataclass(frozen=True)
class Entry:
    """One transaction, or a decision of a person's that the next transaction follows.

    Attributes:
        number: Counts from 1.
        time: When (UTC).
        why: The command that asked for it, with its arguments.
        words: The reason in the words of the person who did it; empty where none was given.
        signed: What was signed; nothing, for a decision.
        previous: The digest of the entry before.
        sha256: The digest of this one.
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
    """What a timestamp says of the log: the number of its newest entry, and its digest."""

    entries: int
    sha256: Sha256


def signed_aside() -> Aside[SignedRole]:
    """Any number of signed files, on their way to an entry."""
    return Aside(
        lambda each: (each.role, each.version, each.sha256, each.keyids),
        lambda role, version, sha256, keyids: SignedRole(role, version, sha256, tuple(keyids)),
    )


def anchor_of(timestamp: Timestamp) -> Anchor | None:
    """What ``timestamp`` says of the log; None if it says nothing, or nothing sensible."""
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
    """The log of one repository. Append with the repository's lock held.

    Attributes:
        reason: Why what is appended is done.
    """

    def __init__(self, lines: Lines, reason: Reason | None = None) -> None:
        self._lines = lines
        self.reason = reason or Reason()

    def entries(self) -> Iterator[Entry]:
        """All entries, the oldest first; each is checked against the one before.

        Raises:
            RepositoryStateError: From this line on, the log is not what was written.
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
        """Write the next entry, with the ``reason``, and wait until it is on the disk.

        Args:
            signed: What it is about; there may be one for each of a hundred thousand bins.
            anchored: What the current timestamp says of the log.
            step: What it says in place of the command: a step of one that takes several.

        Raises:
            RepositoryStateError: The log is not what ``anchored`` says. Nothing may be signed:
                the signature would name a log that somebody has changed.
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
        """Say ``words`` of the reason, unless the person who typed the command says another."""
        if not self.reason.words:
            self.reason = replace(self.reason, words=words)

    def note(self, timestamp: Timestamp) -> None:
        """Write down what a person has decided, where nothing is signed for it now.

        The next timestamp vouches for it.

        Args:
            timestamp: The current one.

        Raises:
            RepositoryStateError: The log is not what was written.
        """
        self.append((), anchor_of(timestamp))

    def after(self, offset: int) -> Iterator[tuple[Entry, int]]:
        """The entries from ``offset`` on, each with the offset of the next one.

        They are read, and not checked: for showing alone. Of what an entry has signed, the
        timestamp and the snapshot are kept, not each of the bins.
        """
        for line, following in self._lines.after(offset):
            entry = self._parse(line, ["timestamp", "snapshot"])
            if entry is not None:
                yield entry, following

    def size(self) -> int:
        """The offset behind its end: each transaction, and each decision, makes it longer.

        0 where it cannot be told: what asks this is for showing alone.
        """
        return self._lines.size()

    def check(self, timestamp: Timestamp) -> tuple[Entry, ...]:
        """All entries, once they are known to be those that ``timestamp`` vouches for.

        Raises:
            RepositoryStateError: Some were changed, dropped or cut off.
        """
        entries = tuple(self.entries())
        self._check_named(timestamp, entries)
        return entries

    def check_made(self, timestamp: Timestamp) -> None:
        """See to it that ``timestamp`` was signed here; only the end of the log is read.

        Raises:
            RepositoryStateError: It was not, or its entry is not there.
        """
        anchor = anchor_of(timestamp)
        lines = self._tail(anchor.entries if anchor else None)
        entries = (self._parse(line, ["timestamp"]) for line in lines)
        self._check_named(timestamp, [entry for entry in entries if entry is not None])

    def become(self, other: Log) -> None:
        """Have the entries of another log, and no more."""
        self._lines.become(line for line, _ in other._lines.after(0))

    def set_aside(self) -> None:
        """Keep the log under another name, and begin a new one."""
        self._lines.set_aside()

    def _check_named(self, timestamp: Timestamp, entries: Sequence[Entry]) -> None:
        """See to it that the entry that ``timestamp`` names is among these, and names it too."""
        anchor = anchor_of(timestamp)
        if anchor is None:
            if entries:
                raise _not_ours(timestamp, "does not name the log")
            return
        named = (anchor.entries, anchor.sha256)
        entry = next((each for each in entries if (each.number, each.sha256) == named), None)
        if entry is None:
            raise self._damaged(f"entry {anchor.entries}, which the timestamp names, is not there")
        # A thief of the key names the newest entry as easily as we do.
        snapshot = (timestamp.snapshot_meta.hashes or {}).get("sha256")
        if not any(
            (each.role, each.version, each.sha256) == ("timestamp", timestamp.version, snapshot)
            for each in entry.signed
        ):
            raise _not_ours(timestamp, f"is not the one of entry {entry.number} of the log")

    def _last(self, anchored: Anchor | None) -> Anchor:
        """The newest entry, once ``anchored`` is known to be there."""
        self._lines.drop_torn()
        newest: Anchor | None = None
        found = anchored is None
        for line in self._tail(anchored.entries if anchored else None):
            entry = self._parse(line, ())
            follows = (entry.number - 1, entry.previous) if entry else None
            if entry is None or (newest and follows != (newest.entries, newest.sha256)):
                raise self._damaged("an entry was changed")
            newest = Anchor(entry.number, entry.sha256)
            found = found or newest == anchored
        if not found and anchored is not None:
            raise self._damaged(f"entry {anchored.entries}, which the timestamp names, is gone")
        return newest or Anchor(0, _NOTHING)

    def _tail(self, number: int | None) -> list[bytes]:
        """The last lines: at least those from entry ``number`` on."""

        def number_of(line: bytes) -> int | None:
            entry = self._parse(line, ())
            return None if entry is None else entry.number

        return self._lines.tail(number, number_of)

    def _parse(self, line: bytes, only: Container[str] | None = None) -> Entry | None:
        """The entry, of whose roles ``only`` these are kept; None where the line is no entry.

        One role at a time is decoded: all of them take many times the memory of their text.
        """
        try:
            text = line.decode()
            start = at = text.index(_SIGNED) + len(_SIGNED)
            signed: list[SignedRole] = []
            keys: dict[tuple[str, ...], tuple[str, ...]] = {}  # one object for those of all bins
            while text.startswith("[", at):
                (role, version, sha256, keyids), at = _DECODE(text, at)
                at += text.startswith(",[", at)
                if only is None or role in only:
                    keyids = keys.setdefault(tuple(keyids), tuple(keyids))
                    signed.append(SignedRole(role, version, sha256, keyids))
            document = json.loads(text[:start] + text[at:])
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
    """The text of an entry, in parts: whole, it has megabytes where many bins were signed."""
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
