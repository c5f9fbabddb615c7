"""A proposal on its way: a folder that is carried from the server to the key holders and back.

    BUNDLE/ceremony.json     what it is for
    BUNDLE/new/              what is to be signed, with the signatures that it has so far
    BUNDLE/current/          what is current, to compare with and to judge signatures by

Rule: it went through many hands. Everything in it is a plain file in a plain folder, is read within
limits, under names that are built here, and is believed as far as it is signed. Nothing else is
opened: a pipe would keep a key holder's machine waiting for ever, and a link would have files of
that machine read, or written over.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import BINS_ROLE
from securepip.signing.keys.canonical import COMPACT
from securepip.signing.offline.proposal import Proposal
from securepip.signing.repository.claim_tree import TOPS, shard_parent
from securepip.signing.repository.roles import TIMESTAMP_NAME, Roles, S
from securepip.signing.repository.storage.files import Writer
from securepip.signing.repository.storage.interface import Reader

_ABOUT = "ceremony.json"
_NEW, _CURRENT, _UNFINISHED = "new", "current", ".unfinished"
_NAME = re.compile(r"([1-9][0-9]{0,9})\.([a-z0-9][a-z0-9.-]{0,250})\.json")
_MAX_BYTES = 64 << 20
_MAX_FILES = 100_000
_NOT_AS_WRITTEN = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""What the system says where a file is missing, or something else is in its place."""


def write_bundle(folder: Path, proposal: Proposal) -> None:
    """Put ``proposal`` into ``folder``, over an older state of the same one.

    Raises:
        OSError: The folder cannot be written.
    """
    writer = Writer(folder / _UNFINISHED)
    for root in proposal.roots:
        writer.write(folder / _NEW / f"{root.signed.version}.root.json", root.to_bytes(COMPACT))
    for name, metadata in proposal.roles.items():
        path = folder / _NEW / f"{metadata.signed.version}.{name}.json"
        writer.write(path, metadata.to_bytes(COMPACT))
    # Last: a bundle without it is not read.
    writer.write(folder / _ABOUT, json.dumps({"format": 1, "why": proposal.why}).encode())
    (folder / _UNFINISHED).rmdir()


def add_current(folder: Path, metadata: Reader, roles: Roles, proposal: Proposal) -> None:
    """Put beside it what is current, from ``metadata``, as far as it is compared with.

    Raises:
        OSError: A folder cannot be read or written.
    """
    names = [TIMESTAMP_NAME, f"{roles.snapshot.signed.version}.snapshot.json"]
    listed = roles.snapshot.signed.meta
    below = {"targets", *_parents(proposal), *proposal.roles}
    names += [f"{listed[f'{n}.json'].version}.{n}.json" for n in below if f"{n}.json" in listed]
    (folder / _CURRENT).mkdir(parents=True)
    for name in names:
        (folder / _CURRENT / name).write_bytes(metadata.read(name))
    add_roots(folder, metadata, range(1, roles.root.signed.version + 1))


def add_versions(folder: Path, metadata: Reader, names: Iterable[str]) -> None:
    """Put all versions of these roles, from ``metadata``, beside what is current.

    Raises:
        OSError: A folder cannot be read or written.
    """
    wanted = set(names)
    for stored in metadata.list():
        match = _NAME.fullmatch(stored.name)
        if match and match[2] in wanted and not (folder / _CURRENT / stored.name).exists():
            (folder / _CURRENT / stored.name).write_bytes(metadata.read(stored.name))


def add_roots(folder: Path, metadata: Reader, versions: Iterable[int]) -> None:
    """Put roots of these versions, from ``metadata``, beside what is current.

    Raises:
        OSError: A folder cannot be read or written.
    """
    for version in versions:
        name = f"{version}.root.json"
        (folder / _CURRENT / name).write_bytes(metadata.read(name))


def read_bundle(folder: Path) -> Proposal:
    """The proposal in ``folder``, with the signatures that it has so far.

    Raises:
        RepositoryStateError: There is none, or it is damaged.
        OSError: It cannot be read just now: what is in it is not known to be wrong.
    """
    with _as_prepared(folder):
        _check_plain(folder)
        about = json.loads(_read(folder / _ABOUT))
        if about["format"] != 1:
            raise ValueError(f"format {about['format']!r:.20}")
        roots: list[Metadata[Root]] = []
        roles: dict[str, Metadata[Targets]] = {}
        for path in sorted((folder / _NEW).iterdir()):
            match = _NAME.fullmatch(path.name)
            if match is None:
                raise ValueError(f"a file called {path.name!r:.80}")
            if match[2] == "root":
                roots.append(_parse(path, Root, int(match[1])))
            else:
                roles[match[2]] = _parse(path, Targets, int(match[1]))
        roots.sort(key=lambda root: root.signed.version)
        why = "".join(each for each in str(about["why"])[:500] if each.isprintable())
        return Proposal(why, tuple(roots), roles)


def read_current(folder: Path, root_sha256: Sha256 | None) -> tuple[Roles, Sha256]:
    """What was current when the bundle was made, verified, and the digest of its first root.

    Args:
        folder: The bundle.
        root_sha256: The digest of the first root, when the caller knows it.

    Raises:
        RepositoryStateError: It is not signed as it has to be, or begins with another root.
        OSError: As ``read_bundle``.
    """
    with _as_prepared(folder):
        first = sha256_of(_read(folder / _CURRENT / "1.root.json"))
    return Roles(folder / _CURRENT, root_sha256 or first), first


def read_root(folder: Path, version: int) -> Metadata[Root]:
    """One of the roots that led to what was current; ``read_current`` has verified all of them.

    Raises:
        RepositoryStateError: It is missing or damaged.
        OSError: As ``read_bundle``.
    """
    with _as_prepared(folder):
        return _parse(folder / _CURRENT / f"{version}.root.json", Root, version)


def read_role(folder: Path, name: str, version: int) -> Metadata[Targets] | None:
    """A role of that version beside what is current, not verified; None where it is not there.

    Raises:
        RepositoryStateError: It is there and is not what its name says.
        OSError: As ``read_bundle``.
    """
    with _as_prepared(folder):
        try:
            return _parse(folder / _CURRENT / f"{version}.{name}.json", Targets, version)
        except FileNotFoundError:
            return None


@contextmanager
def _as_prepared(folder: Path) -> Iterator[None]:
    """Tell of whatever is missing or damaged in ``folder`` that it is not what was prepared."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_AS_WRITTEN:
            raise
        raise RepositoryStateError(f"{folder} is not what was prepared: {error}") from None
    except (ValueError, KeyError, TypeError, RepositoryError) as error:
        raise RepositoryStateError(f"{folder} is not what was prepared: {error}") from None


def _parents(proposal: Proposal) -> set[str]:
    """The roles that delegate to those of the proposal."""
    found = {BINS_ROLE, *TOPS}
    for name in proposal.roles:
        parent = shard_parent(name)
        while parent is not None:
            found.add(parent)
            parent = shard_parent(parent)
    return found


def _parse(path: Path, kind: type[S], version: int) -> Metadata[S]:
    metadata = Metadata[S].from_bytes(_read(path))
    if not isinstance(metadata.signed, kind) or metadata.signed.version != version:
        raise ValueError(f"{path.name} is of another role or version")
    return metadata


def _check_plain(folder: Path) -> None:
    """See to it that there are files and folders in ``folder``, not too many, and nothing else."""
    left, waiting = _MAX_FILES, [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                left -= 1
                if left < 0:
                    raise ValueError("more files than a repository has roles")
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    raise ValueError(f"{entry.name!r:.80} is neither a file nor a folder")
                elif entry.stat(follow_symlinks=False).st_size > _MAX_BYTES:
                    raise ValueError(f"{entry.name!r:.80} is too large")


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"{path.name} is too large")
    return data
