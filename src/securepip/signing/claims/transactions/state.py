"""The published state of a project, from which maintainers and operators start.

Rule: a maintainer's machine is a client like any other: it believes only what it has verified from
its pinned root on. An operator's machine reads the roles of its own repository.
"""

from __future__ import annotations

from dataclasses import dataclass

from packaging.utils import NormalizedName
from tuf.api.metadata import Metadata, Targets

from securepip.errors import VerificationError
from securepip.formats.layout import page_target, project_role
from securepip.formats.page import ProjectPage
from securepip.formats.roles import Naming
from securepip.index import VerifiedIndex
from securepip.signing.repository.claim_tree import TOPS, Claim, ClaimTree, Keyholders
from securepip.signing.repository.repository import Repository
from securepip.updater import Session


@dataclass(frozen=True)
class ProjectState:
    """A project as it is published.

    Attributes:
        project: Its name.
        page: Its page; one without files if the project has none yet.
        claim: Its claim; None if it does not sign for itself.
        role: Its own role; None if it has none.
        version: The version of that role in the snapshot; 0 if it was never listed.
        naming: The names that the roles of the repository have to carry.
    """

    project: NormalizedName
    page: ProjectPage
    claim: Claim | None
    role: Metadata[Targets] | None
    version: int
    naming: Naming


def state_in(repository: Repository, project: NormalizedName) -> ProjectState:
    """The state of a project in a repository on this machine.

    Raises:
        RepositoryStateError: What is on disk is not what was signed.
    """
    roles = repository.roles()
    name = project_role(project)
    claim = roles.claim(project)
    listed = roles.snapshot.signed.meta.get(f"{name}.json")
    return ProjectState(
        project,
        repository.page(project) or ProjectPage(project),
        claim,
        roles.role(name) if claim else None,
        listed.version if listed else 0,
        roles.naming,
    )


def state_at(index: VerifiedIndex, repository: str, project: NormalizedName) -> ProjectState:
    """The state of a project in a trusted repository, verified as an install verifies it.

    Args:
        index: The verified index of that repository alone.
        repository: The name of the repository.
        project: The project.

    Raises:
        VerificationError: The repository serves what was not signed.
        RepositoryUnavailableError: The repository does not answer.
    """
    session = index.session(repository)
    session.prefetch([page_target(project)])
    signed = index.signed_page(project)
    page = ProjectPage(project)
    if signed is not None:
        located = index.read_page(signed)
        page = located.page
        index.prefetch_files((located, file) for file in page.files)
        for file in page.files:
            index.signed_file(located, file)
    name = project_role(project)
    claim = _claim_at(session, project)
    role = session.role(name) if claim else None
    if claim and role is None:
        raise VerificationError(f"the role of {project} is not where its claim says")
    return ProjectState(project, page, claim, role, session.role_version(name), session.naming)


def _claim_at(session: Session, project: NormalizedName) -> Claim | None:
    # Looking up the page has verified every role on the way to the project.
    def read(name: str) -> Metadata[Targets]:
        role = session.role(name)
        if role is None:
            raise VerificationError(f"the role {name} was not verified")
        return role

    nobody = Keyholders((), 0)
    return next(filter(None, (ClaimTree(top, read, nobody).find(project) for top in TOPS)), None)
