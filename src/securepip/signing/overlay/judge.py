"""The second stage of an overlay: decides what the signed page of a project becomes.

Rule: this module does not use the network, and writes nothing. An index can add files to a page and
take them away. It cannot change a signed file, bring back a revoked one, or empty a page. If a file
has other bytes now, the page keeps its signed entry: clients refuse the new bytes, and do not
silently fall back to an older release.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from packaging.utils import NormalizedName

from securepip.formats.digests import NOT_KNOWN_YET, Sha256
from securepip.formats.layout import is_own_url
from securepip.formats.page import PageFile, ProjectPage
from securepip.formats.words import counted
from securepip.signing.overlay.ask import Offered
from securepip.signing.overlay.report import Problem
from securepip.signing.overlay.upstream.page import LeftOut, Reason
from securepip.signing.repository.state.ledger import Ledger, Withdrawn

_FEW = 4
_SAME_TIME = timedelta(minutes=10)
"""Two clocks that differ by less than this count as equal."""


@dataclass(frozen=True)
class Rules:
    """The operator's choices that decide what a page holds.

    Attributes:
        now: The time of this sync (UTC).
        min_age: Younger files are left out; None if files of any age are signed.
        accept_loss: Projects whose page may lose most of its files, or all.
    """

    now: datetime
    min_age: timedelta | None = None
    accept_loss: frozenset[NormalizedName] = frozenset()


@dataclass(frozen=True)
class Settled:
    """The decision about a project.

    Attributes:
        page: Its new page; None if it has none.
        left_out: The offered files that are not on the page.
        problems: What an operator has to look at.
        refused: The files with other bytes than those signed before.
        review_at: When the first file that is too young now will be old enough; None for never.
        held_back: Whether the earlier page is kept because the offer would empty it.
    """

    page: ProjectPage | None
    left_out: tuple[LeftOut, ...] = ()
    problems: tuple[Problem, ...] = ()
    refused: tuple[PageFile, ...] = ()
    review_at: datetime | None = None
    held_back: bool = False


def wrong_clock(offered: Iterable[Offered], now: datetime) -> str | None:
    """A warning if a file was uploaded in the future of this machine's clock, ``now``; else None.

    It is only a warning, and changes no clock. Nobody signs upload times: if they decided, an index
    could stop every run, or make expired signatures valid again. What depends on the clock fails
    closed without it: such a file is too young for every minimum age.
    """
    times = (
        (file.upload_time, file.filename)
        for each in offered
        for file in each.files
        if file.upload_time is not None
    )
    newest, filename = max(times, default=(now, ""))
    if newest <= now + _SAME_TIME:
        return None
    return (
        f"This machine's clock says that it is {now:%Y-%m-%d %H:%M UTC}, but the index says that "
        f"{filename} was uploaded on {newest:%Y-%m-%d %H:%M UTC}. Most likely the clock is wrong: "
        "set it right and try again. With a wrong clock new releases look too young, and expired "
        "signatures valid."
    )


def settle(offered: Offered, current: ProjectPage | None, ledger: Ledger, rules: Rules) -> Settled:
    """The page that ``offered`` makes of ``current``."""
    project = offered.project
    own = own_files(current)
    if offered.page is None:
        return _settle_unknown(project, current, own, rules)
    if offered.page.status == "quarantined":
        return Settled(ProjectPage(project, own) if own else None)
    own_names = {file.filename for file in own}
    known, withdrawn = ledger.bounds(project)
    kept: list[PageFile] = []
    left_out = list(offered.left_out)
    refused: list[PageFile] = []
    matures: list[datetime] = []
    for file in offered.files:
        if file.filename in own_names:
            continue
        if file.sha256 == NOT_KNOWN_YET:
            file = _as_known(file, current, known.get(file.filename))
        reason = _why_not(file, known.get(file.filename), withdrawn, rules)
        if reason is None:
            kept.append(file)
            continue
        left_out.append(LeftOut(file.filename, reason))
        if reason is Reason.CHANGED:
            refused.append(file)
            before = current.file(file.filename) if current else None
            if before is not None:
                kept.append(before)
        if reason is Reason.TOO_YOUNG and file.upload_time and rules.min_age:
            matures.append(file.upload_time + rules.min_age)
    bare = {each.filename for each in left_out if each.reason is Reason.NO_SHA256}
    if current and bare:
        # Their sha256 was known before, from an index or by reading them. Their signed entries
        # protect installs, and stay.
        read = [
            file
            for file in current.files
            if file.filename in bare
            and file.size is not None
            and not withdrawn.covers(file.filename)
        ]
        kept += read
        names = {file.filename for file in read}
        left_out = [each for each in left_out if each.filename not in names]
    page = ProjectPage(project, (*own, *kept), offered.page.status, offered.page.status_reason)
    problems = _problems(project, left_out)
    # Files that are only too young, were revoked, or that nobody has read yet are not lost.
    kept_names = {file.filename for file in page.files} | {
        each.filename for each in left_out if each.reason in (Reason.TOO_YOUNG, Reason.WITHDRAWN)
    }
    if current and page.files:
        kept_names |= {f.filename for f in current.files if f.sha256 == NOT_KNOWN_YET} & bare
    held_back = False
    if current and project not in rules.accept_loss:
        count = len(current.files)
        lost = sum(file.filename not in kept_names for file in current.files)
        if lost and (lost == count or (count >= _FEW and lost > count / 2)):
            are = counted(lost, "is", "are")
            what = f"of its {counted(count, 'file')}, {are} not offered any more as they were"
            if len(bare) >= lost:
                problems.append(_never_read(project, len(bare)))
            else:
                problems.append(_held_back(project, what))
            page, held_back = current, True
    is_empty = not page.files and not (current and not current.files)
    return Settled(
        None if is_empty else page,
        tuple(left_out),
        tuple(problems),
        tuple(refused),
        min(matures, default=None),
        held_back,
    )


def _as_known(file: PageFile, current: ProjectPage | None, known: Sha256 | None) -> PageFile:
    """``file``, whose sha256 the index does not give, with the sha256 that was signed before."""
    if known is None:
        return file
    before = current.file(file.filename) if current else None
    if before is None or before.sha256 != known:
        return file._replace(sha256=known, other_hash=None)
    return file._replace(
        sha256=known,
        size=before.size,
        core_metadata=before.core_metadata,
        other_hash=None,
    )


def own_files(page: ProjectPage | None) -> tuple[PageFile, ...]:
    """The files of ``page`` that the repository itself holds."""
    if page is None:
        return ()
    return tuple(file for file in page.files if is_own_url(file.url, page.project, file.filename))


def _settle_unknown(
    project: NormalizedName,
    current: ProjectPage | None,
    own: tuple[PageFile, ...],
    rules: Rules,
) -> Settled:
    if current is None or project in rules.accept_loss:
        return Settled(replace(current, files=own) if current and own else None)
    problem = _held_back(project, "no index knows it any more")
    return Settled(current, problems=(problem,), held_back=True)


def _held_back(project: NormalizedName, what: str) -> Problem:
    return Problem(
        project,
        f"{what}; the page signed before is kept",
        f"If that is right: securepip repo sync DIR {project} --accept-loss {project}",
    )


def _never_read(project: NormalizedName, count: int) -> Problem:
    what = counted(count, "file", "files")
    return Problem(
        project,
        f"the index tells no sha256 of {what}, and nobody has chosen one here yet; the page signed "
        "before is kept",
        "An install over this repository with first use reads the file that it chooses, and signs "
        "it. For the others, the index has to tell their sha256.",
    )


def _why_not(
    file: PageFile, known: str | None, withdrawn: Withdrawn, rules: Rules
) -> Reason | None:
    if withdrawn.covers(file.filename):
        return Reason.WITHDRAWN
    if known not in (None, file.sha256):
        return Reason.CHANGED
    if rules.min_age is not None:
        if file.upload_time is None:
            return Reason.NO_UPLOAD_TIME
        if rules.now - file.upload_time < rules.min_age:
            return Reason.TOO_YOUNG
    return None


def _problems(project: NormalizedName, left_out: list[LeftOut]) -> list[Problem]:
    problems = [
        Problem(
            project,
            f"{each.filename} has other bytes than those signed before: they are not signed",
            "Published files must never change. Clients go on refusing the new bytes.\n"
            "If you know that this change is right:\n"
            f"securepip repo accept-change DIR {each.filename}",
        )
        for each in left_out
        if each.reason is Reason.CHANGED
    ]
    wrong = [each.filename for each in left_out if each.reason is Reason.WRONG_SHA256]
    if wrong:
        problems.append(
            Problem(
                project,
                f"{counted(len(wrong), 'file is', 'files are')} not what the index says: "
                f"{wrong[0]}",
            )
        )
    ageless = [each.filename for each in left_out if each.reason is Reason.NO_UPLOAD_TIME]
    if ageless:
        problems.append(
            Problem(
                project,
                f"the index gives no upload time for {counted(len(ageless), 'file')}: {ageless[0]}",
                "Without it --min-age cannot be applied; these files are left out.",
            )
        )
    return problems
