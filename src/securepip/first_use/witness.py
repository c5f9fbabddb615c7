"""Witnesses: other indexes that must show the same bytes for a file that is seen first.

A forged answer of one server is then not enough: it has to be forged in two places at once.

Rule: a witness can only take away. A file that it shows with another digest makes the project's
answer a contradiction, which is refused; a file that it lacks is left out until it has it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from packaging.utils import NormalizedName

from securepip.formats.digests import Sha256
from securepip.signing.overlay.upstream.interface import Source
from securepip.signing.overlay.upstream.page import UpstreamFile


@dataclass(frozen=True)
class Contradiction:
    """A file of which the index and a witness show different bytes.

    Attributes:
        filename: Its name.
        offered: The sha256 that the index shows.
        witness: The address of the witness.
        witnessed: The sha256 that the witness shows.
    """

    filename: str
    offered: Sha256
    witness: str
    witnessed: Sha256


@dataclass(frozen=True)
class Testimony:
    """What the witnesses say of the new files of one project.

    Attributes:
        contradictions: Files with other bytes at a witness.
        missing: Files that a witness does not have: the file's name, and the witness's address.
    """

    contradictions: tuple[Contradiction, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)


def hear(
    project: NormalizedName,
    offered: Sequence[UpstreamFile],
    known: Collection[str],
    witnesses: Sequence[Source],
) -> Testimony:
    """Ask the witnesses for the files of ``project`` that are new.

    Args:
        project: Whose files they are.
        offered: What the index shows.
        known: The names of files that were signed before: nobody is asked for these.
        witnesses: Whom to ask, each in turn.

    Raises:
        TransportError: A witness did not answer: nothing new can be signed without it.
        FormatError: Its answer cannot be a page.
    """
    new = [file for file in offered if file.filename not in known]
    contradictions: list[Contradiction] = []
    missing: dict[str, str] = {}
    for witness in witnesses if new else ():
        page = witness.read(project, None).load()
        shown = {file.filename: file.sha256 for file in page.files} if page else {}
        for file in new:
            seen = shown.get(file.filename)
            if seen is None:
                missing.setdefault(file.filename, witness.location)
            elif seen != file.sha256:
                contradictions.append(
                    Contradiction(file.filename, file.sha256, witness.location, seen)
                )
    return Testimony(tuple(contradictions), missing)
