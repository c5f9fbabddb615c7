"""Turns lock files into requirements for the resolver, each with one version and one hash.

Rule: every locked file needs a hash, and as soon as one requirement has a hash, all of them need
one. So the resolver can only choose the locked files, or reports what the lock lacks. A file with
an address is taken from the repository that signs it, wherever the address points. A file on this
machine is the user's own, as if it were named on the command line.

Sources: PEP 751, as ``packaging.pylock`` reads it; pip's documentation, "pip install" (-r).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import cast
from urllib.parse import quote, urljoin, urlsplit

from packaging.markers import Environment
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
    is_valid_pylock_path,
)
from packaging.utils import NormalizedName, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from securepip.errors import (
    RequirementError,
    ResolutionError,
    SecurepipError,
    UntrustedError,
    VerificationError,
)
from securepip.formats.toml import parse_toml
from securepip.index.types import Index
from securepip.resolver.environment.markers import MarkerRules
from securepip.resolver.environment.target import TargetEnvironment
from securepip.resolver.options import ResolveOptions
from securepip.resolver.requirements.files import ReadUrl
from securepip.resolver.requirements.links import STRONG_HASHES, path_to_url, url_to_path
from securepip.resolver.requirements.parse import parse_editable, parse_requirement
from securepip.resolver.requirements.types import UserRequirement

_MAX_LOCK_BYTES = 16 << 20
_MAX_REMOTE_BYTES = 4 << 20
"""The largest lock that a server may send, which is twice the largest in use. The parser needs 100
times as much memory."""
_URL = re.compile(r"(https?|file)://", re.IGNORECASE)

_Source = PackageVcs | PackageDirectory | PackageArchive | PackageWheel | PackageSdist


@dataclass(frozen=True)
class LockedFile:
    """A wheel or sdist that a lock names.

    Attributes:
        project: The normalized name of its project.
        version: Its version.
        filename: Its file name.
        hashes: Hexadecimal digests by algorithm, in lower case.
        size: Its size in bytes; None if the lock does not say it.
        upload_time: When it was uploaded; None if the lock does not say it.
        lock: The lock that names it, for messages.
        path: The path of a file on this machine; None for a file that a repository must have
            signed.
    """

    project: NormalizedName
    version: Version
    filename: str
    hashes: Mapping[str, str]
    size: int | None
    upload_time: datetime | None
    lock: str
    path: Path | None

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel."""
        return self.filename.endswith(".whl")


@dataclass(frozen=True)
class Locked:
    """The packages in lock files that apply to the target.

    Attributes:
        requirements: One for each package, in the order of the locks.
        files: The wheels and sdists among the packages.
        names: The lock files, as the user names them.
    """

    requirements: tuple[UserRequirement, ...] = ()
    files: tuple[LockedFile, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """The paths of the files on this machine, for ``ResolveOptions.locked_files``."""
        return tuple(str(one.path) for one in self.files if one.path is not None)

    def check(
        self,
        options: ResolveOptions,
        asked: Sequence[UserRequirement],
        environment: TargetEnvironment,
        index: Index,
    ) -> None:
        """Check that the locked files are the signed ones, and fit the options and requirements.

        Args:
            options: How to choose.
            asked: All requirements of the run, also those from other sources.
            environment: The target.
            index: The verified index. It is only asked for files that are neither installed already
                nor on this machine.

        Raises:
            RequirementError: The command line forbids a locked file.
            ResolutionError: Another requirement, or ``--only-final``, excludes a locked version.
            UntrustedError: No trusted repository knows a locked file.
            VerificationError: A file was signed with another hash or size than the lock says.
        """
        markers = MarkerRules(environment)
        applicable = [one for one in asked if one.link is None and markers.apply(one.marker)]
        anew = options.ignore_installed or options.force_reinstall or options.upgrade
        needed = [file for file in self.files if anew or not _is_installed(file, environment)]
        for file in self.files:
            _check_version(file, options, applicable)
        for file in needed:
            _check_allowed(file, options)
        signed = [file for file in needed if file.path is None]
        if signed:
            index.prefetch_pages(file.project for file in signed)
        for file in signed:
            _check_signed(file, index)


def is_lock_file(name: str) -> bool:
    """Whether a requirements file of that name, or at that address, is a lock file."""
    return is_valid_pylock_path(Path(urlsplit(name).path if _URL.match(name) else name))


def read_locks(
    names: Sequence[str], environment: TargetEnvironment, read_url: ReadUrl | None = None
) -> Locked:
    """Read lock files, and select the packages that the target needs.

    Args:
        names: Paths or URLs, as the user names them.
        environment: The target.
        read_url: Fetches a lock file, up to a limit of size; None refuses addresses.

    Raises:
        RequirementError: A lock cannot be read, is not valid, is not for the target, or names
            something that cannot be verified.
        TransportError: A lock at an address could not be fetched.
    """
    requirements: list[UserRequirement] = []
    files: dict[NormalizedName, LockedFile] = {}
    for name in names:
        for package, source in _select(name, environment, read_url):
            try:
                if isinstance(source, PackageWheel | PackageSdist):
                    file = _locked_file(package, source, name)
                    _add(file, files)
                    requirements.append(_pinned(file))
                else:
                    requirements.append(_direct(package, source, name))
            except ValueError as error:  # an address that is not valid
                raise RequirementError(
                    f"Invalid pylock file {name!r}: {package.name}: {_reason_of(error)}"
                ) from None
    return Locked(tuple(requirements), tuple(files.values()), tuple(names))


def _add(file: LockedFile, files: dict[NormalizedName, LockedFile]) -> None:
    before = files.setdefault(file.project, file)
    if before is not file:
        raise RequirementError(
            f"Multiple locked links provided for {file.project}: {before.filename} (from "
            f"{before.lock}) and {file.filename} (from {file.lock})"
        )


def _select(
    name: str, environment: TargetEnvironment, read_url: ReadUrl | None
) -> Iterator[tuple[Package, _Source]]:
    text = _text(name, read_url)
    # The parsers may raise anything on malformed input: then the lock is not valid.
    try:
        lock = Pylock.from_dict(parse_toml(text))
    except Exception as error:
        raise RequirementError(f"Invalid pylock file {name!r}: {_reason_of(error)}") from None
    try:
        yield from list(
            lock.select(
                environment=cast("Environment", dict(environment.markers)),
                tags=environment.tags,
            )
        )
    except Exception as error:
        raise RequirementError(
            f"Cannot select requirements from pylock file {name!r}: {_reason_of(error)}"  # noqa: S608 - no SQL
        ) from None


def _reason_of(error: Exception) -> str:
    return f"{str(error) or type(error).__name__:.500}"


def _text(name: str, read_url: ReadUrl | None) -> str:
    wrong = f"Error reading pylock file {name!r}"
    most = _MAX_REMOTE_BYTES if _is_remote(name) else _MAX_LOCK_BYTES
    if _is_remote(name):
        if read_url is None:
            raise RequirementError(f"{wrong}: it is not on this machine")
        data = read_url(name)
    else:
        try:
            with _path(name).open("rb") as stream:
                data = stream.read(most + 1)
        except (OSError, ValueError) as error:
            raise RequirementError(f"{wrong}: {error}") from None
    if len(data) > most:
        larger = f"it is larger than {most} bytes"
        raise RequirementError(
            f"{wrong}: {larger}, the most that a server may send"
            if _is_remote(name)
            else f"{wrong}: {larger}"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequirementError(f"{wrong}: {error}") from None


def _is_remote(name: str) -> bool:
    return bool(_URL.match(name)) and not name.lower().startswith("file:")


def _path(name: str) -> Path:
    return url_to_path(name) if _URL.match(name) else Path(name)


def _url_of(lock: str, path: str | None, url: str | None) -> str:
    """The URL of a file or folder in a lock; its path takes precedence over its address.

    Raises:
        RequirementError: A lock from a server names something on this machine, or a path there
            leads to another server.
    """
    if path is None:
        result = url or ""
    elif _is_remote(lock):
        result = urljoin(lock, path)
        base, target = urlsplit(lock), urlsplit(result)
        # A server that sends a lock must not be able to choose files of this machine: they are
        # installed without a signature.
        if os.path.isabs(path) or (base.scheme, base.netloc) != (target.scheme, target.netloc):  # noqa: PTH117 - any text
            raise RequirementError(
                f"Path {path!r} in pylock file obtained from a URL resolves outside its location: "
                f"{lock!r}"
            )
        return result
    else:
        return path_to_url(os.path.join(_path(lock).parent, path))  # noqa: PTH118 - any text
    if _is_remote(lock) and result.lower().startswith("file:"):
        raise RequirementError(
            f"Address {result!r} in pylock file obtained from a URL names a file on this machine: "
            f"{lock!r}"
        )
    return result


def _locked_file(package: Package, source: PackageWheel | PackageSdist, lock: str) -> LockedFile:
    filename = source.filename
    if isinstance(source, PackageWheel):
        version = parse_wheel_filename(filename)[1]
    else:
        version = parse_sdist_filename(filename)[1]
    url = _url_of(lock, source.path, source.url)
    path = url_to_path(url) if url.lower().startswith("file:") else None
    if path is not None and not path.is_file():
        raise RequirementError(
            f"Could not install locked package {package.name!r} from {lock!r}: no such file: {path}"
        )
    if path is not None and path.name != filename:
        raise RequirementError(
            f"Could not install locked package {package.name!r} from {lock!r}: the lock calls the "
            f"file {path} by another name, {filename}"
        )
    return LockedFile(
        project=package.name,
        version=package.version or version,
        filename=filename,
        hashes=_lower(source.hashes),
        size=source.size,
        upload_time=_in_utc(source.upload_time),
        lock=lock,
        path=path,
    )


def _lower(hashes: Mapping[str, str]) -> dict[str, str]:
    return {kind.lower(): digest.lower() for kind, digest in hashes.items()}


def _in_utc(moment: datetime | None) -> datetime | None:
    """A time without a zone, which TOML allows, is in UTC, as PEP 751 requires of all times."""
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=timezone.utc)


def _pinned(file: LockedFile) -> UserRequirement:
    hashes = _strongest(file.project, file.hashes, file.lock)
    return parse_requirement(f"{file.project}=={file.version}", file.lock, hashes)


def _direct(
    package: Package, source: PackageVcs | PackageDirectory | PackageArchive, lock: str
) -> UserRequirement:
    """The requirement for a package that does not come from an index.

    Raises:
        RequirementError: It comes from a lock on a server, so that nothing would verify it; or it
            has no strong hash.
    """
    if _is_remote(lock):
        raise RequirementError(
            f"Could not install locked package {package.name!r} from {lock!r}: no repository signs "
            "it",
            meaning="Whoever sends a lock, or alters it on its way, could name what they like.",
            remedy="Download the lock, look at it, and name the copy.",
        )
    if isinstance(source, PackageVcs):
        url = f"{source.type}+{_url_of(lock, source.path, source.url)}@{source.commit_id}"
        return parse_requirement(f"{package.name} @ {url}", lock)
    if isinstance(source, PackageDirectory):
        folder = source.path if not source.subdirectory else f"{source.path}/{source.subdirectory}"
        text = f"{package.name} @ {_url_of(lock, folder, None)}"
        return parse_editable(text, lock) if source.editable else parse_requirement(text, lock)
    url = _url_of(lock, source.path, source.url)
    if source.subdirectory:
        url += f"{'&' if '#' in url else '#'}subdirectory={quote(source.subdirectory)}"
    hashes = _strongest(package.name, _lower(source.hashes), lock)
    return parse_requirement(f"{package.name} @ {url}", lock, hashes)


def _strongest(project: NormalizedName, hashes: Mapping[str, str], lock: str) -> list[str]:
    """The hash to require: sha256, which signed pages contain, or else another strong one.

    Raises:
        RequirementError: There is no strong hash.
    """
    for kind in STRONG_HASHES:
        if kind in hashes:
            return [f"{kind}:{hashes[kind]}"]
    raise RequirementError(
        f"Could not install locked package {project!r} from {lock!r}: it has no "
        f"{' or '.join(STRONG_HASHES)} hash"
    )


def _is_installed(file: LockedFile, environment: TargetEnvironment) -> bool:
    installed = environment.installed.get(file.project)
    return installed is not None and installed.version == file.version


def _check_version(
    file: LockedFile, options: ResolveOptions, asked: Sequence[UserRequirement]
) -> None:
    if file.version.is_prerelease and options.releases.prereleases(file.project) is False:
        raise ResolutionError(
            f"A pre-release version {file.version} is specified in a provided lock file for "
            f"{file.project} but only final versions are allowed"
        )
    for one in asked:
        if one.project != file.project or one.requirement is None:
            continue
        if not one.requirement.specifier.contains(file.version, prereleases=True):
            raise ResolutionError(
                f"The requirement {one.text} is not compatible with version {file.version} "
                "specified in a provided lock file"
            )


def _check_allowed(file: LockedFile, options: ResolveOptions) -> None:
    """Check that the command line does not forbid a locked file; no other file replaces it."""
    why = ""
    limit = options.uploaded_prior_to
    if file.is_wheel and not options.formats.allows_wheel(file.project):
        why = f"No binaries permitted for {file.project}"
    elif not file.is_wheel and not options.formats.allows_sdist(file.project):
        why = f"No sources permitted for {file.project}"
    elif limit is not None and file.path is None and file.upload_time is None:
        why = f"{file.lock} does not provide upload-time metadata"
    elif limit is not None and file.upload_time is not None and file.upload_time >= limit:
        why = f"Upload time {file.upload_time} not prior to {limit.isoformat()}"
    elif options.no_index and file.path is None:
        why = "the repository that signs it is not asked: see --no-index and --index-url"
    if why:
        raise RequirementError(
            f"Could not install locked package {file.project!r} from {file.lock!r}: {why}"
        )


def _check_signed(file: LockedFile, index: Index) -> None:
    page = index.page(file.project)
    signed = None if page is None else page.file(file.filename)
    if signed is None:
        known = "No trusted repository" if page is None else index.origin(file.project)
        verb = "knows" if page is None else "knows no"
        raise UntrustedError(
            f"{known} {verb} {file.filename}, which {file.lock} names.",
            meaning="No trusted repository has signed it, so nothing could prove what it is.",
            remedy="Lock again, or trust the repository that signs it.",
        )
    signed_sha256, locked_sha256 = str(signed.sha256), file.hashes.get("sha256")
    # Where the page has no sha256 yet, the hash is compared after the download: see ``HashRules``.
    if locked_sha256 is not None and signed_sha256 and locked_sha256 != signed_sha256:
        raise _disagreement(file, index, f"sha256 {locked_sha256}", f"sha256 {signed_sha256}")
    if None not in (file.size, signed.size) and file.size != signed.size:
        raise _disagreement(file, index, f"{file.size} bytes", f"{signed.size} bytes")


def _disagreement(file: LockedFile, index: Index, locked: str, signed: str) -> SecurepipError:
    return VerificationError(
        f"{file.lock} and the signatures of {index.origin(file.project)} disagree about "
        f"{file.filename}: locked is {locked}, signed is {signed}.",
        meaning="The lock was changed, or was made where another file of that name was served.",
        remedy="Nothing was installed. Find out where the lock comes from. If it comes from where "
        "it should, lock again.",
    )
