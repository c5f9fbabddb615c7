"""Starts the downloads of the first look-ups before the libraries that verify them are imported.

Rule: an early download is a hint. Its bytes are verified like any others, when they are looked up.
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
    """Begin to fetch what the first look-up of each project needs, from the repository asked first.

    Args:
        trust: Which repositories are trusted.
        transport: Fetches.
        projects: The projects that will be looked up.
    """
    wanted: dict[str, tuple[TrustedRepository, list[NormalizedName]]] = {}
    for project in projects:
        first = trust.first(project)
        if first is not None and not is_local(first.location):
            wanted.setdefault(first.name, (first, []))[1].append(project)
    for repository, names in wanted.values():
        seen, view = Seen(repository.state), transport.called(repository.shown)
        with suppress(SecurepipError):  # the look-up raises it again
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
    """Begin to fetch pages from their plain URLs, which are known before any metadata is.

    The page that a client verifies is at a URL with its digest, and the digest is known only when
    all roles that lead to the page are. The plain URL nearly always has the same bytes, which the
    digest then proves.
    """
    for project in () if is_local(repository.location) else projects:
        url = mirrors.at(plain_page(repository, project))
        transport.begin_ahead(url, max_bytes=_PAGE_BYTES)


def plain_page(repository: TrustedRepository, project: NormalizedName) -> str:
    """The URL of the project's page for clients that do not verify."""
    return f"{repository.location}{page_target(project)}"
