"""Asks the servers of files for lengths and ``.metadata`` files that the index does not tell.

Rule: no project costs more than ``MAX_LENGTHS`` requests for lengths, ``MAX_READS`` files that are
read whole, and ``MAX_TRIES`` requests for ``.metadata`` files, however many files it has. Only the
wanted files cost requests, and nothing that is known already is asked for.
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
"""The most lengths that are asked for when a project is read, for the most wanted files first."""

MAX_READS = 16
"""The most files that are read whole when a project is read, because no server tells the length."""

MAX_READ_BYTES = 512 << 20
"""Longer files are not read whole."""

MAX_TRIES = 64
"""The most ``.metadata`` files that are tried when a project is read, if they may not exist."""

_GIVE_UP_AFTER = 3
_REFUSED = dict.fromkeys((401, 403, 451), Reason.BLOCKED) | dict.fromkeys(
    (404, 410), Reason.MISSING
)


@dataclass(frozen=True)
class Learned:
    """The facts that servers gave about the files of a project.

    Attributes:
        files: The files that can be fetched, completed as far as possible.
        facts: What was learned about them.
        left_out: The other files, with the reason.
        remarks: Remarks for people, a sentence each.
    """

    files: tuple[UpstreamFile, ...]
    facts: Facts
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()


def learn_details(
    files: Sequence[UpstreamFile], wanted: Sequence[UpstreamFile], known: Facts, at: UpstreamFiles
) -> Learned:
    """Ask the servers for missing lengths and ``.metadata`` files of the ``wanted`` files.

    Args:
        files: All files of a page, with what is known already filled in.
        wanted: The files to ask about, the most important first.
        known: What is remembered of them.
        at: Asks the servers.
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
        return file  # the usual case, on pages of thousands of files
    return file._replace(size=size, core_metadata=core_metadata)


def newest_first(files: Sequence[UpstreamFile]) -> Sequence[UpstreamFile]:
    """All of ``files``, those of the newest release first."""
    return sorted(files, key=lambda file: file.name.version, reverse=True)


def is_metadata_unknown(file: UpstreamFile) -> bool:
    """Whether only a request can tell if ``file`` has a ``.metadata`` file, or its digest."""
    return (
        file.name.kind is Kind.WHEEL
        and not is_local(file.url)
        and file.core_metadata is None
        and file.has_metadata is not False
    )


def no_length(files: Sequence[UpstreamFile]) -> tuple[LeftOut, ...]:
    """The files without a length, as files to leave out."""
    return tuple(LeftOut(f.filename, Reason.NO_LENGTH) for f in files if f.size is None)


def _measure(
    wanted: Sequence[UpstreamFile], at: UpstreamFiles
) -> tuple[dict[Sha256, int], dict[str, Reason]]:
    """Ask for missing lengths.

    Returns:
        The lengths, by sha256; and the files that cannot be fetched, by name.
    """
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
    """Look for ``.metadata`` files whose digest the index does not tell.

    Returns:
        Their digests by the sha256 of the distribution, None if there is no such file; and the
        names of distributions whose ``.metadata`` file holds something else.
    """
    unknown = [
        file for file in wanted if is_metadata_unknown(file) and file.sha256 not in known.metadata
    ]
    # An index that tells the digest of one such file tells those of all that exist.
    if any(file.core_metadata and file.sha256 not in known.metadata for file in files):
        unknown = [file for file in unknown if file.has_metadata]
    digests: dict[Sha256, Sha256 | None] = {}
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
            digests[file.sha256] = None if data is None else sha256_of(data)
            missed += data is None and not any(digests.values())
        if missed >= _GIVE_UP_AFTER:
            break
    return digests, wrong


def _read_metadata(file: UpstreamFile, at: UpstreamFiles) -> bytes | TransportError | None:
    """The ``.metadata`` file; None if it does not exist; the error if that is not known."""
    try:
        return at.metadata(file.url)
    except TransportError as error:
        return None if error.status in (403, 404, 410) else error


def _batches(files: Sequence[UpstreamFile], *, first: int) -> Iterator[Sequence[UpstreamFile]]:
    """``first`` files, to see whether the server answers; then as many as run in parallel."""
    start, size = 0, first
    while start < len(files):
        yield files[start : start + size]
        start, size = start + size, PARALLEL
