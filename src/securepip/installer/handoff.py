"""The hand-off: verified wheels go to pip, and nothing else does.

Rule: pip reads private copies that were hashed while they were made, in a folder of mode 0700,
and is told the digest of each. It has no index, no network and no configuration; what it may
install is that folder. What it has installed afterwards is compared with the plan.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from securepip.errors import InstallationError
from securepip.installer.progress import InstalledFile, Progress
from securepip.installer.target.compile import Compiler
from securepip.installer.target.process import Pip
from securepip.installer.wheels import CheckedWheel, HandOff, copy_all
from securepip.resolver.plan import SatisfiedRequirement

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
            wheels = copy_all(files, folder)
            schemes = compiler.schemes()
            progress = Progress(wheels, schemes, compiler if options.compile else None)
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
    wheels: Sequence[CheckedWheel],
    progress: Progress,
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
