"""Unites the pages of several sources. A file comes from the first source that has its name."""

from __future__ import annotations

from collections.abc import Sequence

from packaging.utils import NormalizedName

from securepip.formats.words import counted
from securepip.signing.overlay.upstream.interface import Reading
from securepip.signing.overlay.upstream.page import LeftOut, UpstreamFile, UpstreamPage

_QUARANTINED = "quarantined"


def unite(project: NormalizedName, readings: Sequence[Reading]) -> UpstreamPage | None:
    """Unite the answers of all sources, in their order; None if no source knows the project.

    If two sources offer one name with different bytes, the first one counts, and a remark says so.
    A project is in quarantine if one of the sources says so.

    Raises:
        FormatError: The answer of a source is no page.
        TransportError: A source did not answer.
    """
    pages = [(reading.source, page) for reading in readings if (page := reading.load())]
    if not pages:
        return None
    chosen: dict[str, tuple[UpstreamFile, str]] = {}
    differing: dict[tuple[str, str], list[str]] = {}
    left_out: dict[str, LeftOut] = {}
    without_sha256: dict[str, UpstreamFile] = {}
    for source, page in pages:
        for file in page.files:
            first, owner = chosen.setdefault(file.filename, (file, source))
            if first.sha256 != file.sha256:
                differing.setdefault((owner, source), []).append(file.filename)
        for file in page.without_sha256:
            without_sha256.setdefault(file.filename, file)
        left_out.update((each.filename, each) for each in page.left_out)
    first_page = next((p for _, p in pages if p.status == _QUARANTINED), pages[0][1])
    return UpstreamPage(
        project,
        tuple(file for file, _ in chosen.values()),
        tuple(each for name, each in left_out.items() if name not in chosen),
        first_page.status,
        first_page.status_reason,
        remarks=tuple(
            f"{counted(len(names), 'file differs', 'files differ')} between {owner} (taken) and "
            f"{other} (not): {names[0]}" + (", …" if len(names) > 1 else "")
            for (owner, other), names in differing.items()
        ),
        without_sha256=tuple(file for name, file in without_sha256.items() if name not in chosen),
    )
