"""A project's build backend: reads ``[build-system]`` of its pyproject.toml, and calls its hooks.

Rule: a pip or easy_install that a hook starts finds no index and no network. Nothing stops the
project's own code from opening a connection: a signature says who wrote the code, not what it does.

Errors have pip's words, which users and scripts know. Sources: PEP 517 (hooks), PEP 518 (build
requirements), PEP 660 (editable).
"""

from __future__ import annotations

import logging
import os
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeGuard

from securepip.errors import FormatError, InstallationError
from securepip.formats.core_metadata import parse_dependency
from securepip.formats.toml import parse_toml
from securepip.interpreter.process import clean_environment

if TYPE_CHECKING:
    from pyproject_hooks import BuildBackendHookCaller

    from securepip.resolver.options import ConfigSettings

_log = logging.getLogger(__name__)
# The output of builds. Its level says whether the user sees the output while the build runs.
_output = logging.getLogger("securepip.output")
_MAX_PYPROJECT_BYTES = 1 << 20
_DEFAULT_BACKEND = "setuptools.build_meta:__legacy__"
_DEFAULT_REQUIRES = ("setuptools>=40.8.0",)
_SUBPROCESS_NOTE = (
    "note: This error originates from a subprocess, and is likely not a problem with securepip."
)
_PACKAGE_NOTE = "note: This is an issue with the package mentioned above, not securepip."
# For the pip that `setup_requires` and easy_install would start: it finds no index and no network.
_NO_WAY_OUT = {"PIP_NO_INDEX": "1", "PIP_PROXY": "http://127.0.0.1:9", "PIP_RETRIES": "0"}
# pyproject_hooks raises these if the backend does not write its answer properly.
_NO_ANSWER = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


@dataclass(frozen=True)
class BuildSystem:
    """How a project is built, by its pyproject.toml.

    Attributes:
        requires: Its build requirements.
        backend: The object that has the hooks.
        backend_path: Folders of the project that the backend is imported from.
        must_have: Requirements that its build requirements must fit: those of setuptools, if the
            project has build requirements and names no backend.
    """

    requires: tuple[str, ...]
    backend: str
    backend_path: tuple[str, ...] = ()
    must_have: tuple[str, ...] = ()


def read_build_system(source: Path, name: str) -> BuildSystem:
    """Read how the project in a folder is built.

    Args:
        source: The folder.
        name: The project, for messages.

    Raises:
        InstallationError: It is not a project, or its pyproject.toml is not valid.
    """
    path = source / "pyproject.toml"
    if not path.is_file():
        if not (source / "setup.py").is_file():
            raise InstallationError(
                f"{name} does not appear to be a Python project: "
                "neither 'setup.py' nor 'pyproject.toml' found."
            )
        return BuildSystem(_DEFAULT_REQUIRES, _DEFAULT_BACKEND)
    try:
        if path.stat().st_size > _MAX_PYPROJECT_BYTES:
            raise ValueError(f"longer than {_MAX_PYPROJECT_BYTES} bytes")
        table = parse_toml(path.read_text(encoding="utf-8")).get("build-system")
    except (ValueError, OSError) as error:
        raise InstallationError(f"{path.name} of {name} cannot be read: {error}") from None
    if table is None:
        return BuildSystem(_DEFAULT_REQUIRES, _DEFAULT_BACKEND)
    if not isinstance(table, dict) or "requires" not in table:
        raise InstallationError(
            diagnosis(
                "missing-pyproject-build-system-requires",
                f"Can not process {name}",
                "This package has an invalid pyproject.toml file.\n"
                "The [build-system] table is missing the mandatory `requires` key.",
                f"{_PACKAGE_NOTE}\nhint: See PEP 518 for the detailed specification.",
            )
        )
    requires = table["requires"]
    _check_requires(requires, name)
    backend, backend_path = table.get("build-backend"), table.get("backend-path", [])
    if not (isinstance(backend, str | None) and _is_list_of_text(backend_path)):
        raise InstallationError(f"The [build-system] table of {name} is not valid.")
    if backend is None:
        return BuildSystem(tuple(requires), _DEFAULT_BACKEND, must_have=_DEFAULT_REQUIRES)
    return BuildSystem(tuple(requires), backend, tuple(backend_path))


class Backend:
    """The hooks of one project.

    Args:
        source: The project's folder.
        system: How it is built.
        python: The interpreter that runs the hooks.
        isolated: Whether that interpreter's environment was made for this build.
        config_settings: ``--config-settings``.
        name: The project, for messages.
        variables: Further environment variables for the hooks.

    Raises:
        InstallationError: The ``backend-path`` is not valid.
    """

    def __init__(
        self,
        source: Path,
        system: BuildSystem,
        python: Path,
        *,
        isolated: bool,
        config_settings: ConfigSettings,
        name: str,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        from pyproject_hooks import BuildBackendHookCaller

        self._python, self._isolated, self._name = python, isolated, name
        self._variables = dict(variables or {})
        self._settings = dict(config_settings) or None
        try:
            self._hooks: BuildBackendHookCaller = BuildBackendHookCaller(
                str(source), system.backend, system.backend_path, self._run, str(python)
            )
        except ValueError as error:
            raise InstallationError(f"backend-path of {name} is not valid: {error}") from None

    def supports_editable(self) -> bool:
        """Whether it has the hook for editable installs.

        Raises:
            InstallationError: The backend failed.
        """
        # pyproject_hooks has no public way to ask; pip asks in this way too.
        supported = self._hooks._supported_features
        step = "Checking if build backend supports build_editable"
        return "build_editable" in _list(self._call(step, supported), step)

    def requires(self, *, editable: bool) -> Sequence[str]:
        """The build requirements that the backend asks for, besides the static ones.

        Raises:
            InstallationError: The backend failed, or asks for something that is no requirement.
        """
        kind = "editable" if editable else "wheel"
        hook = getattr(self._hooks, f"get_requires_for_build_{kind}")
        step = f"Getting requirements to build {kind}"
        requires = _list(self._call(step, lambda: hook(self._settings)), step)
        for text in requires:
            try:
                parse_dependency(text)
            except FormatError as error:
                raise InstallationError(
                    f"{step} of {self._name}: the build backend asks for {text!r:.200}: {error}"
                ) from None
        return requires

    def prepare_metadata(self, folder: Path, *, editable: bool) -> Path:
        """Let the backend write the metadata into a new folder.

        Returns:
            Its ``.dist-info`` folder.

        Raises:
            InstallationError: The backend failed.
        """
        kind = "editable" if editable else "wheel"
        hook = getattr(self._hooks, f"prepare_metadata_for_build_{kind}")
        folder.mkdir()
        label = "editable metadata" if editable else "metadata"
        try:
            made = self._call(
                f"Preparing {label} (pyproject.toml)", lambda: hook(str(folder), self._settings)
            )
        except InstallationError as error:
            outer = diagnosis(
                "metadata-generation-failed",
                "Encountered error while generating package metadata.",
                self._name,
                f"{_PACKAGE_NOTE}\nhint: See above for details.",
            )
            raise InstallationError(f"{error}\n\n{outer}") from None
        return self._made(folder, made)

    def build(self, folder: Path, metadata: Path, project: str, *, editable: bool) -> Path:
        """Build the wheel into a new folder, and return its path.

        Raises:
            InstallationError: The backend failed.
        """
        from pyproject_hooks import HookMissing

        kind = "editable" if editable else "wheel"
        hook = getattr(self._hooks, f"build_{kind}")
        folder.mkdir()
        try:
            made = self._call(
                f"Building {kind} for {project} (pyproject.toml)",
                lambda: hook(str(folder), self._settings, str(metadata)),
            )
        except HookMissing as error:
            raise InstallationError(
                f"Cannot build editable {project} because the build backend does not have the "
                f"{error} hook"
            ) from None
        return self._made(folder, made)

    def _made(self, folder: Path, name: object) -> Path:
        """The path of what the backend says that it has made in a folder.

        Raises:
            InstallationError: It is not a plain name, or nothing has that name.
        """
        plain = isinstance(name, str) and PurePath(name).name == name
        if not (plain and (folder / str(name)).exists()):
            raise InstallationError(
                f"The build backend of {self._name} says that it made {name!r:.200}, which is not "
                "there.",
                remedy="It is a mistake of the backend: tell its authors.",
            )
        return folder / str(name)

    def _call(self, step: str, hook: Callable[[], Any]) -> object:
        from pyproject_hooks import BackendUnavailable

        with _logged(step), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result: object = hook()
            except BackendUnavailable as error:
                raise InstallationError(
                    diagnosis(
                        "backend-unavailable",
                        f"Cannot import build backend {error.backend_name!r}.",
                        (error.traceback.strip() or str(error)).splitlines()[-1],
                        "note: This is likely not a problem with securepip.",
                    )
                ) from None
            except _HookFailedError as error:
                raise InstallationError(_subprocess_failed(step, error)) from None
            except _NO_ANSWER as error:
                raise InstallationError(
                    f"{step} of {self._name}: the build backend gives no answer that can be read: "
                    f"{error!r:.200}"
                ) from None
        # A backend's warnings are for the project's author, not for the user.
        for warning in caught:
            _log.debug("%s: %s", self._name, warning.message)
        return result

    def _run(
        self,
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        extra = {**self._variables, **_NO_WAY_OUT, **(extra_environ or {})}
        if self._isolated:
            folder = self._python.parent
            path = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
            extra |= {"PATH": path, "VIRTUAL_ENV": str(folder.parent)}
        run(cmd, cwd, extra)


def diagnosis(reference: str, message: str, context: str, note: str = "") -> str:
    """The text of an error, in the form of pip's diagnostic errors."""
    shown = context.replace("\n", "\n    ")
    cross = "\N{MULTIPLICATION SIGN}"
    ending = ["", note] if note else []
    return "\n".join([reference, "", f"{cross} {message}", f"╰─> {shown}", *ending])


class _HookFailedError(Exception):
    """A program failed. Its output is None if the user has seen it already."""

    def __init__(self, code: int, output: Sequence[str] | None) -> None:
        super().__init__(code)
        self.code = code
        self.output = output


def run(command: Sequence[str], cwd: str | None, extra: Mapping[str, str]) -> None:
    """Run a program of a build to its end.

    Args:
        command: The program and its arguments.
        cwd: The folder that it runs in.
        extra: Further environment variables.

    Raises:
        _HookFailedError: It failed.
        InstallationError: It cannot be started.
    """
    shown = _output.isEnabledFor(logging.DEBUG)
    log = _output if shown else _log
    output = []
    try:
        with subprocess.Popen(
            command,
            cwd=cwd,
            env={**clean_environment(), **extra},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
        ) as process:
            try:
                for line in process.stdout or ():
                    output.append(line.rstrip())
                    log.debug("  %s", output[-1])
            except BaseException:
                process.kill()
                raise
    except OSError as error:
        raise InstallationError(f"{command[0]} cannot be run: {error}") from None
    if process.returncode:
        raise _HookFailedError(process.returncode, None if shown else output)


def make_environment(python: Path, folder: Path) -> Path:
    """Make an empty virtual environment, and return its interpreter.

    Raises:
        InstallationError: It cannot be made.
    """
    try:
        run([str(python), "-I", "-m", "venv", "--without-pip", str(folder)], None, {})
    except _HookFailedError as error:
        raise InstallationError(
            f"{python} cannot make an environment to build in.",
            meaning="\n".join((error.output or ())[-40:]),
        ) from None
    return folder / "bin" / "python"


def _subprocess_failed(step: str, failed: _HookFailedError) -> str:
    lines, shown = failed.output, "See above for output."
    if lines is not None:
        shown = "\n".join([f"[{len(lines)} lines of output]", *lines, "[end of output]"])
    # As in pip, the exit code has a line of its own.
    message = f"{step} did not run successfully.\n│ exit code: {failed.code}"
    return diagnosis("subprocess-exited-with-error", message, shown, _SUBPROCESS_NOTE)


def _list(answer: object, step: str) -> Sequence[str]:
    if not _is_list_of_text(answer):
        raise InstallationError(
            f"{step}: the build backend answers {answer!r:.200}, which is not a list of strings.",
            remedy="It is a mistake of the backend: tell its authors.",
        )
    return answer


@contextmanager
def _logged(step: str) -> Iterator[None]:
    """Log when a step starts and how it ends, as pip does. A terminal may show it differently."""
    _log.info("  %s: started", step, extra={"begins": step})
    status = "error"
    try:
        yield
        status = "done"
    finally:
        ends = {"ends": (step, status)}
        _log.info("  %s: finished with status '%s'", step, status, extra=ends)


def _check_requires(requires: object, name: str) -> None:
    reason = ""
    if not _is_list_of_text(requires):
        reason = "It is not a list of strings."
    else:
        for text in requires:
            try:
                parse_dependency(text)
            except FormatError:
                reason = f"It contains an invalid requirement: {text!r:.200}"
                break
    if reason:
        raise InstallationError(
            diagnosis(
                "invalid-pyproject-build-system-requires",
                f"Can not process {name}",
                "This package has an invalid `build-system.requires` key in pyproject.toml.\n"
                f"{reason}",
                f"{_PACKAGE_NOTE}\nhint: See PEP 518 for the detailed specification.",
            )
        )


def _is_list_of_text(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
