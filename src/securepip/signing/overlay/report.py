"""What a sync did, for people: what was signed, what was left out, and what went wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from packaging.utils import NormalizedName

from securepip.signing.overlay.upstream.page import LeftOut, Reason


@dataclass(frozen=True)
class Problem:
    """Something that an operator has to look at: the command ends with a non-zero exit code."""

    project: NormalizedName | None
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.project}: {self.what}" if self.project else self.what
        return f"{text}\n{self.remedy}" if self.remedy else text


@dataclass
class SyncReport:
    """The outcome of a sync.

    Attributes:
        signed: Projects whose page is new or has changed.
        removed: Projects that are not offered any more.
        unchanged: How many projects cost no signature.
        unread: How many of them were not even read: nothing has changed at their index.
        files: How many files the pages of all others offer.
        left_out: What was offered and not signed, by project.
        claimed: Projects that sign for themselves, and were left as they are.
        problems: What an operator has to look at.
        because: Projects that are signed for the first time and that nobody named, each with the
            project whose requirement led to it.
        unsigned: What projects require that is not signed here, by project.
        notices: What everybody should read, a sentence each.
        remarks: What is good to know, a sentence each.
        roles: Names of the roles that were signed.
        requests: HTTP requests sent.
        received: Bytes of their answers.
    """

    signed: list[NormalizedName] = field(default_factory=list)
    removed: list[NormalizedName] = field(default_factory=list)
    unchanged: int = 0
    unread: int = 0
    files: int = 0
    left_out: dict[NormalizedName, tuple[LeftOut, ...]] = field(default_factory=dict)
    claimed: list[NormalizedName] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    because: dict[NormalizedName, NormalizedName] = field(default_factory=dict)
    unsigned: dict[NormalizedName, tuple[NormalizedName, ...]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    roles: tuple[str, ...] = ()
    requests: int = 0
    received: int = 0

    def left_out_by_reason(self, project: NormalizedName) -> Counter[Reason]:
        """How many files of ``project`` were left out for each reason."""
        return Counter(each.reason for each in self.left_out.get(project, ()))
