"""Makes the chain of one file from the verified state of the session that looked it up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.utils import NormalizedName
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Key, Metadata, Root, Snapshot, Targets

from securepip.errors import UntrustedError, VerificationError
from securepip.explain.types import Claim, Explanation, Link, Signature
from securepip.formats.digests import sha256_of
from securepip.formats.distribution import parse_distribution
from securepip.formats.layout import (
    BINS_ROLE,
    CLAIMED_ROLE,
    RECENTLY_CLAIMED_ROLE,
    file_target,
    page_target,
    project_of_role,
)
from securepip.formats.page import PageFile
from securepip.formats.words import counted
from securepip.index import VerifiedIndex
from securepip.index.signed import LocatedPage, expected, page_url
from securepip.transport import join_url, redact, without_credentials
from securepip.trust import TrustedRepository, parse_root
from securepip.updater import Session

_MAX_ROLES = 200
_NAME_FIELDS = ("x-securepip-owner", "x-tuf-on-ci-keyowner", "keyowner", "owner", "name")


@dataclass(frozen=True)
class _Step:
    """A role on the way to a target, and the role that delegates to it."""

    name: str
    metadata: Metadata[Targets]
    delegator: Root | Targets


def explain(index: VerifiedIndex, project: NormalizedName, file: PageFile) -> Explanation:
    """Explain why a file on a project's verified page is trusted.

    Args:
        index: The verified index that looked it up.
        project: The project.
        file: The file's entry on the page.

    Raises:
        VerificationError: The repository serves what was not signed.
        RepositoryUnavailableError: The repository does not answer.
        UntrustedError: No trusted repository knows the project.
    """
    located = index.located(project)
    if located is None:
        raise UntrustedError(f"no trusted repository knows the project {project}")
    repository = located.repository
    session = index.session(repository.name)
    paths = (page_target(project), file_target(project, file.filename))
    _, target = (session.target(path) for path in paths)  # this makes the session read the roles
    steps = _steps(session, repository, *paths)
    size = target.length if target is not None else file.size
    name = parse_distribution(file.filename, project)
    claim = _claim(repository, [step.name for step in steps])
    links = (
        *_top(repository),
        *(_role(step, repository, paths) for step in steps),
        _page(session, located),
        _file(located, file, size),
    )
    return Explanation(
        project=project,
        version=str(name.version) if name else "",
        filename=file.filename,
        sha256=file.sha256,
        size=size,
        repository=repository.name,
        location=redact(_location(repository)),
        claim=claim,
        since=_since(repository, project, file),
        links=links,
        url=without_credentials(join_url(located.url, file.url)),
        is_stored=index.has(file),
        not_checked=tuple(_not_checked(claim, file)),
    )


def _steps(session: Session, repository: TrustedRepository, *target_paths: str) -> list[_Step]:
    """The roles on the way to a page and to a file, in the order of the search."""
    root = _root(repository)
    steps: dict[str, _Step] = {}
    for path in target_paths:
        waiting: list[tuple[str, Root | Targets, tuple[str, ...]]] = [("targets", root, ())]
        visited: dict[str, _Step] = {}
        while waiting and len(visited) < _MAX_ROLES:
            name, delegator, before = waiting.pop()
            metadata = session.role(name)
            if metadata is None or name in visited:
                continue
            visited[name] = _Step(name, metadata, delegator)
            if path in metadata.signed.targets:
                steps.update((each, visited[each]) for each in (*before, name))
                break
            delegations = metadata.signed.delegations
            children = []
            for child, terminating in delegations.get_roles_for_target(path) if delegations else ():
                children.append((child, metadata.signed, (*before, name)))
                if terminating:
                    waiting.clear()
                    break
            waiting += reversed(children)
    return list(steps.values())


def _top(repository: TrustedRepository) -> Iterator[Link]:
    """The links for root, timestamp and snapshot, as they were last verified."""
    root = _root(repository)
    pinned = f"version {parse_root(repository.root)}, sha256 {sha256_of(repository.root)}"
    for name, says in (
        ("root", f"who may sign for this repository; this machine started from {pinned}"),
        ("timestamp", "which snapshot is the newest"),
        ("snapshot", "which version of each role is the newest"),
    ):
        metadata = _read(repository.state / f"{name}.json")
        version = metadata.signed.version
        if isinstance(metadata.signed, Snapshot):
            says += f" ({counted(len(metadata.signed.meta), 'role')})"
        prefix = "" if name == "timestamp" else f"{version}."
        yield _signed_link(
            name, says, f"{redact(repository.metadata_url)}{prefix}{name}.json", metadata, root
        )


def _role(step: _Step, repository: TrustedRepository, paths: Sequence[str]) -> Link:
    name = quote(step.name, "")
    url = f"{redact(repository.metadata_url)}{step.metadata.signed.version}.{name}.json"
    return _signed_link(step.name, _words(step, paths), url, step.metadata, step.delegator)


def _words(step: _Step, paths: Sequence[str]) -> str:
    project = project_of_role(step.name)
    if project is not None:
        return f"the page and the files of {project}, signed by its maintainers"
    if step.name == "targets":
        return "which roles speak for which projects"
    if step.name == BINS_ROLE:
        return "which bin lists a project that does not sign for itself"
    if step.name.partition(".")[0] in (CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE):
        return "which projects sign for themselves, and with which keys"
    targets = step.metadata.signed.targets
    listed = [what for what, path in zip(("page", "file"), paths, strict=True) if path in targets]
    others = len(targets) - len(listed)
    more = f", and of {counted(others, 'other')}" if others else ""
    return f"length and digest of the {' and the '.join(listed)}{more}"


def _signed_link(
    name: str, says: str, url: str, metadata: Metadata[Any], delegator: Root | Targets
) -> Link:
    result = delegator.get_verification_result(name, metadata.signed_bytes, metadata.signatures)
    signatures = tuple(Signature(key_id, _owner(key)) for key_id, key in result.signed.items())
    return Link(
        name,
        says,
        url,
        metadata.signed.version,
        metadata.signed.expires,
        signatures,
        result.threshold,
        len(result.signed) + len(result.unsigned),
    )


def _page(session: Session, located: LocatedPage) -> Link:
    project = located.page.project
    target = session.target(page_target(project))
    if target is None:
        raise VerificationError(f"the page of {project} is not signed any more")
    length, digest = expected(target)
    says = f"the {counted(len(located.page.files), 'file')} of {project}: names, digests, addresses"
    if located.threshold > 1:
        says += f"; {located.threshold} repositories agree on them"
    url = redact(page_url(located.repository, target))
    return Link("page", says, url, sha256=digest, size=length)


def _file(located: LocatedPage, file: PageFile, size: int | None) -> Link:
    says = f"{file.filename}: its own length and digest, the same as on the page"
    url = without_credentials(join_url(located.url, file.url))
    return Link("file", says, url, sha256=file.sha256, size=size)


def _claim(repository: TrustedRepository, roles: list[str]) -> Claim:
    if repository.first_use is not None:
        return Claim.FIRST_USE
    if any(project_of_role(name) is not None for name in roles):
        return Claim.MAINTAINERS
    return Claim.OPERATOR


def _since(repository: TrustedRepository, project: NormalizedName, file: PageFile) -> str:
    if repository.first_use is not None:
        from securepip.first_use.memory import first_seen_in

        return f"signed by this machine since {first_seen_in(repository, project, file.filename)}"
    if file.upload_time is not None:
        return f"uploaded {file.upload_time:%Y-%m-%d %H:%M} UTC, as the signed page says"
    return ""


def _not_checked(claim: Claim, file: PageFile) -> Iterator[str]:
    if claim is Claim.FIRST_USE:
        yield "whether what this machine saw first was right: it was believed"
    elif claim is Claim.OPERATOR:
        yield "whether the repository got the file from the project: its operator vouches for it"
    else:
        yield "whether the maintainers, and all who hold their keys, are honest"
    yield "what the code does: nobody here has read it, and signed code can be harmful"
    yield "attestations of how it was built (PEP 740)"
    if not file.filename.endswith(".whl"):
        yield "what a build makes of it: only the source is signed"


def _root(repository: TrustedRepository) -> Root:
    signed = _read(repository.state / "root.json").signed
    if not isinstance(signed, Root):
        raise VerificationError(f"the root of {repository.name!r} in the state is no root")
    return signed


def _location(repository: TrustedRepository) -> str:
    """The location of a repository; for a first-use repository, that of its index."""
    first_use = repository.first_use
    return repository.location if first_use is None else first_use.index_url


@lru_cache(maxsize=16)
def _parsed(data: bytes) -> Metadata[Any]:
    # Cached because a report explains many files, and a snapshot may list thousands of roles.
    return Metadata[Any].from_bytes(data)


def _read(path: Path) -> Metadata[Any]:
    try:
        return _parsed(path.read_bytes())
    except (OSError, RepositoryError, ValueError) as error:
        raise VerificationError(f"{path} cannot be read: {error}") from None


def _owner(key: Key) -> str:
    for field in _NAME_FIELDS:
        name = key.unrecognized_fields.get(field)
        if isinstance(name, str) and name:
            return name[:60]
    return ""
