"""The hand-off: verified wheels go to pip, and nothing else does.

Rule: pip decides nothing. It reads private copies that were hashed while they were made, in a
folder of mode 0700; it is told the version and the digest of each, to install every one of them
whatever is there already, and to look at no dependency. It has no index and no configuration. What
it has installed afterwards is compared with the plan.
"""

from __future__ import annotations

import os
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
    # What is installed is what was chosen: nothing that pip finds in the environment, or reads in
    # a Requires-Dist (which may hold an address), adds to it or takes away from it.
    "--no-deps",
    "--force-reinstall",
    "--ignore-requires-python",
)
_MARGIN = "Defaulting to user installation"


@dataclass(frozen=True)
class InstallOptions:
    """pip's options that a hand-off needs to know, and those it only passes on.

    Attributes:
        user: ``--user``.
        target: ``--target``.
        prefix: ``--prefix``.
        root: ``--root``.
        compile: Whether to byte-compile.
        pip_arguments: Other options, as pip takes them: ``--break-system-packages``.
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
        """All of them, as pip takes them."""
        location = [f"--{name}={value}" for name, value in self.location.items() if name != "user"]
        return [*location, *(["--user"] if self.user else []), *self.pip_arguments]


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


class HandOver:
    """An installation that begins before all of its wheels are there.

    Each wheel is copied, checked and compiled when it comes; pip installs once all are there. What
    came and is not installed in the end goes with the private folder.

    Args:
        python: The target's interpreter. It needs no pip.
        options: pip's options.
        pip: One that was started before, for this interpreter. Used up.
        byte_code: Where byte code is kept for the next time; None to keep none.

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
            code = self._folder / "code"  # not beside the wheels, which pip looks through
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
        """What is to be installed, as far as it is known."""
        self._copies.expect(plan)

    def take(self, file: VerifiedFile) -> None:
        """Begin with a wheel that is there. From any thread; what fails is raised by ``install``.

        What was not expected, and what is no wheel, is passed over.
        """
        self._copies.take(file)

    def install(self, files: Sequence[HandOff]) -> InstallReport:
        """Install these wheels with our own pip, and leave what pip leaves.

        Args:
            files: All that is to be installed, in that order.

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
        # Into --target pip moves all at once, folder by folder, when it is all there.
        at_once = options.target is None
        shares = divide(writes, (os.cpu_count() or 1) if at_once else 1)
        progress = Progress(
            wheels,
            schemes,
            compiler if options.compile else None,
            writes.unmixed if at_once else (),
            shares,
        )
        arguments = [*_PIP, *options.arguments(), f"--find-links={folder}"]
        order = [item.planned.project for item in files]
        told = _write_requirements(files, folder, shares)
        code, said, errors = self._pip.run(arguments, order, told, while_running=progress.look)
        # Also when pip has failed: what it had installed by then stays, as with pip alone.
        progress.complete()
        if code:
            errors = errors.strip().removeprefix("ERROR: ")
            full = full_folders()
            raise InstallationError(
                errors or f"pip failed with exit code {code}.",
                meaning=f"There is no room left in {', '.join(full)}." if full else "",
            )
        if options.target is None:
            progress.check()
        return InstallReport(progress.installed(), errors, _replaced(said))

    def __enter__(self) -> HandOver:
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()


def install(
    files: Sequence[HandOff],
    python: Path,
    options: InstallOptions | None = None,
    pip: Pip | None = None,
    byte_code: ByteCodeCache | None = None,
) -> InstallReport:
    """Install wheels that are all there, as ``HandOver`` does.

    Raises:
        VerificationError, FormatError, InstallationError: As ``HandOver.install``.
    """
    with HandOver(python, options, pip, byte_code) as hand_over:
        return hand_over.install(files)


def _check_apart(wheels: Iterable[CheckedWheel], schemes: Sequence[Scheme]) -> None:
    """Check that no wheel writes into the folder of trust, in any scheme that pip may use.

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


def _replaced(said: str) -> tuple[str, ...]:
    """What pip says between its plan and its success: what it uninstalls."""
    lines = [line for line in said.splitlines() if line.startswith((" ", _MARGIN))]
    # Where several processes install, each says where.
    return tuple(line for at, line in enumerate(lines) if line[0] == " " or line not in lines[:at])


def _write_requirements(
    files: Sequence[HandOff], folder: Path, shares: Sequence[Collection[NormalizedName]]
) -> list[list[str]]:
    """What pip is to install, and nothing else. It takes all of it for named by the user."""
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
