"""The third stage: what pages require is read, and what that leads to is remembered.

Rule: a project is looked at when its page is judged. What is wanted of it later is followed from
the page that was written then: it is not asked for again, and neither are its files.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256
from securepip.formats.layout import file_target, is_own_url
from securepip.formats.page import PageFile
from securepip.signing.overlay.follow.follower import Follower, Group, Look
from securepip.signing.overlay.follow.requirements import Found, find_requirements
from securepip.signing.overlay.follow.walk import Walk
from securepip.signing.overlay.memory import Facts
from securepip.signing.overlay.overlay import Judged, Overlay
from securepip.signing.overlay.report import Problem, SyncReport
from securepip.signing.repository.state.later import Later
from securepip.signing.repository.storage.interface import Storage
from securepip.transport import path_to_url


@dataclass(frozen=True)
class Read:
    """The requirements of a file have arrived."""

    project: NormalizedName
    file: PageFile
    found: Found


@dataclass
class _Looked:
    """A project of which files are being read."""

    judged: Judged
    look: Look
    is_written: bool
    reading: int
    is_wrong: bool = False


class Trail:
    """What the projects of one sync require. Use from one thread.

    Args:
        overlay: Knows what was learned of files.
        storage: Of the repository, which may hold some of the files.
        walk: Where what is found waits.
        follower: Chooses the files.
        report: Takes what people should know.
        submit: Calls something in another thread, whose result comes back to ``take``.
        later: Where rows about the pages that were written wait.
        signs: Whether what is required is signed too. If not, it is only said: where finding out
            costs one small request.
    """

    def __init__(
        self,
        overlay: Overlay,
        storage: Storage,
        walk: Walk,
        follower: Follower,
        report: SyncReport,
        submit: Callable[[Callable[[], Read]], None],
        later: Later,
        *,
        signs: bool,
    ) -> None:
        self._overlay = overlay
        self._storage = storage
        self._walk = walk
        self._follower = follower
        self._report = report
        self._submit = submit
        self._later = later
        self._signs = signs
        self._looked: dict[NormalizedName, _Looked] = {}
        self._unread: dict[NormalizedName, dict[Sha256, tuple[str, ...]]] = {}
        self.required: dict[NormalizedName, set[NormalizedName]] = {}
        """What each project requires, where it is only said."""
        self.has_wrong = False
        """Whether a page that was written turned out to be wrong: it is asked for later."""

    def look(self, judged: Judged, *, is_written: bool = False) -> Judged | None:
        """Follow what is wanted of a project; what is to be written then, if that is already over.

        Args:
            judged: The project.
            is_written: Whether its page was written before.
        """
        project, page = judged.project, judged.page
        known = {**judged.facts.requirements, **self._unread.get(project, {})}
        wants = self._walk.wants(project)
        look = self._follower.look(page, wants, known) if page else Look(project, wants, known)
        unread = [group for group in look.unread() if self._is_worth(judged, group)]
        self._looked[project] = _Looked(judged, look, is_written, len(unread))
        for group in unread:
            self._submit(partial(self._read, project, group))
        return None if unread else self._end(project)

    def take(self, read: Read) -> Judged | None:
        """The requirements of a file; what of its project is to be written, if it was the last."""
        project, file, found = read.project, read.file, read.found
        looked = self._looked[project]
        if found.remark:
            (looked.look.problems if found.failed else looked.look.remarks).append(found.remark)
        if found.wrong_metadata:
            looked.is_wrong = True
            looked.judged = self._overlay.correct_metadata(looked.judged, file)
        if self._signs and (found.requirements or not found.remark):
            learned = Facts(requirements={file.sha256: found.requirements})
            looked.judged = self._overlay.learn(looked.judged, learned)
        else:
            self._unread.setdefault(project, {})[file.sha256] = found.requirements
        looked.look.tell(file, found.requirements)
        looked.reading -= 1
        return None if looked.reading else self._end(project)

    def give_up(self) -> list[Judged]:
        """Leave what does not come to its end to the next sync; what is to be written of it."""
        given_up = [self._looked.pop(project) for project in sorted(self._looked)]
        for looked in given_up if self._signs else ():
            what = "its requirements were not read in time"
            self._report.problems.append(Problem(looked.judged.project, what))
        return [looked.judged for looked in given_up if not looked.is_written]

    def _end(self, project: NormalizedName) -> Judged | None:
        looked = self._looked.pop(project)
        look = looked.look
        needs = list(dict.fromkeys(look.needs()))
        is_wrong = looked.is_written and looked.is_wrong
        if is_wrong:
            self._overlay.judge_anew(project, self._later)
            self.has_wrong = True
        if needs and not self._signs:
            self.required.setdefault(project, set()).update(need.wish.project for need in needs)
            needs = []
        self._walk.settle(project, look.wants, needs, later=is_wrong)
        if look.problems:
            self._report.problems += [Problem(project, what) for what in look.problems]
            self._walk.trouble(project)
        self._report.remarks += [f"{project}: {what}" for what in look.remarks]
        return None if looked.is_written else looked.judged

    def _is_worth(self, judged: Judged, group: Group) -> bool:
        """Whether the requirements of these files are read."""
        is_cheap = judged.before is None and group[0].core_metadata is not None
        return self._signs or is_cheap

    def _read(self, project: NormalizedName, group: Group) -> Read:
        with ExitStack() as fetched:
            located = [self._locate(project, file, fetched) for file in group]
            found = find_requirements(
                project, located, self._overlay.files, briefly=not self._signs
            )
            return Read(project, group[0], found)

    def _locate(self, project: NormalizedName, file: PageFile, fetched: ExitStack) -> PageFile:
        """``file`` with an absolute URL; the repository's own is read on this machine."""
        if not is_own_url(file.url, project, file.filename):
            return file
        name = file_target(project, file.filename)
        path = self._storage.here(name)
        if path is None:
            folder = fetched.enter_context(TemporaryDirectory(prefix="securepip-"))
            path = Path(folder, file.filename)
            # Who reads it says so, where it is not there.
            with suppress(OSError, RepositoryStateError):
                self._storage.fetch(name, path, file.sha256)
        return file._replace(url=path_to_url(path))
