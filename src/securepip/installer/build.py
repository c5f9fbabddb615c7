"""Building a wheel from a verified sdist.

Rule: nothing of an sdist is unpacked before it was hashed again, and nothing of it runs but in an
environment of its own, into which only verified distributions were installed. What its author's
code does once it runs is the author's to answer for: a signature says who, not how good.

Sources: PEP 517 (hooks), PEP 518 (build requirements), PEP 643 (what metadata may change).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.errors import FormatError, InstallationError, VerificationError
from securepip.formats.core_metadata import (
    MAX_METADATA_BYTES,
    parse_core_metadata,
    read_core_metadata,
)
from securepip.formats.digests import CHUNK, Sha256, parse_sha256, sha256_of_stream
from securepip.formats.distribution import Kind, parse_distribution
from securepip.formats.layout import check_filename
from securepip.index.types import VerifiedFile
from securepip.installer.process import clean_environment

if TYPE_CHECKING:
    from build import ProjectBuilder
    from pyproject_hooks import SubprocessRunner

_log = logging.getLogger(__name__)
_SEAL = object()
_MAX_MEMBERS = 500_000
_MAX_UNPACKED_BYTES = 8 << 30

InstallVerified = Callable[[Path, Sequence[str]], Iterable[Sha256]]
"""Installs requirements, verified, with what they need, for an interpreter whose environment is
empty. Returns the digests of all that it has installed."""


@dataclass(frozen=True)
class BuiltWheel:
    """A wheel that was built here from a verified sdist.

    Attributes:
        filename: Its name.
        path: Where the cache keeps it. Hashed again when copied.
        sha256: Its digest when it was built.
        size: Bytes.
        sdist: What it was built from.
    """

    filename: str
    path: Path
    sha256: Sha256
    size: int
    sdist: VerifiedFile
    seal: object = field(repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("only a build makes a BuiltWheel")


@dataclass(frozen=True)
class BuildSettings:
    """What a build depends on, besides the sdist.

    Attributes:
        python: The target's interpreter; build environments are made from it.
        tag: The best wheel tag of the target: its version, ABI and platform.
        install: How build requirements get into the environment.
        cache: The folder of built wheels.
        config_settings: ``--config-settings``.
    """

    python: Path
    tag: str
    install: InstallVerified
    cache: Path
    config_settings: Mapping[str, str | list[str]] = field(default_factory=dict)


def prepare_metadata(sdist: VerifiedFile, settings: BuildSettings) -> bytes:
    """The METADATA of the wheel that the sdist would become.

    Raises:
        VerificationError: The stored sdist has changed, or the metadata is of another release.
        FormatError: The sdist cannot be unpacked, or the metadata is not valid.
        InstallationError: The build failed.
    """
    with _prepared(sdist, settings) as (builder, key, folder):
        with _explained(sdist):
            found = builder.prepare("wheel", folder / "metadata", _settings(settings))
        if found is None:
            return read_core_metadata(_build(sdist, settings, builder, key, folder).path)
        with Path(found, "METADATA").open("rb") as stream:
            data = stream.read(MAX_METADATA_BYTES)
    _check_release(data, sdist)
    return data


def build_wheel(sdist: VerifiedFile, settings: BuildSettings) -> BuiltWheel:
    """Build the sdist, unless the cache holds the wheel that the same ingredients made before.

    Raises:
        VerificationError: The stored sdist has changed, or the wheel is of another release.
        FormatError: The sdist cannot be unpacked, or the wheel is none.
        InstallationError: The build failed.
    """
    with _prepared(sdist, settings) as (builder, key, folder):
        return _build(sdist, settings, builder, key, folder)


@contextmanager
def _prepared(
    sdist: VerifiedFile, settings: BuildSettings
) -> Iterator[tuple[ProjectBuilder, str, Path]]:
    """An unpacked sdist in a folder that goes away again, and an environment to build it in."""
    from build import ProjectBuilder

    with tempfile.TemporaryDirectory(prefix="securepip-build-") as temporary:
        folder = Path(temporary)
        source = unpack_sdist(sdist, folder)
        python = _make_environment(settings.python, folder / "env")
        with _explained(sdist):
            builder = ProjectBuilder(source, str(python), _runner(python))
        digests = set(settings.install(python, sorted(builder.build_system_requires)))
        with _explained(sdist):
            more = builder.get_requires_for_build("wheel", _settings(settings))
        if more:
            digests |= set(settings.install(python, sorted(more)))
        key = _cache_key(sdist, settings, digests)
        yield builder, key, folder


def unpack_sdist(sdist: VerifiedFile, folder: Path) -> Path:
    """Unpack a private copy of the sdist and return its top folder.

    Raises:
        VerificationError: The stored file is not what was verified.
        FormatError: It cannot be unpacked safely, or has not exactly one top folder.
    """
    copy = folder / check_filename(sdist.filename)
    copy_verified(sdist.path, copy, sdist.filename, sdist.sha256, sdist.size)
    unpacked = folder / "source"
    unpacked.mkdir()
    try:
        if copy.name.endswith(".zip"):
            _unpack_zip(copy, unpacked)
        else:
            _unpack_tar(copy, unpacked)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise FormatError(f"{copy.name} cannot be unpacked: {error}") from None
    found = list(unpacked.iterdir())
    if len(found) != 1 or not found[0].is_dir() or found[0].is_symlink():
        raise FormatError(f"{copy.name} has not exactly one top folder")
    return found[0]


def copy_verified(source: Path, copy: Path, filename: str, sha256: Sha256, size: int) -> None:
    """Copy a stored file, and check on the way that it is still what was verified.

    The bytes that are hashed are the bytes that are written: what the store holds afterwards does
    not matter. The copy is never a link, and never replaces a file.

    Raises:
        VerificationError: It has changed.
    """
    digest, length = hashlib.sha256(), 0
    with source.open("rb") as read, copy.open("xb") as written:
        while chunk := read.read(CHUNK):
            digest.update(chunk)
            written.write(chunk)
            length += len(chunk)
    if (digest.hexdigest(), length) != (sha256, size):
        raise VerificationError(
            f"{filename} in the local store ({source}) is not what was verified a moment ago.",
            meaning="Something on this machine has changed it since. Nothing was installed.",
            remedy=f"Delete {source}, and find out what writes there.",
        )


def _unpack_tar(path: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise InstallationError(
            "This Python cannot unpack an archive safely.", remedy="Update Python: 3.10.12, 3.11.4."
        )
    with tarfile.open(path) as tar:
        members, size = [], 0
        for member in tar:
            members.append(member)
            size += member.size
            _check_bounds(len(members), size)
        tar.extractall(folder, members, filter="data")


def _unpack_zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_bounds(len(members), sum(member.file_size for member in members))
        archive.extractall(folder)  # noqa: S202 - zipfile keeps every member below the folder


def _check_bounds(members: int, size: int) -> None:
    if members > _MAX_MEMBERS or size > _MAX_UNPACKED_BYTES:
        raise ValueError(f"more than {_MAX_MEMBERS} files or {_MAX_UNPACKED_BYTES} bytes")


def _make_environment(python: Path, folder: Path) -> Path:
    made = folder / "bin" / "python"
    _run([str(python), "-I", "-m", "venv", "--without-pip", str(folder)], None, {})
    return made


def _runner(python: Path) -> SubprocessRunner:
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    environment = {"PATH": path, "VIRTUAL_ENV": str(python.parent.parent)}

    def run(
        cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        _run(cmd, cwd, {**environment, **(extra_environ or {})})

    return run


def _run(command: Sequence[str], cwd: str | None, extra: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**clean_environment(), **extra},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise InstallationError(f"{command[0]} cannot be run: {error}") from None
    if done.returncode:
        raise InstallationError(
            f"{command[0]} ended with exit code {done.returncode}.",
            meaning=done.stdout.decode(errors="replace")[-4000:].strip(),
        )


@contextmanager
def _explained(sdist: VerifiedFile) -> Iterator[None]:
    from build import BuildBackendException, BuildException

    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield
        # What a backend warns of concerns the author of the sdist, not who installs it.
        for warning in said:
            _log.debug("%s: %s", sdist.filename, warning.message)
    except (BuildException, BuildBackendException) as error:
        cause = getattr(error, "exception", None)
        raise InstallationError(
            f"{sdist.filename} could not be built: {error}",
            meaning=getattr(cause, "meaning", "") or str(getattr(cause, "traceback", "")),
            remedy="A version that offers a wheel needs no build: try --only-binary.",
        ) from None


def _build(
    sdist: VerifiedFile, settings: BuildSettings, builder: ProjectBuilder, key: str, folder: Path
) -> BuiltWheel:
    place = settings.cache / key[:2] / key
    cached = _from_cache(place, sdist)
    if cached is not None:
        return cached
    with _explained(sdist):
        wheel = Path(builder.build("wheel", folder / "wheel", _settings(settings)))
    name = parse_distribution(check_filename(wheel.name), sdist.project)
    if name is None or name.kind is not Kind.WHEEL or name.version != sdist.version:
        raise VerificationError(f"{sdist.filename} builds {wheel.name}: another release.")
    _check_release(read_core_metadata(wheel), sdist)
    return _to_cache(wheel, place, sdist)


def _check_release(metadata: bytes, sdist: VerifiedFile) -> None:
    says = parse_core_metadata(metadata)
    if (says.project, says.version) != (sdist.project, sdist.version):
        raise VerificationError(
            f"{sdist.filename} builds {says.name} {says.version}: another release."
        )


def _cache_key(sdist: VerifiedFile, settings: BuildSettings, digests: Iterable[Sha256]) -> str:
    ingredients = [
        sdist.sha256,
        settings.tag,
        sorted(digests),
        sorted(settings.config_settings.items()),
    ]
    return hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()


def _from_cache(place: Path, sdist: VerifiedFile) -> BuiltWheel | None:
    """The wheel in a folder of the cache, when it still has the digest it was stored with."""
    try:
        (path,) = place.glob("*.whl")
        expected = parse_sha256((place / "sha256").read_text(encoding="ascii"))
        with path.open("rb") as stream:
            sha256, size = sha256_of_stream(stream)
    except (OSError, ValueError, FormatError):
        return None
    if sha256 != expected:
        return None
    return BuiltWheel(path.name, path, sha256, size, sdist, seal=_SEAL)


def _to_cache(wheel: Path, place: Path, sdist: VerifiedFile) -> BuiltWheel:
    with wheel.open("rb") as stream:
        sha256, size = sha256_of_stream(stream)
    place.parent.mkdir(parents=True, exist_ok=True)
    # Complete or not there: another process may look for it, or this one may be killed.
    prepared = Path(tempfile.mkdtemp(dir=place.parent, prefix="new-"))
    shutil.copyfile(wheel, prepared / wheel.name)
    (prepared / "sha256").write_text(sha256, encoding="ascii")
    try:
        prepared.replace(place)
    except OSError:
        # It holds one already: a damaged one, or the one that another process has just made.
        shutil.rmtree(place, ignore_errors=True)
        prepared.replace(place)
    return BuiltWheel(wheel.name, place / wheel.name, sha256, size, sdist, seal=_SEAL)


def _settings(settings: BuildSettings) -> Mapping[str, str | list[str]] | None:
    return settings.config_settings or None
