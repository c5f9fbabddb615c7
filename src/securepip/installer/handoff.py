"""Hands verified wheels to pip, and nothing else.

Rule: pip decides nothing. It reads private copies, which are hashed while they are made, in a
folder of mode 0700. It is given the version and the digest of each wheel, and installs every one,
whatever is installed already, without looking at dependencies. It has no index and no
configuration. Afterwards what it has installed is compared with the plan.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.dirs import chosen_data, full_folders
from securepip.errors import FormatError, InstallationError, VerificationError
from securepip.formats.wheel import check_apart
from securepip.index.types import VerifiedFile
from securepip.installer.progress import InstalledFile, Progress
from securepip.installer.shares import compare, divide
from securepip.installer.target.byte_code_cache import ByteCodeCache
from securepip.installer.target.compile import Compiler, Scheme
from securepip.installer.wheels import CheckedWheel, Copies, HandOff
from securepip.interpreter.process import Pip
from securepip.resolver.plan import PlannedFile

_log = logging.getLogger(__name__)
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
    # pip installs exactly what was chosen. Neither an installed distribution nor a `Requires-Dist`,
    # which may have a URL, adds or removes something.
    "--no-deps",
    "--force-reinstall",
    "--ignore-requires-python",
)
# pip has a traceback for a folder of --target, --prefix or --root that it cannot make.
_OF_THE_SYSTEM = re.compile(
    r"Exception:\nTraceback \(most recent call last\):\n.*\n\w+Error: \[Errno \d+\] ([^\n]+)",
    re.DOTALL,
)
_MARGIN = "Defaulting to user installation"


@dataclass(frozen=True)
class InstallOptions:
    """pip's options for the installation.

    Attributes:
        user: ``--user``.
        target: ``--target``.
        prefix: ``--prefix``.
        root: ``--root``.
        compile: Whether to byte-compile.
        pip_arguments: Other options for pip, such as ``--break-system-packages``.
    """

    user: bool = False
    target: str | None = None
    prefix: str | None = None
    root: str | None = None
    compile: bool = True
    pip_arguments: tuple[str, ...] = ()

    @property
    def location(self) -> dict[str, str]:
        """The options that say where to install, by name."""
        options = {"target": self.target, "prefix": self.prefix, "root": self.root}
        chosen = {name: value for name, value in options.items() if value is not None}
        return {**chosen, "user": "1"} if self.user else chosen

    def arguments(self) -> list[str]:
        """All options but ``compile``, as arguments for pip."""
        location = [f"--{name}={value}" for name, value in self.location.items() if name != "user"]
        return [*location, *(["--user"] if self.user else []), *self.pip_arguments]


@dataclass(frozen=True)
class InstallReport:
    """The result of an installation.

    Attributes:
        installed: What was installed, in the order of the plan. With ``--target`` pip leaves out,
            with a warning, what is in the folder already.
        warnings: pip's standard error, for the user; perhaps "".
        replaced: pip's lines about what it uninstalls, and about where it installs.
    """

    installed: tuple[InstalledFile, ...]
    warnings: str
    replaced: tuple[str, ...] = ()


class HandOver:
    """An installation that begins before all of its wheels are fetched.

    Each wheel is copied, checked and compiled when it has been fetched. pip installs once all have
    been. Copies that are not installed are deleted with the private folder.

    Args:
        python: The target's interpreter. It needs no pip.
        options: pip's options.
        pip: A process that was started before for this interpreter. It cannot be used again.
        byte_code: Keeps byte code for the next time; None to keep none.

    Raises:
        InstallationError: The interpreter cannot be run.
    """

    def __init__(
        self,
        python: Path,
        options: InstallOptions | None = None,
        pip: Pip | None = None,
        byte_code: ByteCodeCache | None = None,
    ) -> None:
        self._options = options or InstallOptions()
        self._opened = ExitStack()
        with ExitStack() as opening:
            # mode 0700
            temporary = opening.enter_context(tempfile.TemporaryDirectory(prefix="securepip-"))
            self._folder = Path(temporary)
            code = self._folder / "code"  # not beside the wheels: pip searches their folder
            code.mkdir()
            self._pip = opening.enter_context(pip or Pip(python))
            self._compiler = opening.enter_context(
                Compiler(python, self._pip, self._options.location, code, byte_code)
            )
            self._copies = opening.enter_context(
                Copies(self._folder, self._compiler.start if self._options.compile else None)
            )
            self._opened = opening.pop_all()

    def expect(self, plan: Iterable[PlannedFile]) -> None:
        """As ``Copies.expect``."""
        self._copies.expect(plan)

    def take(self, file: VerifiedFile) -> None:
        """As ``Copies.take``."""
        self._copies.take(file)

    def install(self, files: Sequence[HandOff]) -> InstallReport:
        """Install these wheels with securepip's own pip. The end state is that of ``pip install``.

        Args:
            files: All that is installed, in that order.

        Raises:
            VerificationError: A wheel is not what was verified and resolved; nothing is installed.
            FormatError: A wheel is not a readable wheel; nothing is installed.
            InstallationError: pip failed, or did not install what was planned.
        """
        options, folder, compiler = self._options, self._folder, self._compiler
        wheels = self._copies.all(files)
        schemes = compiler.schemes()
        _check_apart(wheels, schemes)
        writes = compare(wheels, schemes[0])
        # With --target pip installs elsewhere, and moves everything there in the end.
        in_place = options.target is None
        shares = divide(writes, (os.cpu_count() or 1) if in_place else 1)
        progress = Progress(
            wheels,
            schemes,
            compiler if options.compile else None,
            writes.unmixed if in_place else (),
            shares,
        )
        arguments = [*_PIP, *options.arguments(), f"--find-links={folder}"]
        order = [item.planned.project for item in files]
        named = _write_requirements(files, folder, shares)
        code, output, errors = self._pip.run(arguments, order, named, while_running=progress.look)
        # Also if pip has failed: as with pip alone, what it has installed so far stays.
        progress.complete()
        if code:
            raise _failed(code, errors.strip().removeprefix("ERROR: "))
        if in_place:
            progress.check()
        return InstallReport(progress.installed(), errors, _replaced(output))

    def __enter__(self) -> HandOver:
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()


def _failed(code: int, said: str) -> InstallationError:
    """Make the error for a pip that failed, of what it wrote on standard error."""
    full = full_folders()
    meaning = f"There is no room left in {', '.join(full)}." if full else ""
    crash = _OF_THE_SYSTEM.fullmatch(said)
    if crash is None:
        return InstallationError(said or f"pip failed with exit code {code}.", meaning=meaning)
    _log.debug("%s", said)
    return InstallationError(
        f"pip cannot install there: {crash[1]}",
        meaning=meaning,
        remedy="Look at the path and at who may write there, or name another folder.",
    )


def install(
    files: Sequence[HandOff],
    python: Path,
    options: InstallOptions | None = None,
    pip: Pip | None = None,
    byte_code: ByteCodeCache | None = None,
) -> InstallReport:
    """Install wheels that have all been fetched, as ``HandOver`` does.

    Raises:
        VerificationError, FormatError, InstallationError: As ``HandOver.install``.
    """
    with HandOver(python, options, pip, byte_code) as hand_over:
        return hand_over.install(files)


def _check_apart(wheels: Iterable[CheckedWheel], schemes: Sequence[Scheme]) -> None:
    """Check that no wheel writes into the folder of state, in any scheme that pip may use.

    Raises:
        VerificationError: One would. Nothing is installed.
    """
    for wheel in wheels:
        for scheme in schemes:
            try:
                check_apart(wheel.members, f"{wheel.name} {wheel.version}", scheme, chosen_data())
            except FormatError as error:
                raise VerificationError(
                    error.what,
                    meaning=f"{error.meaning} Nothing was installed.",
                    remedy=f"Tell those who publish {wheel.name}.",
                ) from None


def _replaced(output: str) -> tuple[str, ...]:
    """The lines of pip's output about what it uninstalls, and about where it installs."""
    lines = [line for line in output.splitlines() if line.startswith((" ", _MARGIN))]
    # If several processes install, each prints where.
    return tuple(line for at, line in enumerate(lines) if line[0] == " " or line not in lines[:at])


def _write_requirements(
    files: Sequence[HandOff], folder: Path, shares: Sequence[Collection[NormalizedName]]
) -> list[list[str]]:
    """Write a requirements file for each share, and return the arguments that name it."""
    arguments = []
    for at, share in enumerate(shares):
        requirements = folder / f"requirements-{at}.txt"
        lines = (f"{_line(item)}\n" for item in files if item.planned.project in share)
        requirements.write_text("".join(lines), encoding="utf-8")
        arguments.append([f"--requirement={requirements}"])
    return arguments


def _line(item: HandOff) -> str:
    planned = item.planned
    return f"{planned.project}=={planned.version} --hash=sha256:{item.wheel.sha256}"
