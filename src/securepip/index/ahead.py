"""What the first look-ups of projects will ask for, begun before what verifies it is imported.

Rule: nothing is believed for having been asked for. What comes is verified when it is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from packaging.utils import NormalizedName

from securepip.errors import SecurepipError
from securepip.formats.layout import page_target
from securepip.transport import Transport, is_local
from securepip.trust import Trust, TrustedRepository
from securepip.updater import ahead
from securepip.updater.mirrors import Mirrors
from securepip.updater.seen import Seen

_PAGE_BYTES = 4 << 20
"""The longest page that is fetched before its length is known."""


def begin(trust: Trust, transport: Transport, projects: Iterable[NormalizedName]) -> None:
    """Begin to ask the repositories that are asked first for these projects."""
    wanted: dict[str, tuple[TrustedRepository, list[NormalizedName]]] = {}
    for project in projects:
        first = trust.first(project)
        if first is not None and not is_local(first.location):
            wanted.setdefault(first.name, (first, []))[1].append(project)
    for repository, names in wanted.values():
        seen, view = Seen(repository.state), transport.called(repository.shown)
        with suppress(SecurepipError):  # who looks them up says why
            new = [project for project in names if project not in seen]
            paths = map(page_target, new)
            ahead.begin(view, repository.metadata_url, repository.state, repository.root, paths)
            begin_pages(view, repository, new, Mirrors())


def begin_pages(
    transport: Transport,
    repository: TrustedRepository,
    projects: Iterable[NormalizedName],
    mirrors: Mirrors,
) -> None:
    """Begin to fetch pages at the addresses that are always theirs.

    What a client verifies is at an address with its digest, which is known when all roles on the
    way to it are. Most often the same is at the other by then, and that is seen by its digest.
    """
    for project in () if is_local(repository.location) else projects:
        url = mirrors.at(plain_page(repository, project))
        transport.begin_ahead(url, max_bytes=_PAGE_BYTES)


def plain_page(repository: TrustedRepository, project: NormalizedName) -> str:
    """Where a repository has the page of a project for clients that do not verify."""
    return f"{repository.location}{page_target(project)}"
