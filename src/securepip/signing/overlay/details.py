"""Lengths and ``.metadata`` digests that no page tells, learned from the servers of the files.

Rule: no project, however many files it has or however little its index tells, costs more than
``MAX_LENGTHS`` questions for lengths, ``MAX_READS`` files that are read whole, and ``MAX_TRIES``
small requests; and only the files that the question wants cost any. What is known already is never
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from securepip.errors import FormatError, TransportError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.distribution import Kind
from securepip.signing.overlay.memory import Facts
from securepip.signing.overlay.upstream.files import UpstreamFiles, is_metadata_of
from securepip.signing.overlay.upstream.page import LeftOut, Reason, UpstreamFile
from securepip.transport import PARALLEL, is_local

MAX_LENGTHS = 320
"""Lengths that are asked for of one project's files at one time, the most wanted files first."""

MAX_READS = 16
"""Files of a project that are read whole for their length at one time: no server tells it."""

MAX_READ_BYTES = 512 << 20
"""Longer files are not read for their length."""

MAX_TRIES = 64
"""Requests for ``.metadata`` files of which nobody says whether they exist, a project and time."""

_GIVE_UP_AFTER = 3
_REFUSED = dict.fromkeys((401, 403, 451), Reason.BLOCKED) | dict.fromkeys(
    (404, 410), Reason.MISSING
)


@dataclass(frozen=True)
class Learned:
    """What was found out.

    Attributes:
        files: The files that can be had, completed as far as possible.
        facts: What is new.
        left_out: The others, with the reason.
        remarks: What is good to know, a sentence each.
    """

    files: tuple[UpstreamFile, ...]
    facts: Facts
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()


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
    sizes, refused = _measure(wanted, at)
    at_hand = [file for file in wanted if file.filename not in refused]
    metadata, wrong = _try_metadata(files, at_hand, known, at)
    completed = tuple(files)
    if sizes or metadata or refused:
        completed = tuple(
            _complete(file, sizes, metadata) for file in files if file.filename not in refused
        )
    left_out = tuple(LeftOut(filename, reason) for filename, reason in refused.items())
    remarks = (
        (f"what is served as {wrong[0]}.metadata is not its metadata: left out",) if wrong else ()
    )
    return Learned(completed, Facts(sizes=sizes, metadata=metadata), left_out, remarks)


def _complete(
    file: UpstreamFile, sizes: Mapping[Sha256, int], metadata: Mapping[Sha256, Sha256 | None]
) -> UpstreamFile:
    size = sizes.get(file.sha256) if file.size is None else file.size
    core_metadata = metadata.get(file.sha256, file.core_metadata)
    if (file.size, file.core_metadata) == (size, core_metadata):
        return file  # as nearly all of a page of thousands
    return file._replace(size=size, core_metadata=core_metadata)


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


def _measure(
    wanted: Sequence[UpstreamFile], at: UpstreamFiles
) -> tuple[dict[Sha256, int], dict[str, Reason]]:
    """The lengths that were missing, by sha256; and by name the files that cannot be had."""
    missing = [file for file in wanted if file.size is None][:MAX_LENGTHS]
    sizes: dict[Sha256, int] = {}
    refused: dict[str, Reason] = {}
    untold: list[UpstreamFile] = []
    silent = 0
    for batch in _batches(missing, first=_GIVE_UP_AFTER):
        for file, answer in zip(batch, at.transport.map(_asking(at), batch), strict=True):
            if isinstance(answer, int):
                sizes[file.sha256] = answer
            elif answer is None or answer.status is not None:
                if answer is not None and answer.status in _REFUSED:
                    refused[file.filename] = _REFUSED[answer.status]
                else:
                    untold.append(file)
            else:
                silent += 1
        # A server that does not answer is not asked hundreds of times.
        if silent >= _GIVE_UP_AFTER and not sizes:
            break
    untold = untold[:MAX_READS]
    for file, read in zip(untold, at.transport.map(_reading(at), untold), strict=True):
        if isinstance(read, int):
            sizes[file.sha256] = read
        elif isinstance(read, FormatError):
            refused[file.filename] = Reason.WRONG_SHA256
        elif read.status in _REFUSED:
            refused[file.filename] = _REFUSED[read.status]
    return sizes, refused


def _asking(at: UpstreamFiles) -> Callable[[UpstreamFile], int | TransportError | None]:
    def ask(file: UpstreamFile) -> int | TransportError | None:
        try:
            return at.length(file.url)
        except TransportError as error:
            return error

    return ask


def _reading(at: UpstreamFiles) -> Callable[[UpstreamFile], int | FormatError | TransportError]:
    def read(file: UpstreamFile) -> int | FormatError | TransportError:
        try:
            return at.read_length(file.url, file.sha256, max_bytes=MAX_READ_BYTES)
        except (FormatError, TransportError) as error:
            return error

    return read


def _try_metadata(
    files: Sequence[UpstreamFile],
    wanted: Sequence[UpstreamFile],
    known: Facts,
    at: UpstreamFiles,
) -> tuple[dict[Sha256, Sha256 | None], list[str]]:
    """Look for ``.metadata`` files that nobody told of.

    Returns:
        Their digests, None for none; and the names of files beside which there is something else.
    """
    unknown = [
        file for file in wanted if is_metadata_unknown(file) and file.sha256 not in known.metadata
    ]
    # One of them told by the index: then it tells of all.
    if any(file.core_metadata and file.sha256 not in known.metadata for file in files):
        unknown = [file for file in unknown if file.has_metadata]
    found: dict[Sha256, Sha256 | None] = {}
    wrong: list[str] = []
    missed = 0
    for batch in _batches(unknown[:MAX_TRIES], first=_GIVE_UP_AFTER):
        answers = at.transport.map(lambda file: _read_metadata(file, at), batch)
        for file, data in zip(batch, answers, strict=True):
            if isinstance(data, TransportError):
                continue
            if data is not None and not is_metadata_of(data, file.name):
                wrong.append(file.filename)
                data = None
            found[file.sha256] = None if data is None else sha256_of(data)
            missed += data is None and not any(found.values())
        if missed >= _GIVE_UP_AFTER:
            break
    return found, wrong


def _read_metadata(file: UpstreamFile, at: UpstreamFiles) -> bytes | TransportError | None:
    """None when there is certainly none; an error when nobody can tell."""
    try:
        return at.metadata(file.url)
    except TransportError as error:
        return None if error.status in (403, 404, 410) else error


def _batches(files: Sequence[UpstreamFile], *, first: int) -> Iterator[Sequence[UpstreamFile]]:
    """A few to see whether it works at all, then as many as run at the same time."""
    at, size = 0, first
    while at < len(files):
        yield files[at : at + size]
        at, size = at + size, PARALLEL
