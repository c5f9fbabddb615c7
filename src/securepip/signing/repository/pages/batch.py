"""Makes many changes of pages current by one snapshot.

Rule: a staged change is written and dropped from memory. Pages and distributions are written under
names that no current role mentions, and the list of changes goes into private files. Clients see
nothing of it until ``commit``, and nothing at all if the run is killed before that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import page_target
from securepip.formats.page import ProjectPage
from securepip.signing.repository.bins import MANY, Edits, apply_lines
from securepip.signing.repository.current import Current
from securepip.signing.repository.pages.contents import Contents, NewFile
from securepip.signing.repository.pages.edits import check_page, digests_of, edits_of
from securepip.signing.repository.pages.plain import prepare
from securepip.signing.repository.pages.staged import Staged
from securepip.signing.repository.state.later import Later
from securepip.signing.repository.state.ledger import Ledger


class Batch:
    """Staged changes. The lock must be held from the first ``stage`` to ``commit``.

    Args:
        contents: Writes pages and files.
        ledger: Says what may be signed, and remembers what was.
        current: The current state.
        check_unclaimed: Raises an error if a project signs for itself.

    Attributes:
        later: Rows that ``commit`` writes before it signs.
    """

    def __init__(
        self,
        contents: Contents,
        ledger: Ledger,
        current: Current,
        check_unclaimed: Callable[[NormalizedName], None],
    ) -> None:
        self._contents = contents
        self._ledger = ledger
        self._current = current
        self._check_unclaimed = check_unclaimed
        self._partial = ledger.partial()
        self._writing = contents.writing
        self.later = Later(ledger.connection)
        self._begin()

    def _begin(self) -> None:
        # With the lock held, nobody else changes the state before the batch is committed.
        self._known = self._current.known()
        self._bin_of = self._current.roles().succinct.get_role_for_target
        self._edits = Edits()
        self._staged = Staged()

    def __len__(self) -> int:
        """How many projects change."""
        return len(self._staged)

    def __contains__(self, project: NormalizedName) -> bool:
        """Whether the project changes."""
        return project in self._staged

    def is_partial(self, project: NormalizedName) -> bool:
        """Whether only some files on the current page of ``project`` have targets."""
        return project in self._partial

    def page(self, project: NormalizedName) -> ProjectPage | None:
        """The current page of a project; None if it has none.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        sha256 = self._known.page(project)
        return None if sha256 is None else self._contents.page(project, sha256)

    def page_to_come(self, project: NormalizedName) -> ProjectPage | None:
        """The page of a project after ``commit``; None if it will have none.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        self._writing.wait()
        sha256 = self.digest(project)
        return None if sha256 is None else self._contents.page(project, sha256)

    def digest(self, project: NormalizedName) -> Sha256 | None:
        """The digest of the page of a project after ``commit``; None if it will have none."""
        staged = self._staged.find(project)
        return self._known.page(project) if staged is None else staged[1]

    def stage(
        self,
        pages: Mapping[NormalizedName, ProjectPage | None],
        files: Sequence[NewFile] = (),
        written: Mapping[NormalizedName, bytes | None] = MappingProxyType({}),
    ) -> None:
        """Write the pages and files that ``commit`` is to make current.

        Args:
            pages: The new page of each project; None removes a project. A page that is equal to the
                current one changes nothing.
            files: New distributions on these pages.
            written: The serialized pages, as far as the caller has them.

        Raises:
            RepositoryStateError: As ``Repository.publish``; or a project was staged already.
            FormatError: As ``Repository.publish``.
        """
        by_project: dict[NormalizedName, list[NewFile]] = {}
        for file in files:
            by_project.setdefault(file.project, []).append(file)
        current: dict[NormalizedName, ProjectPage | None] = {}
        for project, page in pages.items():
            self._check_unclaimed(project)
            if project in self._staged:
                raise RepositoryStateError(f"{project} is to change twice in one snapshot")
            current[project] = self.page(project)
            if page is not None:
                if page.project != project:
                    raise RepositoryStateError(
                        f"the page of {page.project} cannot be that of {project}"
                    )
                coming = by_project.get(project, ())
                check_page(page, current[project], coming, self._ledger, self._contents)
        # Files are written and checked before the ledger has a row for them: such a row binds a
        # name to its bytes for ever.
        for file in files:
            self._writing.submit(0, self._contents.place, file, pages.get(file.project))
        if files:
            self._writing.wait()
        changed = [
            project
            for project in pages
            if pages[project] != current[project] or project in self._partial
        ]
        if not changed:
            return
        self._ledger.own(by_project, self.later)
        for project in changed:
            before, after = current[project], pages[project]
            anew = project in self._partial
            edits = edits_of(before, after, self._place, written.get(project), anew=anew)
            self._edits.put({path: (self._bin_of(path), edits[path]) for path in edits})
            target = edits.get(page_target(project))
            digest = None if target is None else Sha256(target.hashes["sha256"])
            self._staged.put(project, digest)
            self._ledger.record(digests_of(after), self.later)

    def commit(self) -> tuple[str, ...]:
        """Make the staged changes current, in one snapshot.

        Returns:
            The names of the roles that were signed; empty if nothing was staged.

        Raises:
            RepositoryStateError: A key is not here. Nothing has changed.
        """
        self.later.flush()
        if not self._staged:
            return ()
        self._ledger.begin(self._staged)
        self._writing.wait()
        signed = sign_edits(self._current, self._edits)
        if self._partial:
            self._ledger.complete(self._staged)
        self._edits.close()
        self._staged.close()
        self._begin()
        return signed

    def _place(self, page: ProjectPage, data: bytes) -> Sha256:
        """Have a page written before ``commit`` signs; its digest."""
        self._writing.submit(len(data), self._write, page, data)
        return sha256_of(data)

    def _write(self, page: ProjectPage, data: bytes) -> None:
        sha256 = self._contents.place_page(page.project, data)
        prepare(self._contents.storage, sha256, page)


def sign_edits(current: Current, edits: Edits) -> tuple[str, ...]:
    """Make changes of targets current, in one snapshot. The lock must be held.

    Returns:
        The names of the roles that were signed.

    Raises:
        RepositoryStateError: As ``Current.sign``.
    """
    if edits.are_many(MANY) or current.at_once > 1:
        return current.sign({}, bins=edits)
    roles = current.roles()
    changed = {name: roles.role(name) for name, _ in edits}
    for name, lines in edits:
        apply_lines(changed[name].signed, lines)
    return current.sign(changed)
