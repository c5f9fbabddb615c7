"""A proposal as a folder that is carried from the server to the key holders and back.

    BUNDLE/ceremony.json     what it is for
    BUNDLE/new/              the metadata to be signed, with the signatures that it has so far
    BUNDLE/current/          the current metadata, to compare with and to verify signatures by

Rule: a bundle has been in many hands. It may hold nothing but plain files and folders, its files
are read up to a limit, and their contents count only as far as they are signed. A pipe would keep a
key holder's machine waiting for ever, and a link could make it read or overwrite other files.
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
"""The errors of the system when a file is missing, or something else is in its place."""


def write_bundle(folder: Path, proposal: Proposal) -> None:
    """Write ``proposal`` into ``folder``, over an older state of the same proposal.

    Raises:
        OSError: The folder cannot be written.
    """
    writer = Writer(folder / _UNFINISHED)
    for root in proposal.roots:
        writer.write(folder / _NEW / f"{root.signed.version}.root.json", root.to_bytes(COMPACT))
    for name, metadata in proposal.roles.items():
        path = folder / _NEW / f"{metadata.signed.version}.{name}.json"
        writer.write(path, metadata.to_bytes(COMPACT))
    # This file comes last: a bundle without it is not read.
    writer.write(folder / _ABOUT, json.dumps({"format": 1, "why": proposal.why}).encode())
    (folder / _UNFINISHED).rmdir()


def add_current(folder: Path, metadata: Reader, roles: Roles, proposal: Proposal) -> None:
    """Copy the current metadata that key holders compare the proposal with into the bundle.

    Args:
        folder: The bundle.
        metadata: Where the current metadata is.
        roles: The current roles.
        proposal: The proposal.

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
    """Copy all versions of these roles from ``metadata`` into the bundle, beside the current ones.

    Raises:
        OSError: A folder cannot be read or written.
    """
    wanted = set(names)
    for stored in metadata.list():
        match = _NAME.fullmatch(stored.name)
        if match and match[2] in wanted and not (folder / _CURRENT / stored.name).exists():
            (folder / _CURRENT / stored.name).write_bytes(metadata.read(stored.name))


def add_roots(folder: Path, metadata: Reader, versions: Iterable[int]) -> None:
    """Copy roots of these versions from ``metadata`` into the bundle, beside the current one.

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
        OSError: It cannot be read just now. That does not mean that it is damaged.
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
    """The roles that were current when the bundle was made, and the digest of the first root.

    Args:
        folder: The bundle.
        root_sha256: The digest of the first root, if the caller knows it. If not, the first root in
            the bundle is believed.

    Raises:
        RepositoryStateError: The roles are not signed as they have to be, or begin with another
            root.
        OSError: As ``read_bundle``.
    """
    with _as_prepared(folder):
        first = sha256_of(_read(folder / _CURRENT / "1.root.json"))
    return Roles(folder / _CURRENT, root_sha256 or first), first


def read_root(folder: Path, version: int) -> Metadata[Root]:
    """One of the roots up to the current one. ``read_current`` has verified all of them.

    Raises:
        RepositoryStateError: It is missing or damaged.
        OSError: As ``read_bundle``.
    """
    with _as_prepared(folder):
        return _parse(folder / _CURRENT / f"{version}.root.json", Root, version)


def read_role(folder: Path, name: str, version: int) -> Metadata[Targets] | None:
    """A version of a role that lies beside the current ones; None if it is not there.

    Its signatures are not verified.

    Raises:
        RepositoryStateError: It is not what its name says.
        OSError: As ``read_bundle``.
    """
    with _as_prepared(folder):
        try:
            return _parse(folder / _CURRENT / f"{version}.{name}.json", Targets, version)
        except FileNotFoundError:
            return None


@contextmanager
def _as_prepared(folder: Path) -> Iterator[None]:
    """Report what is missing or damaged in ``folder`` as an error about the bundle."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_AS_WRITTEN:
            raise
        raise RepositoryStateError(f"{folder} is not what was prepared: {error}") from None
    except (ValueError, KeyError, TypeError, RepositoryError) as error:
        raise RepositoryStateError(f"{folder} is not what was prepared: {error}") from None


def _parents(proposal: Proposal) -> set[str]:
    """The roles that delegate to the roles of the proposal."""
    parents = {BINS_ROLE, *TOPS}
    for name in proposal.roles:
        parent = shard_parent(name)
        while parent is not None:
            parents.add(parent)
            parent = shard_parent(parent)
    return parents


def _parse(path: Path, kind: type[S], version: int) -> Metadata[S]:
    metadata = Metadata[S].from_bytes(_read(path))
    if not isinstance(metadata.signed, kind) or metadata.signed.version != version:
        raise ValueError(f"{path.name} is of another role or version")
    return metadata


def _check_plain(folder: Path) -> None:
    """Check that ``folder`` holds only plain files and folders, not too many and not too large."""
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
