"""Lengths and ``.metadata`` digests that no page tells, learned from the servers of the files.

Rule: no project, however many files it has or however little its index tells, costs more than
``MAX_LENGTHS`` + ``MAX_TRIES`` small requests; and only the files that the question wants cost
any. What is known already is never asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from securepip.errors import TransportError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.distribution import Kind
from securepip.signing.overlay.memory import Facts
from securepip.signing.overlay.upstream.files import UpstreamFiles
from securepip.signing.overlay.upstream.page import LeftOut, Reason, UpstreamFile
from securepip.transport import is_local
from securepip.transport.session import PARALLEL

MAX_LENGTHS = 320
"""Lengths that are asked for of one project's files at one time, the most wanted files first."""

MAX_TRIES = 64
"""Requests for ``.metadata`` files of which nobody says whether they exist, a project and time."""

_GIVE_UP_AFTER = 3


@dataclass(frozen=True)
class Learned:
    """What was found out.

    Attributes:
        files: All files, completed as far as possible.
        facts: What is new.
        left_out: Files that cannot be completed, with the reason.
    """

    files: tuple[UpstreamFile, ...]
    facts: Facts
    left_out: tuple[LeftOut, ...] = ()


def learn_details(
    files: Sequence[UpstreamFile], wanted: Sequence[UpstreamFile], known: Facts, at: UpstreamFiles
) -> Learned:
    """Ask the servers for what is missing of the ``wanted`` files.

    Args:
        files: All files of a page, with what is known already filled in.
        wanted: Those that are about to be needed, the most wanted first.
        known: What is remembered of them.
        at: Fetches.
    """
    metadata = _try_metadata(files, wanted, known, at)
    sizes = _measure(wanted, at)
    completed = tuple(
        replace(
            file,
            size=sizes.get(file.sha256) if file.size is None else file.size,
            core_metadata=metadata.get(file.sha256, file.core_metadata),
        )
        for file in files
    )
    return Learned(completed, Facts(sizes=sizes, metadata=metadata))


def newest_first(files: Sequence[UpstreamFile]) -> Sequence[UpstreamFile]:
    """All of ``files``, those of the newest release first."""
    return sorted(files, key=lambda file: file.name.version, reverse=True)


def is_metadata_unknown(file: UpstreamFile) -> bool:
    """Whether only trying can tell if ``file`` has a ``.metadata`` file, or which."""
    return (
        file.name.kind is Kind.WHEEL
        and not is_local(file.url)
        and file.core_metadata is None
        and file.has_metadata is not False
    )


def no_length(files: Sequence[UpstreamFile]) -> tuple[LeftOut, ...]:
    """Those of ``files`` of which nobody knows the length."""
    return tuple(LeftOut(f.filename, Reason.NO_LENGTH) for f in files if f.size is None)


def _try_metadata(
    files: Sequence[UpstreamFile],
    wanted: Sequence[UpstreamFile],
    known: Facts,
    at: UpstreamFiles,
) -> dict[Sha256, Sha256 | None]:
    """Look for ``.metadata`` files that nobody told of."""
    unknown = [
        file for file in wanted if is_metadata_unknown(file) and file.sha256 not in known.metadata
    ]
    # One of them told by the index: then it tells of all.
    if any(file.core_metadata and file.sha256 not in known.metadata for file in files):
        unknown = [file for file in unknown if file.has_metadata]
    found: dict[Sha256, Sha256 | None] = {}
    missed = 0
    for batch in _batches(unknown[:MAX_TRIES], first=_GIVE_UP_AFTER):
        digests = at.transport.map(lambda file: _digest_of_metadata(file, at), batch)
        for file, digest in zip(batch, digests, strict=True):
            if digest is None and not any(found.values()):
                missed += 1
            if not isinstance(digest, TransportError):
                found[file.sha256] = digest
        if missed >= _GIVE_UP_AFTER:
            break
    return found


def _digest_of_metadata(file: UpstreamFile, at: UpstreamFiles) -> Sha256 | TransportError | None:
    """None when there is certainly none; an error when nobody can tell."""
    try:
        return sha256_of(at.metadata(file.url))
    except TransportError as error:
        return None if error.status in (403, 404, 410) else error


def _measure(wanted: Sequence[UpstreamFile], at: UpstreamFiles) -> dict[Sha256, int]:
    """Ask for the lengths that are missing."""
    missing = [file for file in wanted if file.size is None][:MAX_LENGTHS]
    sizes: dict[Sha256, int] = {}
    refused = 0
    for batch in _batches(missing, first=_GIVE_UP_AFTER):
        lengths = at.transport.map(lambda file: at.length(file.url), batch)
        for file, size in zip(batch, lengths, strict=True):
            if size is None:
                refused += 1
            else:
                sizes[file.sha256] = size
        if refused >= _GIVE_UP_AFTER and not sizes:
            break
    return sizes


def _batches(files: Sequence[UpstreamFile], *, first: int) -> Iterator[Sequence[UpstreamFile]]:
    """A few to see whether it works at all, then as many as run at the same time."""
    at, size = 0, first
    while at < len(files):
        yield files[at : at + size]
        at, size = at + size, PARALLEL
