"""Builds what is not a wheel: metadata for the resolver, and wheels for the hand-off.

Rule: build requirements, and in turn theirs, are resolved over the same verified index and
installed through the same hand-off as everything else. This module builds all sdists, folders and
editables, for their metadata and for their wheels. pip builds none: it would fetch build
requirements by itself, and ``--require-hashes`` does not apply to them.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import InstallationError, SecurepipError, VerificationError
from securepip.formats.core_metadata import parse_core_metadata
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.distribution import WHEEL_SUFFIX
from securepip.formats.page import PageFile
from securepip.index.types import AnyFile, Index, UserDirectory, UserFile, VerifiedFile
from securepip.installer import handoff
from securepip.installer.build.cache import BuiltWheel, Source, WheelCache
from securepip.installer.target.byte_code_cache import ByteCodeCache
from securepip.installer.wheels import HandOff
from securepip.resolver import (
    ConfigSettings,
    Plan,
    PlannedFile,
    ResolveInput,
    ResolveOptions,
    TargetEnvironment,
    UserRequirement,
    parse_requirement,
    probe,
    resolve,
)
from securepip.resolver.environment.markers import MarkerRules

if TYPE_CHECKING:  # imported only when something is built
    from securepip.installer.build.source import Build, BuildSettings, Lacking

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildOptions:
    """pip's options about builds.

    Attributes:
        isolated: Whether to make an environment for each build; False with
            ``--no-build-isolation``.
        check_dependencies: ``--check-build-dependencies``.
        constraints: ``--build-constraint``. As in pip, ``--constraint`` does not apply to builds.
        choosing: How the user wants distributions to be chosen.
        editable: Whether to build folders as editable if the user says so; False for ``download``.
        keep: ``--no-clean``: do not delete the folders of builds.
        variables: ``PIP_*`` variables that hooks get: those that are no settings of pip.
    """

    isolated: bool = True
    check_dependencies: bool = False
    constraints: tuple[UserRequirement, ...] = ()
    choosing: ResolveOptions = field(default_factory=ResolveOptions)
    editable: bool = True
    keep: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def for_requirements(self) -> ResolveOptions:
        """How build requirements are chosen: with dependencies, for an empty environment."""
        return replace(
            self.choosing,
            upgrade=False,
            no_deps=False,
            only_deps=False,
            require_hashes=False,
            ignore_installed=False,
            force_reinstall=False,
            ignore_requires_python=False,
            config_settings={},
        )


class SdistBuilder:
    """Builds for one target. What it has built is deleted when it is closed.

    Args:
        index: The verified index, for source distributions and build requirements.
        environment: The target.
        cache: Keeps built wheels; None to keep none.
        options: pip's options.
        byte_code: Keeps byte code of build requirements. None does not compile them, which is
            faster without a cache, because a build imports only a small part of them.
    """

    def __init__(
        self,
        index: Index,
        environment: TargetEnvironment,
        cache: WheelCache | None,
        options: BuildOptions | None = None,
        byte_code: ByteCodeCache | None = None,
    ) -> None:
        self._index, self._byte_code = index, byte_code
        self._environment, self._cache = environment, cache
        self._options = options or BuildOptions()
        self._empty = replace(environment, path=(), in_memory=())
        self._builds: dict[object, Build] = {}
        self._building: dict[str, str] = {}  # names by file names, the outermost first
        self._folder: str | None = None
        self._opened = ExitStack()

    @cached_property
    def _settings(self) -> BuildSettings:
        from securepip.installer.build.source import BuildSettings

        environment = self._environment
        return BuildSettings(
            python=environment.python,
            tag=str(environment.tags[0]),
            install=self._install,
            check=_lacking,
            fingerprint=lambda: _fingerprint(environment),
            cache=self._cache,
            isolated=self._options.isolated,
            check_dependencies=self._options.check_dependencies,
            variables=self._options.variables,
            foresee=self._foresee,
        )

    def __enter__(self) -> SdistBuilder:
        return self

    def __exit__(self, *exception: object) -> None:
        self._builds.clear()
        self._opened.close()
        if self._folder is not None and self._options.keep:
            _log.info("Build folders are kept in %s", self._folder)
        self._folder = None

    def __call__(
        self,
        project: NormalizedName | None,
        file: AnyFile,
        config_settings: ConfigSettings | None = None,
    ) -> bytes:
        """As ``SdistMetadata``.

        Raises:
            SecurepipError: It could not be fetched, verified or built.
        """
        source: Source
        if isinstance(file, PageFile):
            if project is None:
                raise InstallationError(f"{file.filename} is of no project.")
            (source,) = self._index.fetch([(project, file)])
        else:
            source = file
        with self._build_of(source, project, config_settings or {}) as build:
            return build.metadata()

    def wheels(self, plan: Plan, files: Sequence[VerifiedFile]) -> list[HandOff]:
        """The wheels of a plan, for the hand-off. Sources are built.

        Args:
            plan: What will be installed.
            files: The fetched files of ``plan.signed``, in that order.

        Returns:
            A wheel for each of ``plan.install``, in that order.

        Raises:
            SecurepipError: A source could not be built.
        """
        fetched = iter(files)
        sources = [
            (one, next(fetched) if isinstance(one.file, PageFile) else one.file)
            for one in plan.install
        ]
        built = self._build_all([each for each in sources if not _is_wheel(each[1])])
        return [
            HandOff(planned, built.get(planned.project) or _as_wheel(source))
            for planned, source in sources
        ]

    def _build_all(
        self, sources: Sequence[tuple[PlannedFile, Source]]
    ) -> Mapping[NormalizedName, BuiltWheel]:
        if not sources:
            return {}
        names = {one.project: _display_name(one) for one, _ in sources}
        built = self._cached(sources)
        sources = [each for each in sources if each[0].project not in built]
        if not sources:
            return built
        listed = ", ".join(names[one.project] for one, _ in sources)
        _log.info("Building wheels for collected packages: %s", listed)
        new: list[str] = []
        failed: dict[str, SecurepipError] = {}
        for planned, source in sources:
            name = names[planned.project]
            try:
                with self._build_of(source, planned.project, planned.config_settings) as build:
                    wheel = build.wheel()
            except VerificationError:
                raise
            except SecurepipError as error:
                failed[name] = error
                continue
            built[planned.project] = wheel
            new.append(name)
            _say_built(name, wheel)
        if new:
            _log.info("Successfully built %s", " ".join(new))
        if failed:
            _log.info("Failed to build %s", " ".join(failed))
            raise _failed(failed)
        return built

    def _cached(
        self, sources: Sequence[tuple[PlannedFile, Source]]
    ) -> dict[NormalizedName, BuiltWheel]:
        """The wheels that were built before from the same ingredients."""
        found = {}
        for planned, source in sources:
            try:
                with self._build_of(source, planned.project, planned.config_settings) as build:
                    wheel = build.cached
            except VerificationError:
                raise
            except SecurepipError:
                continue  # the build raises it again
            if wheel is not None:
                found[planned.project] = wheel
                _log.info("Using cached %s", wheel.filename)
        return found

    @contextmanager
    def _build_of(
        self, source: Source, project: NormalizedName | None, settings: ConfigSettings
    ) -> Iterator[Build]:
        """The build of a source, which must not need itself, directly or indirectly.

        Raises:
            InstallationError: It does.
        """
        if isinstance(source, UserDirectory) and not self._options.editable:
            source = replace(source, editable=False)
        name = _name_in(source.filename, project)
        if source.filename in self._building:
            chain = " → ".join([*self._building, source.filename])
            raise InstallationError(
                f"{source.url} is already being built: {name} from {source.url}",
                meaning=f"It cannot be built: it needs itself ({chain}).",
                remedy="Choose a version that offers a wheel.",
            )
        key = (source, json.dumps(sorted(settings.items())))
        if key not in self._builds:
            from securepip.installer.build.source import Build

            folder = Path(tempfile.mkdtemp(dir=self._temporary()))
            self._builds[key] = Build(source, project, settings, self._settings, folder)
        self._building[source.filename] = name
        try:
            yield self._builds[key]
        finally:
            del self._building[source.filename]

    def _temporary(self) -> str:
        if self._folder is None:
            prefix = "securepip-build-"
            self._folder = (
                tempfile.mkdtemp(prefix=prefix)
                if self._options.keep
                else self._opened.enter_context(tempfile.TemporaryDirectory(prefix=prefix))
            )
        return self._folder

    def _install(self, python: Path, requirements: Sequence[str]) -> set[Sha256]:
        """As ``InstallVerified``."""
        *_, for_what = self._building.values()
        try:
            with _quietly():
                return self._install_quietly(python, requirements)
        except VerificationError:
            raise
        except SecurepipError as error:
            raise InstallationError(
                f"Failed to build {for_what!r} when installing build dependencies for {for_what}",
                meaning=f"ERROR: {error}",
            ) from None

    def _install_quietly(self, python: Path, requirements: Sequence[str]) -> set[Sha256]:
        plan = self._plan(requirements, probe(str(python)))
        if not plan.install:
            return set()
        files = self._index.fetch(plan.signed)
        wheels = self.wheels(plan, files)
        options = handoff.InstallOptions(compile=self._byte_code is not None)
        handoff.install(wheels, python, options, byte_code=self._byte_code)
        return {_ingredient(item) for item in wheels}

    def _plan(self, requirements: Sequence[str], environment: TargetEnvironment) -> Plan:
        wanted = ResolveInput(
            tuple(_build_requirement(text) for text in requirements),
            constraints=self._options.constraints,
        )
        return resolve(wanted, environment, self._index, self._options.for_requirements, self)

    def _foresee(self, requirements: Sequence[str]) -> set[Sha256] | None:
        """As ``ForeseeVerified``."""
        try:
            with _quietly():
                plan = self._plan(requirements, self._empty)
        except VerificationError:
            raise
        except SecurepipError:
            return None  # the build raises it again, and says what needs the requirement
        files = [one.file for one in plan.install]
        known = {file.sha256 for file in files if not isinstance(file, UserDirectory)}
        return known if len(known) == len(files) else None


def _build_requirement(text: str) -> UserRequirement:
    if Requirement(text).url:
        raise InstallationError(
            f"The build requirement {text!r} names a direct URL.",
            meaning="No trusted repository signs what is there, and its author, not you, named it.",
            remedy="Use --no-build-isolation with an environment that has what the build needs.",
        )
    return parse_requirement(text)


def _ingredient(item: HandOff) -> Sha256:
    """The digest of a build requirement: of its source, or for a folder of the built wheel."""
    source = item.wheel.source if isinstance(item.wheel, BuiltWheel) else item.wheel
    return item.wheel.sha256 if isinstance(source, UserDirectory) else source.sha256


def _lacking(python: Path, requirements: Sequence[str]) -> Lacking:
    """As ``CheckRequirements``."""
    from securepip.installer.build.source import Lacking

    environment = probe(str(python))
    markers = MarkerRules(environment)
    missing: list[str] = []
    conflicting: list[tuple[str, str]] = []
    for text in requirements:
        requirement = Requirement(text)
        if not markers.apply(requirement.marker):
            continue
        installed = environment.installed.get(canonicalize_name(requirement.name))
        if installed is None:
            missing.append(text)
        elif not requirement.specifier.contains(installed.version, prereleases=True):
            conflicting.append((f"{requirement.name}=={installed.version}", text))
    return Lacking(tuple(dict.fromkeys(missing)), tuple(conflicting))


def _fingerprint(environment: TargetEnvironment) -> Sha256 | None:
    """The digest of all that is installed in an environment and may take part in a build.

    Returns:
        None if something there could change without the digest changing.
    """
    records = []
    for found in importlib.metadata.distributions(path=list(environment.path)):
        if canonicalize_name(found.metadata["Name"] or "") == "pip":
            continue  # it takes no part in builds
        record = found.read_text("RECORD")
        if record is None or "editable" in (found.read_text("direct_url.json") or ""):
            return None  # its files have no digests, or it is a folder that somebody works on
        records.append(record)
    return sha256_of("\0".join(sorted(records)).encode())


def _is_wheel(source: Source) -> bool:
    return not isinstance(source, UserDirectory) and source.filename.endswith(WHEEL_SUFFIX)


def _as_wheel(source: Source) -> VerifiedFile | UserFile:
    if isinstance(source, UserDirectory):
        raise InstallationError(f"{source.filename} was not built.")
    return source


def _name_in(filename: str, project: NormalizedName | None) -> str:
    """The project's name as the file name writes it; the whole file name if that is not known."""
    if project is None:
        return filename
    starts = (filename[:end] for end in range(len(project), len(filename)))
    return next((each for each in starts if canonicalize_name(each) == project), project)


def _display_name(planned: PlannedFile) -> str:
    """The name that pip prints: for what the user named by path or URL, that of the metadata."""
    if planned.is_direct:
        return parse_core_metadata(planned.core_metadata).name
    return planned.project


def _say_built(name: str, wheel: BuiltWheel) -> None:
    if not wheel.is_new:
        _log.info("  Using cached %s", wheel.filename)
        return
    _log.info(
        "  Created wheel for %s: filename=%s size=%d sha256=%s",
        name, wheel.filename, wheel.size, wheel.sha256,
    )  # fmt: skip
    _log.info("  Stored in directory: %s", wheel.path.parent)


def _failed(failed: Mapping[str, SecurepipError]) -> InstallationError:
    from securepip.installer.build.backend import diagnosis

    each = [f"{error}\n\nERROR: Failed building wheel for {name}" for name, error in failed.items()]
    outer = diagnosis(
        "failed-wheel-build-for-install",
        "Failed to build installable wheels for some pyproject.toml based projects",
        ", ".join(failed),
    )
    return InstallationError("\n\n".join([*each, outer]))


@contextmanager
def _quietly() -> Iterator[None]:
    """Log only errors, as pip does for a build's requirements, unless the output is verbose."""
    log = logging.getLogger("securepip")
    before = log.level
    if not log.isEnabledFor(logging.DEBUG):
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
