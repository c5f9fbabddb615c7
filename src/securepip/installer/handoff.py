"""The hand-off: verified wheels go to pip, and nothing else does.

Rule: pip reads private copies that were hashed while they were made, in a folder of mode 0700,
and is told the digest of each. It has no index, no network and no configuration; what it may
install is that folder. What it has installed afterwards is compared with the plan.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from securepip.errors import FormatError, InstallationError, VerificationError
from securepip.formats.core_metadata import parse_core_metadata, read_core_metadata
from securepip.formats.distribution import Kind, parse_distribution
from securepip.formats.layout import check_filename
from securepip.index.types import VerifiedFile
from securepip.installer.build import BuiltWheel, copy_verified
from securepip.installer.compile import (
    Compiler,
    Scheme,
    Source,
    add_to_record,
    installed_paths,
)
from securepip.installer.process import Pip
from securepip.resolver.plan import PlannedFile, SatisfiedRequirement

_PIP = (
    "install",
    "--isolated",
    "--no-input",
    "--disable-pip-version-check",
    "--quiet",
    "--no-cache-dir",
    "--no-index",
    "--require-hashes",
    "--only-binary=:all:",
    "--no-compile",
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
    wheel: VerifiedFile | BuiltWheel


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
        warnings: What pip had to say, for the user; perhaps "".
    """

    installed: tuple[InstalledFile, ...]
    warnings: str


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
            arguments = [*_PIP, *options.arguments()]
            arguments += _write_requirements(files, satisfied, folder)
            code, said = pip.run(arguments, while_running=progress.look)
            # Also when pip has failed: what it had installed by then stays, as with pip alone.
            progress.complete()
        if code:
            raise InstallationError(said.strip() or f"pip failed with exit code {code}.")
        if options.target is None:
            progress.check()
        return InstallReport(progress.installed(), said)


@dataclass(frozen=True)
class _Wheel:
    """A private copy of a wheel, checked, and what it is about to become."""

    name: str
    version: str
    dist_info: str
    sources: tuple[Source, ...]


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
        """Compile the rest, and record the byte code."""
        self.look()
        if self._compiler is None:
            return
        paths = {wheel: self._paths(wheel) for wheel in self._found}
        compiled = self._compiler.finish([path for each in paths.values() for path in each])
        for wheel, place in self._found.items():
            byte_code = {compiled[path] for path, _ in paths[wheel] if path in compiled}
            if byte_code:
                add_to_record(place.dist_info(wheel) / "RECORD", place.library, byte_code)

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
    signed = wheel.sdist if isinstance(wheel, BuiltWheel) else wheel
    meant = planned.signed
    if meant is None or (signed.filename, signed.sha256) != (meant.filename, meant.sha256):
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


def _read(copy: Path, item: HandOff) -> _Wheel:
    planned, data = item.planned, read_core_metadata(copy)
    if isinstance(item.wheel, BuiltWheel):
        _check_built(data, planned)
    elif data != planned.core_metadata:
        # pip #13983: what was resolved with one METADATA must not be installed with another.
        raise VerificationError(
            f"The METADATA in {copy.name} is not the one that its project publishes beside it.",
            meaning="The signed files of one release contradict each other. Nothing was installed.",
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
    metadata_file = next(
        member.filename
        for member in members
        if member.filename.endswith(".dist-info/METADATA") and member.filename.count("/") == 1
    )
    sources = (
        Source(member.filename, member.file_size)
        for member in members
        if member.filename.endswith(".py")
    )
    return _Wheel(
        metadata.name,
        str(metadata.version),
        metadata_file.partition("/")[0],
        tuple(dict.fromkeys(sources)),
    )


def _check_built(data: bytes, planned: PlannedFile) -> None:
    """A build writes its own METADATA, but it must ask for what was resolved."""
    built, resolved = parse_core_metadata(data), parse_core_metadata(planned.core_metadata)
    if set(built.requires_dist) != set(resolved.requires_dist):
        raise InstallationError(
            f"{planned.file.filename} builds a wheel that needs something else than it says.",
            meaning="Its requirements depend on when or where it is built.",
        )


def _write_requirements(
    files: Sequence[HandOff], satisfied: Sequence[SatisfiedRequirement], folder: Path
) -> list[str]:
    """What pip is to install: what the user named as requirements, all else as constraints.

    So pip marks REQUESTED only what was named. A requirement that is satisfied stands among
    them, because something that it needs may be what is missing.
    """
    named = [_line(item) for item in files if item.planned.requested]
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
