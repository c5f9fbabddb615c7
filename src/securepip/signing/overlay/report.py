"""The report of a sync: what was signed, what was left out, and what went wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from packaging.utils import NormalizedName

from securepip.signing.overlay.upstream.page import LeftOut, Reason


@dataclass(frozen=True)
class Problem:
    """Something that an operator has to look at. It makes the command end with exit code 1."""

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
        removed: Projects whose page was removed.
        unchanged: How many projects did not change.
        unread: How many of these were not even read, because nothing has changed at their index.
        files: How many files the pages of all other projects list.
        left_out: The offered files that were not signed, by project.
        claimed: Projects that sign for themselves, and were left as they are.
        problems: What an operator has to look at.
        because: Projects that are signed for the first time although nobody named them, each with
            the project whose requirement led to it.
        unsigned: The required projects that are not signed here, by the project that requires them.
        notices: Notices for everybody, a sentence each.
        remarks: Remarks for those who want details, a sentence each.
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
