"""Reads the requirements of the projects of a sync, and records which projects they lead to.

Rule: a project is looked at when its page is judged. If another project wants more of it later, the
page that was written then is looked at again; its sources are not asked again.
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
    """The requirements of a file, read in another thread."""

    project: NormalizedName
    file: PageFile
    found: Found


@dataclass
class _Looked:
    """A project whose files are being read."""

    judged: Judged
    look: Look
    is_written: bool
    reading: int
    is_wrong: bool = False


class Trail:
    """Follows the requirements of the projects of one sync. Use from one thread.

    Args:
        overlay: Remembers what is learned about files.
        storage: The repository's storage, which may hold some of the files.
        walk: Records the projects that are found.
        follower: Chooses the files to read.
        report: Gets the remarks and problems.
        submit: Calls a function in another thread; its result comes back to ``take``.
        later: Holds the rows about written pages until these are published.
        signs: Whether required projects are signed too. If not, they are only reported, as far as
            each costs one small request.
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
        """The requirements of each project, if they are only reported."""
        self.has_wrong = False
        """Whether a written page turned out to be wrong, and its project has to be read again."""

    def look(self, judged: Judged, *, is_written: bool = False) -> Judged | None:
        """Follow what other projects want of a project.

        Args:
            judged: The project.
            is_written: Whether its page was written before.

        Returns:
            The project, if nothing has to be read for it and it is to be written now.
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
        """Take the requirements of a file.

        Returns:
            The project of the file, if this was its last file and it is to be written now.
        """
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
        """Leave the projects whose files are still being read to the next sync.

        Returns:
            Those of them that are to be written as they are.
        """
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
        """Whether the requirements of these files are to be read."""
        is_cheap = judged.before is None and group[0].core_metadata is not None
        return self._signs or is_cheap

    def _read(self, project: NormalizedName, group: Group) -> Read:
        with ExitStack() as fetched:
            located = [self._locate(project, file, fetched) for file in group]
            requirements = find_requirements(
                project, located, self._overlay.files, briefly=not self._signs
            )
            return Read(project, group[0], requirements)

    def _locate(self, project: NormalizedName, file: PageFile, fetched: ExitStack) -> PageFile:
        """``file`` with an absolute URL; for a file of the repository, that of a local copy."""
        if not is_own_url(file.url, project, file.filename):
            return file
        name = file_target(project, file.filename)
        path = self._storage.here(name)
        if path is None:
            folder = fetched.enter_context(TemporaryDirectory(prefix="securepip-"))
            path = Path(folder, file.filename)
            # If this fails, reading the file fails too, and reports it.
            with suppress(OSError, RepositoryStateError):
                self._storage.fetch(name, path, file.sha256)
        return file._replace(url=path_to_url(path))
