"""The hand-off: verified wheels go to pip, and nothing else does.

Rule: pip reads private copies that were hashed while they were made, in a folder of mode 0700,
and is told the digest of each. It has no index, no network and no configuration; what it may
install is that folder. What it has installed afterwards is compared with the plan.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import FormatError, InstallationError, VerificationError
from securepip.formats.core_metadata import parse_core_metadata, read_core_metadata
from securepip.formats.distribution import Kind, parse_distribution
from securepip.formats.layout import check_filename
from securepip.index.types import UserDirectory, UserFile, VerifiedFile
from securepip.installer.build import BuiltWheel
from securepip.installer.compile import Compiler, Scheme, Source, installed_paths
from securepip.installer.direct_url import direct_url_of
from securepip.installer.process import Pip
from securepip.installer.record import amend_record
from securepip.installer.unpack import copy_verified
from securepip.resolver.plan import PlannedFile, SatisfiedRequirement

_PIP = (
    "install",
    "--isolated",
    "--no-input",
    "--disable-pip-version-check",
    "--progress-bar=off",
    "--no-cache-dir",
    "--no-index",
    "--require-hashes",
    "--only-binary=:all:",
    "--no-compile",
    # Whoever chose has looked at it, or was told not to.
    "--ignore-requires-python",
    # A Requires-Dist may hold a URL, which pip would fetch before it refuses it for want of a
    # hash. There is no way out of here.
    "--proxy=http://127.0.0.1:9",
    "--retries=0",
)


@dataclass(frozen=True)
class InstallOptions:
    """pip's options that a hand-off needs to know, and those it only passes on.

    Attributes:
        user: ``--user``.
        target: ``--target``.
        prefix: ``--prefix``.
        root: ``--root``.
        compile: Whether to byte-compile.
        no_deps: ``--no-deps``.
        pip_arguments: Other options, as pip takes them: ``--break-system-packages``.
    """

    user: bool = False
    target: str | None = None
    prefix: str | None = None
    root: str | None = None
    compile: bool = True
    no_deps: bool = False
    pip_arguments: tuple[str, ...] = ()

    @property
    def location(self) -> dict[str, str]:
        """The options that say where to install, by name."""
        options = {"target": self.target, "prefix": self.prefix, "root": self.root}
        chosen = {name: value for name, value in options.items() if value is not None}
        return {**chosen, "user": "1"} if self.user else chosen

    def arguments(self) -> list[str]:
        """All of them, as pip takes them."""
        location = [f"--{name}={value}" for name, value in self.location.items() if name != "user"]
        flags = [(self.user, "--user"), (self.no_deps, "--no-deps")]
        return [*location, *(flag for asked, flag in flags if asked), *self.pip_arguments]


@dataclass(frozen=True)
class HandOff:
    """One distribution to install: what was planned, and the verified or built wheel."""

    planned: PlannedFile
    wheel: VerifiedFile | BuiltWheel | UserFile


@dataclass(frozen=True)
class InstalledFile:
    """One distribution that pip has installed.

    Attributes:
        name: As its metadata writes it.
        version: As its metadata writes it.
        dist_info: Its folder in the environment.
    """

    name: str
    version: str
    dist_info: Path


@dataclass(frozen=True)
class InstallReport:
    """What a hand-off has done.

    Attributes:
        installed: In the order of the plan. With ``--target`` pip leaves out, with a warning,
            what is there already.
        warnings: What pip had to say on standard error, for the user; perhaps "".
        replaced: What pip says of what it uninstalls, and of where it installs, line by line.
    """

    installed: tuple[InstalledFile, ...]
    warnings: str
    replaced: tuple[str, ...] = ()


def install(
    files: Sequence[HandOff],
    python: Path,
    satisfied: Sequence[SatisfiedRequirement] = (),
    options: InstallOptions | None = None,
    pip: Pip | None = None,
) -> InstallReport:
    """Install verified wheels with our own pip, and leave what pip leaves.

    Args:
        files: All that is to be installed.
        python: The target's interpreter. It needs no pip.
        satisfied: What is installed already, of what was asked for.
        options: pip's options.
        pip: One that was started before, for this interpreter. Used up.

    Raises:
        VerificationError: A wheel is not what was verified and resolved; nothing is installed.
        FormatError: A wheel is not a readable wheel; nothing is installed.
        InstallationError: pip failed, or did not install what was planned.
    """
    options = options or InstallOptions()
    with tempfile.TemporaryDirectory(prefix="securepip-") as temporary:  # mode 0700
        folder = Path(temporary)
        size = sum(item.wheel.size for item in files) if options.compile else 0
        with pip or Pip(python) as pip, Compiler(python, options.location, size) as compiler:
            wheels = _copy_all(files, folder)
            schemes = compiler.schemes()
            progress = _Progress(wheels, schemes, compiler if options.compile else None)
            exactly = _must_be_exact(files, satisfied, wheels, progress, options)
            arguments = [*_PIP, *(_EXACTLY if exactly else ()), *options.arguments()]
            arguments += _write_requirements(files, () if exactly else satisfied, folder, exactly)
            code, said, errors = pip.run(arguments, while_running=progress.look)
            # Also when pip has failed: what it had installed by then stays, as with pip alone.
            progress.complete()
        if code:
            errors = errors.strip().removeprefix("ERROR: ")
            raise InstallationError(errors or f"pip failed with exit code {code}.")
        if options.target is None:
            progress.check()
        return InstallReport(progress.installed(), _not_said_yet(errors), _replaced(said))


_EXACTLY = ("--no-deps", "--force-reinstall")
_MARGIN = "Defaulting to user installation"


def _must_be_exact(
    files: Sequence[HandOff],
    satisfied: Sequence[SatisfiedRequirement],
    wheels: Sequence[_Wheel],
    progress: _Progress,
    options: InstallOptions,
) -> bool:
    """Whether pip must install all it is given, and look at nothing else.

    Else it resolves again: it takes a version that is installed for good, where a folder of the
    user's is installed anew each time; it refuses a dependency that names an address, although
    the user's file is there for it; and it installs nothing that nothing named needs. It is not
    the rule because it costs pip's order, in which dependencies come first, and its look at
    conflicts.
    """
    named = any(item.planned.requested for item in files)
    if not named and all(each.required_by for each in satisfied):
        return True
    known = {item.planned.project for item in files} | {each.project for each in satisfied}
    if any(wheel.from_addresses & known for wheel in wheels):
        return True
    whole = {"--force-reinstall", "--ignore-installed"} & set(options.pip_arguments)
    return not whole and options.target is None and progress.replaces_same_version


def _not_said_yet(errors: str) -> str:
    """What pip warns of, but for what was said when the distributions were chosen."""
    lines = errors.splitlines(keepends=True)
    return "".join(line for line in lines if "does not provide the extra" not in line)


def _replaced(said: str) -> tuple[str, ...]:
    """What pip says between its plan and its success: what it uninstalls."""
    lines = said.splitlines()
    return tuple(line for line in lines if line.startswith((" ", _MARGIN)))


@dataclass(frozen=True)
class _Wheel:
    """A private copy of a wheel, checked, and what it is about to become."""

    name: str
    version: str
    dist_info: str
    sources: tuple[Source, ...]
    requested: bool
    direct_url: bytes | None
    from_addresses: frozenset[NormalizedName]


@dataclass(frozen=True)
class _Place:
    """Where a wheel may be installed: the scheme, and its library folder."""

    scheme: Scheme
    library: str

    def dist_info(self, wheel: _Wheel) -> Path:
        return Path(self.library, wheel.dist_info)


class _Progress:
    """Watches which wheels pip has installed, and has their files compiled meanwhile.

    pip writes INSTALLER once all files of a wheel are there. One that is not the one from before
    is the sign.
    """

    def __init__(
        self, wheels: Sequence[_Wheel], schemes: Sequence[Scheme], compiler: Compiler | None
    ) -> None:
        self._wheels = wheels
        self._compiler = compiler
        self._found: dict[_Wheel, _Place] = {}
        libraries = {scheme[key]: scheme for scheme in schemes for key in ("purelib", "platlib")}
        places = [_Place(scheme, library) for library, scheme in libraries.items()]
        # Paths as text: they are looked at some ten thousand times.
        self._waiting = {
            path: (wheel, place, _state(path))
            for wheel in wheels
            for place in places
            for path in (str(place.dist_info(wheel) / "INSTALLER"),)
        }

    @property
    def replaces_same_version(self) -> bool:
        """Whether one of the versions was there before."""
        return any(before for _, _, before in self._waiting.values())

    def look(self) -> None:
        """Find what has been installed since the last look, and start to compile it."""
        found = [
            path
            for path, (_, _, before) in self._waiting.items()
            if (state := _state(path)) and state != before
        ]
        for path in found:
            wheel, place, _ = self._waiting.pop(path)
            self._found[wheel] = place
            if self._compiler:
                self._compiler.submit(self._paths(wheel))

    def complete(self) -> None:
        """Compile the rest, and record the byte code and where a distribution comes from."""
        self.look()
        paths = {wheel: self._paths(wheel) for wheel in self._found}
        every = [path for each in paths.values() for path in each]
        compiled = self._compiler.finish(every) if self._compiler else {}
        for wheel, place in self._found.items():
            amend_record(
                place.dist_info(wheel),
                place.library,
                byte_code={compiled[path] for path, _ in paths[wheel] if path in compiled},
                direct_url=wheel.direct_url,
                requested=wheel.requested,
            )

    def check(self) -> None:
        """Compare with the plan.

        Raises:
            InstallationError: Something planned is not there.
        """
        missing = [f"{w.name}-{w.version}" for w in self._wheels if w not in self._found]
        if missing:
            raise InstallationError(
                f"pip ended without an error, but did not install {' '.join(missing)}.",
                meaning="It saw another environment than the one that the plan was made for.",
            )

    def installed(self) -> tuple[InstalledFile, ...]:
        """What is there now."""
        return tuple(
            InstalledFile(wheel.name, wheel.version, self._found[wheel].dist_info(wheel))
            for wheel in self._wheels
            if wheel in self._found
        )

    def _paths(self, wheel: _Wheel) -> list[tuple[str, int]]:
        place = self._found[wheel]
        return installed_paths(wheel.sources, place.library, place.scheme)


def _state(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - see above
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _copy_all(files: Sequence[HandOff], folder: Path) -> list[_Wheel]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda item: _copy(item, folder), files))


def _copy(item: HandOff, folder: Path) -> _Wheel:
    """Make the private copy of a wheel, and check it.

    Raises:
        VerificationError: It is not what was verified, or not what was resolved.
        FormatError: It is not a readable wheel.
    """
    planned, wheel = item.planned, item.wheel
    if not _is_planned(wheel.source if isinstance(wheel, BuiltWheel) else wheel, planned):
        raise VerificationError(f"{wheel.filename} is not the file that was planned.")
    filename = check_filename(wheel.filename)
    name = parse_distribution(filename, planned.project)
    if name is None or name.kind is not Kind.WHEEL or name.version != planned.version:
        raise VerificationError(
            f"{filename} is not a wheel of {planned.project} {planned.version}."
        )
    copy = folder / filename
    copy_verified(wheel.path, copy, filename, wheel.sha256, wheel.size)
    return _read(copy, item)


def _is_planned(source: VerifiedFile | UserFile | UserDirectory, planned: PlannedFile) -> bool:
    if not isinstance(source, VerifiedFile):
        return source == planned.file
    meant = planned.signed
    return meant is not None and (source.filename, source.sha256) == (
        meant.filename,
        meant.sha256,
    )


def _read(copy: Path, item: HandOff) -> _Wheel:
    planned, data = item.planned, read_core_metadata(copy)
    if isinstance(item.wheel, BuiltWheel):
        _check_built(data, planned)
    elif data != planned.core_metadata:
        # pip #13983: what was resolved with one METADATA must not be installed with another.
        raise VerificationError(
            f"The METADATA in {copy.name} is not the one that its project publishes beside it.",
            meaning="The files of one release contradict each other. Nothing was installed.",
            remedy=f"Tell those who run {planned.file.url}.",
        )
    metadata = parse_core_metadata(data)
    if (metadata.project, metadata.version) != (planned.project, planned.version):
        raise VerificationError(
            f"{copy.name} says inside that it is {metadata.name} {metadata.version}."
        )
    try:
        with zipfile.ZipFile(copy) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile as error:
        raise FormatError(f"{copy.name} is not a readable archive: {error}") from None
    dist_info = _dist_info([member.filename for member in members], copy.name)
    sources = (
        Source(member.filename, member.file_size)
        for member in members
        if member.filename.endswith(".py")
    )
    return _Wheel(
        metadata.name,
        str(metadata.version),
        dist_info,
        tuple(dict.fromkeys(sources)),
        planned.requested,
        direct_url_of(planned),
        frozenset(canonicalize_name(each.name) for each in metadata.requires_dist if each.url),
    )


def _dist_info(members: Iterable[str], wheel: str) -> str:
    """The ``.dist-info`` folder of a wheel: one, in one spelling.

    ``x.dist-info/./METADATA``, or the same by way of ``x.data/purelib``, is another member of the
    archive, but on the disk, and for pip, it is the file that was compared: it would replace it.

    Raises:
        VerificationError: There is another, or a file of it that goes by two names.
    """
    folders, seen = set(), set()
    for member in members:
        path = member.rstrip("/")
        first, _, rest = path.partition("/")
        scheme, _, inside = rest.partition("/")
        is_data = first.endswith(".data") and scheme in ("purelib", "platlib")
        normal = posixpath.normpath(inside if is_data else path)
        folder = normal.partition("/")[0]
        if not folder.lower().endswith(".dist-info"):
            continue
        if normal != path or (normal.lower() in seen and member == path):
            raise VerificationError(
                f"{wheel} holds {member!r}, which is not how a wheel writes a file of {folder}.",
                meaning="It would take the place of what was verified. Nothing was installed.",
            )
        folders.add(folder)
        seen.add(normal.lower())
    if len(folders) != 1:
        found = f"multiple .dist-info directories found: {', '.join(sorted(folders))}"
        raise VerificationError(
            f"{wheel}: {found if folders else '.dist-info directory not found'}"
        )
    return folders.pop()


def _check_built(data: bytes, planned: PlannedFile) -> None:
    """A build writes its own METADATA, but it must ask for what was resolved."""
    built, resolved = parse_core_metadata(data), parse_core_metadata(planned.core_metadata)
    if set(built.requires_dist) != set(resolved.requires_dist):
        raise InstallationError(
            f"{planned.file.filename} builds a wheel that needs something else than it says.",
            meaning="Its requirements depend on when or where it is built.",
        )


def _write_requirements(
    files: Sequence[HandOff],
    satisfied: Sequence[SatisfiedRequirement],
    folder: Path,
    exactly: bool,
) -> list[str]:
    """What pip is to install: what the user named as requirements, all else as constraints.

    So pip marks REQUESTED only what was named. A requirement that is satisfied stands among
    them, because something that it needs may be what is missing.
    """
    named = [_line(item) for item in files if exactly or item.planned.requested]
    named += [_satisfied_line(each) for each in satisfied if not each.required_by]
    pins = [_line(item, with_extras=False) for item in files]
    _write(folder / "named.txt", named)
    _write(folder / "pins.txt", pins)
    return [
        f"--find-links={folder}",
        f"--requirement={folder / 'named.txt'}",
        f"--constraint={folder / 'pins.txt'}",
    ]


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _line(item: HandOff, *, with_extras: bool = True) -> str:
    extras = _extras(item.planned.extras) if with_extras else ""
    pin = f"{item.planned.project}{extras}=={item.planned.version}"
    return f"{pin} --hash=sha256:{item.wheel.sha256}"


def _satisfied_line(satisfied: SatisfiedRequirement) -> str:
    extras = Requirement(satisfied.requirement).extras
    return f"{satisfied.project}{_extras(extras)}=={satisfied.version}"


def _extras(extras: Iterable[str]) -> str:
    listed = ",".join(sorted(extras))
    return f"[{listed}]" if listed else ""
