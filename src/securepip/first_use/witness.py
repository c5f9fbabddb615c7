"""Witnesses: other indexes that must show the same digest for a new file.

With a witness, an attacker has to forge the answers of two servers at once.

Rule: a witness never adds a file. If it shows a file with another digest, the whole project is
refused. If it lacks a file, the file is left out until the witness has it.
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
    """A file for which the index and a witness show different digests.

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
        contradictions: The files with another digest at a witness.
        missing: The files that a witness lacks, by name, with the address of the witness.
    """

    contradictions: tuple[Contradiction, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)


def hear(
    project: NormalizedName,
    offered: Sequence[UpstreamFile],
    known: Collection[str],
    witnesses: Sequence[Source],
) -> Testimony:
    """Ask the witnesses about the new files of a project.

    Args:
        project: The project.
        offered: The files that the index shows.
        known: The names of files that were signed before, which need no witness.
        witnesses: The witnesses; each is asked.

    Raises:
        TransportError: A witness did not answer, so nothing new can be signed.
        FormatError: The answer of a witness cannot be a page.
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
