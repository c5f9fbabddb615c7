"""Decides which repository speaks for a project (TAP 4), and looks up what it has signed.

The first repository, in the order of the trust map, that knows the project speaks for it, alone. A
repository that does not answer is an error: the next one is not asked instead. The same holds for a
repository that knew the project before and does not know it now, because nobody signs that a
project is absent, and an attacker who hides it would choose which repository speaks.

Rule: one thread, which owns the sessions, makes all calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.utils import NormalizedName
from tuf.api.metadata import TargetFile

from securepip.errors import UntrustedError, VerificationError
from securepip.formats.digests import NOT_KNOWN_YET
from securepip.formats.layout import file_target, page_target
from securepip.formats.page import PageFile
from securepip.index.ahead import begin_pages
from securepip.index.on_demand import OnDemand, Signers
from securepip.index.signed import LocatedPage, SignedFile, SignedPage, expected
from securepip.transport import Transport, join_url, redact
from securepip.trust import Trust, TrustedRepository
from securepip.updater import Session
from securepip.updater.mirrors import Mirrors


class Speakers:
    """The trusted repositories, each with its session.

    Args:
        trust: Which repositories are trusted, for which projects.
        transport: Fetches everything.
        signers: The signers of the repositories that this machine signs.
        mirrors: The places of each repository.
    """

    def __init__(
        self, trust: Trust, transport: Transport, signers: Signers, mirrors: Mirrors
    ) -> None:
        self._trust = trust
        self._transport = transport
        self.signers = signers
        self._mirrors = mirrors
        self._states: dict[str, bytes] = {}
        self._sessions: dict[str, Session] = {}

    def limited_to(self, names: Sequence[str]) -> Speakers:
        """The same sessions, under ``Trust.limited_to`` these names."""
        trust = self._trust.limited_to(names)
        limited = Speakers(trust, self._transport, self.signers, self._mirrors)
        limited._sessions, limited._states = self._sessions, self._states
        return limited

    def close(self) -> None:
        """Write which projects were seen."""
        for session in self._sessions.values():
            session.seen.keep()

    def first(self, project: NormalizedName) -> TrustedRepository | None:
        """As ``Trust.first``."""
        return self._trust.first(project)

    def all(self, project: NormalizedName) -> list[TrustedRepository]:
        """The repositories that may speak for a project, in the order in which they are asked."""
        assigned = self._trust.assigned(project)
        names = dict.fromkeys(name for each in assigned for name in each.repositories)
        return [self._trust.named(name) for name in names]

    def prefetch_pages(
        self, repository: TrustedRepository, projects: Sequence[NormalizedName]
    ) -> list[tuple[NormalizedName, TargetFile]]:
        """The page targets of those projects that one repository knows, looked up together.

        Raises:
            VerificationError, RepositoryUnavailableError: As ``Index.page``.
        """
        self.prepare_pages(repository.name, projects)
        session = self.session(repository)
        new = (project for project in projects if project not in session.seen)
        begin_pages(self._transport.called(repository.shown), repository, new, self._mirrors)
        session.prefetch(page_target(project) for project in projects)
        found = ((project, session.target(page_target(project))) for project in projects)
        return [(project, target) for project, target in found if target is not None]

    def signed_page(self, project: NormalizedName) -> SignedPage | None:
        """The signed page target of a project; None if no trusted repository knows the project.

        Raises:
            VerificationError, RepositoryUnavailableError, UntrustedError: As ``Index.page``.
        """
        if not self._trust.repositories:
            raise untrusted()
        for assignment in self._trust.assigned(project):
            found: list[tuple[TrustedRepository, TargetFile]] = []
            for name in assignment.repositories:
                repository = self._trust.named(name)
                target = self._page_target(repository, project)
                if target is not None:
                    found.append((repository, target))
                if len(found) == assignment.threshold == 1:
                    break
            if len(found) >= assignment.threshold:
                return SignedPage(project, tuple(found), assignment.threshold)
        return None

    def prefetch_files(self, wanted: Iterable[tuple[LocatedPage, PageFile]]) -> None:
        """Begin to fetch the metadata that ``signed_file`` will need for these files.

        Raises:
            VerificationError, RepositoryUnavailableError: As ``Index.page``.
        """
        by_session: dict[str, list[str]] = {}
        for located, file in wanted:
            for repository in (located.repository, *located.witnesses):
                path = file_target(located.page.project, file.filename)
                by_session.setdefault(repository.name, []).append(path)
        for name, paths in by_session.items():
            self.session(self._trust.named(name)).prefetch(paths)

    def signed_file(self, located: LocatedPage, file: PageFile) -> SignedFile:
        """A file of a page with its own signed target, which must agree with the page.

        Raises:
            VerificationError: The repository signed no such target, or one with another length or
                digest; or fewer repositories than the threshold signed this one.
            RepositoryUnavailableError: As ``Index.page``.
        """
        project, repository = located.page.project, located.repository
        path = file_target(project, file.filename)
        target = self.session(repository).target(path)
        if target is None:
            raise VerificationError(
                f"the page of {project} offers {file.filename}, but the repository "
                f"{repository.name!r} has signed no such file for {project}",
                meaning="The file belongs to another project, or was withdrawn.",
                remedy="Nothing was installed. Tell the people who run the repository.",
            )
        if file.sha256 == NOT_KNOWN_YET and repository.name in self.signers:
            # This machine signed the page before it knew the digest, and the target afterwards.
            file = file._replace(sha256=expected(target)[1], size=target.length)
        length = target.length if file.size is None else file.size
        if expected(target) != (length, file.sha256):
            raise VerificationError(
                f"the page of {project} and the signed target {path} do not agree about "
                f"{file.filename}: {length} bytes, sha256 {file.sha256}, and "
                f"{target.length} bytes, sha256 {target.hashes.get('sha256')}",
                remedy="Nothing was installed. Tell the people who run the repository.",
            )
        others = (self.session(witness).target(path) for witness in located.witnesses)
        agreeing = 1 + sum(
            other is not None and expected(other) == expected(target) for other in others
        )
        if agreeing < located.threshold:
            raise VerificationError(
                f"{file.filename} was signed by {agreeing} of the {located.threshold} repositories "
                f"that must agree about {project}",
                meaning="One of them, or its signing keys, may be in the wrong hands.",
                remedy="Nothing was installed. Tell the people who run the repositories.",
            )
        return SignedFile(project, file, join_url(located.url, file.url), repository.name, target)

    def named(self, name: str) -> Session:
        """The session with the trusted repository of that name."""
        return self.session(self._trust.named(name))

    def session(self, repository: TrustedRepository) -> Session:
        """The session with one repository.

        It looks anew if this machine has signed something since the last call.
        """
        name = repository.name
        if name not in self._sessions:
            self._sessions[name] = Session(
                name,
                repository.metadata_url,
                repository.state,
                self._transport.called(repository.shown),
                repository.root,
                self._mirrors,
            )
        if name in self.signers:
            state = self.signers[name].state()
            if self._states.setdefault(name, state) != state:
                self._states[name] = state
                self._sessions[name].look_anew()
        return self._sessions[name]

    def _page_target(
        self, repository: TrustedRepository, project: NormalizedName
    ) -> TargetFile | None:
        """The target of a project's page in one repository; None if it never knew the project.

        Raises:
            VerificationError: The repository knew the project before and does not know it now; or
                as ``OnDemand.check`` and ``Index.page``.
            RepositoryUnavailableError: As ``Index.page``.
        """
        self.prepare_pages(repository.name, [project])
        if repository.name in self.signers:
            self.signers[repository.name].check(project)
        session = self.session(repository)
        target = session.target(page_target(project))
        if target is not None:
            session.seen.add(project)
        elif project in session.seen:
            raise _disappeared(repository, project)
        return target

    def signers_of(self, located: LocatedPage) -> list[OnDemand]:
        """The signers on this machine of a page's files; none if others sign them."""
        names = (each.name for each in (located.repository, *located.witnesses))
        return [self.signers[name] for name in names if name in self.signers]

    def check_file(self, located: LocatedPage, file: PageFile) -> None:
        """Check that a file of a page may be chosen. Only a signer on this machine may object.

        Raises:
            VerificationError: The index shows another file than the one that was signed before.
        """
        for signer in self.signers_of(located):
            signer.check_file(located.page.project, file.filename)

    def prepare_pages(self, name: str, projects: Sequence[NormalizedName]) -> None:
        """As ``OnDemand.prepare_pages``, if this machine signs the repository of that name."""
        if name in self.signers:
            self.signers[name].prepare_pages(projects)


def untrusted() -> UntrustedError:
    """The error of a machine that trusts no repository yet."""
    return UntrustedError(
        "this machine trusts no package repository yet, so nothing can be verified",
        meaning="To begin at once, on this machine alone: securepip trust first-use --min-age 3d",
        remedy="To trust a repository that others sign: securepip trust add NAME "
        "https://packages.example.org/ --root-sha256 FINGERPRINT --index-url URL",
    )


def _disappeared(repository: TrustedRepository, project: NormalizedName) -> VerificationError:
    return VerificationError(
        f"the repository {repository.name!r} ({redact(repository.location)}) does not know "
        f"{project} any more, and this machine has seen {project} there",
        meaning="Either its operator has removed the project, or somebody hides it: a server in "
        "the repository's place, or an attacker with its online keys. securepip does not turn to "
        f"an older release that does without it, or to another repository's {project}.",
        remedy="Nothing was installed. Ask the people who run the repository. If they have removed "
        f"it:\n  securepip trust forget {repository.name} {project}",
    )
