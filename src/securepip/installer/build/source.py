"""Builds a wheel from a source distribution, or from a folder of the user's own.

Rule: an sdist is hashed again before it is unpacked. Its code runs only in an environment made for
the build, into which only verified distributions and the user's own files are installed. With
``--no-build-isolation`` it runs in the target's environment instead, and nothing is installed there
for it.

Sources: PEP 517 (hooks), PEP 660 (editable), PEP 643 (what metadata may change).
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.errors import FormatError, InstallationError, VerificationError
from securepip.formats.core_metadata import (
    MAX_METADATA_BYTES,
    parse_core_metadata,
    read_core_metadata,
)
from securepip.formats.digests import Sha256
from securepip.formats.distribution import Kind, parse_distribution
from securepip.formats.layout import check_filename
from securepip.index.types import UserDirectory, UserFile, VerifiedFile
from securepip.installer.build.backend import (
    Backend,
    BuildSystem,
    make_environment,
    read_build_system,
)
from securepip.installer.build.cache import BuiltWheel, Source, WheelCache, built_wheel
from securepip.installer.build.unpack import unpack_sdist

_log = logging.getLogger(__name__)

InstallVerified = Callable[[Path, Sequence[str]], Iterable[Sha256]]
"""Installs requirements and their dependencies, all verified, into the environment of an
interpreter. Returns the digests of all that it installed."""

ForeseeVerified = Callable[[Sequence[str]], Collection[Sha256] | None]
"""The digests of all that ``InstallVerified`` would install into an empty environment now; None if
that cannot be known without a build."""

CheckRequirements = Callable[[Path, Sequence[str]], "Lacking"]
"""Compares requirements with what is installed in an interpreter's environment."""


@dataclass(frozen=True)
class Lacking:
    """The requirements that an environment does not satisfy.

    Attributes:
        missing: Requirements for projects that are not installed.
        conflicting: ``name==version`` of what is installed, and the requirement that it does not
            satisfy.
    """

    missing: tuple[str, ...] = ()
    conflicting: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class BuildSettings:
    """What all builds of one run have in common.

    Attributes:
        python: The target's interpreter; build environments are made from it.
        tag: The best wheel tag of the target: its version, ABI and platform.
        install: Installs build requirements into an environment.
        check: Finds the requirements that an environment does not satisfy.
        fingerprint: A digest of everything in the target's environment; None if something there
            could change without the digest changing.
        cache: Keeps built wheels; None to keep none.
        isolated: False with ``--no-build-isolation``.
        check_dependencies: ``--check-build-dependencies``.
        variables: Further environment variables for hooks.
        foresee: Finds what would be installed for build requirements.
    """

    python: Path
    tag: str
    install: InstallVerified
    check: CheckRequirements
    fingerprint: Callable[[], Sha256 | None]
    cache: WheelCache | None
    isolated: bool = True
    check_dependencies: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    foresee: ForeseeVerified = lambda requirements: None


class Build:
    """The build of one source: its environment, its metadata, then the wheel.

    Args:
        source: What is built.
        project: The project that it must be; None if only its metadata says so.
        config_settings: ``--config-settings``.
        settings: What all builds have in common.
        folder: A folder for this build alone, which the caller removes.
    """

    def __init__(
        self,
        source: Source,
        project: NormalizedName | None,
        config_settings: Mapping[str, str | list[str]],
        settings: BuildSettings,
        folder: Path,
    ) -> None:
        self._source, self._project, self._folder = source, project, folder
        self._config_settings, self._settings = config_settings, settings
        self._digests: set[Sha256] = set()
        self._static: frozenset[Sha256] = frozenset()
        self._asked: Sequence[str] = ()
        self._built: BuiltWheel | None = None

    def metadata(self) -> bytes:
        """The METADATA of the wheel that would be built.

        Raises:
            VerificationError: The stored sdist has changed, or the metadata is of another release.
            FormatError: The sdist cannot be unpacked, or the metadata is not valid.
            InstallationError: The build failed.
        """
        if self.cached is not None:
            return read_core_metadata(self.cached.path)
        return self._metadata[1]

    @cached_property
    def cached(self) -> BuiltWheel | None:
        """The wheel that was built from the same ingredients before; found without running code.

        The requirements that the backend asks for at build time are part of the ingredients, and
        only the backend knows them. So the cache also keeps the answers of backends.

        Raises:
            VerificationError: The stored sdist has changed.
            FormatError: The sdist cannot be unpacked.
            InstallationError: Its pyproject.toml is not valid.
        """
        settings, cache = self._settings, self._cache
        if cache is None or settings.check_dependencies:
            return None
        return self._find(self._foresee(cache) if settings.isolated else self._ingredients())

    def _foresee(self, cache: WheelCache) -> Collection[Sha256] | None:
        """The digests of all that a build would install now; None if only a build tells."""
        if not cache.has_answers(self._what_digest):
            return None
        foresee = self._settings.foresee
        static = read_build_system(self._unpacked, self._name).requires
        digests = foresee(static)
        if digests is None:
            return None
        more = cache.answer(self._what_digest, _digest_of(sorted(digests)))
        return foresee([*static, *more]) if more else None if more is None else digests

    def wheel(self) -> BuiltWheel:
        """Build the wheel, unless the cache has one of the same ingredients.

        Raises:
            VerificationError: The stored sdist has changed, or the wheel is of another release.
            FormatError: The sdist cannot be unpacked, or the wheel is not valid.
            InstallationError: The build failed.
        """
        if self._built is None:
            self._built = self.cached or self._build()
        return self._built

    def _build(self) -> BuiltWheel:
        backend = self._backend
        digests = self._ingredients()
        self._keep_answer()
        cached = self._find(digests)
        if cached is not None:
            return cached
        folder, data = self._metadata
        says = parse_core_metadata(data)
        wheel = backend.build(
            self._folder / "wheel", folder, self._project or says.name, editable=self._editable
        )
        name = parse_distribution(check_filename(wheel.name), says.project)
        if name is None or name.kind is not Kind.WHEEL or name.version != says.version:
            raise VerificationError(
                f"{self._source.filename} builds {wheel.name}: another release."
            )
        self._check_release(read_core_metadata(wheel))
        if self._cache is None or digests is None:
            return built_wheel(wheel, self._source)
        return self._cache.keep(wheel, self._key(digests), self._source)

    @property
    def _editable(self) -> bool:
        return isinstance(self._source, UserDirectory) and self._source.editable

    @property
    def _name(self) -> str:
        """Its name in messages, as in pip's."""
        if self._project is None or isinstance(self._source, UserDirectory):
            return self._source.url
        return f"{self._project} from {self._source.url}"

    def _requires(self, backend: Backend) -> Sequence[str]:
        """As ``Backend.requires``. Its error ends as pip's does, with the project's name."""
        try:
            return backend.requires(editable=self._editable)
        except InstallationError as error:
            name = self._project or self._source.url
            kind = "editable" if self._editable else "wheel"
            raise InstallationError(
                str(error),
                remedy=f"ERROR: Failed to build '{name}' when getting requirements to build {kind}",
            ) from None

    @cached_property
    def _backend(self) -> Backend:
        """The backend, in an environment that has everything that the build needs."""
        source, settings = self._unpacked, self._settings
        system = read_build_system(source, self._name)
        python = settings.python
        if settings.isolated:
            python = make_environment(settings.python, self._folder / "env")
            self._install(python, system.requires, "build dependencies")
            self._static = frozenset(self._digests)
            self._check(python, system.must_have, "PEP 517/518 supported requirements")
        backend = Backend(
            source,
            system,
            python,
            isolated=settings.isolated,
            config_settings=self._config_settings,
            name=self._name,
            variables=settings.variables,
        )
        if self._editable and not backend.supports_editable():
            raise InstallationError(
                f"Project {self._name} uses a build backend that is missing the 'build_editable' "
                "hook, so it cannot be installed in editable mode. Consider using a build backend "
                "that supports PEP 660."
            )
        if settings.isolated:
            more = self._requires(backend)
            self._asked = self._check(python, more, "the backend dependencies")
            self._install(python, self._asked, "backend dependencies")
        elif settings.check_dependencies:
            self._check_static(python, system)
        return backend

    @cached_property
    def _unpacked(self) -> Path:
        if isinstance(self._source, UserDirectory):
            # As in pip, a folder is built in place, and its backend may leave files there.
            return self._source.path / self._source.subdirectory
        top = unpack_sdist(self._source, Path(tempfile.mkdtemp(dir=self._folder)))
        subdirectory = self._source.subdirectory if isinstance(self._source, UserFile) else ""
        project = (top / subdirectory).resolve()
        if not project.is_relative_to(self._folder.resolve()):
            raise FormatError(f"#subdirectory={subdirectory} leaves {self._source.filename}")
        return project

    def _install(self, python: Path, requirements: Sequence[str], kind: str) -> None:
        if requirements:
            _log.info("  Installing %s: started", kind)
            self._digests.update(self._settings.install(python, requirements))
            _log.info("  Installing %s: finished with status 'done'", kind)

    def _check(self, python: Path, requirements: Sequence[str], what: str) -> Sequence[str]:
        """Check requirements against an environment, and return those that are missing.

        Raises:
            InstallationError: An installed distribution conflicts with a requirement.
        """
        if not requirements:
            return ()
        lacking = self._settings.check(python, requirements)
        if lacking.conflicting:
            listed = ", ".join(
                f"{there} is incompatible with {wanted}"
                for there, wanted in sorted(lacking.conflicting)
            )
            raise InstallationError(
                f"Some build dependencies for {self._name} conflict with {what}: {listed}."
            )
        return lacking.missing

    def _check_static(self, python: Path, system: BuildSystem) -> None:
        missing = self._check(python, system.requires, "the backend dependencies")
        if missing:
            listed = ", ".join(map(repr, sorted(missing)))
            raise InstallationError(
                f"Some build dependencies for {self._name} are missing: {listed}."
            )

    @cached_property
    def _metadata(self) -> tuple[Path, bytes]:
        folder = self._backend.prepare_metadata(self._folder / "metadata", editable=self._editable)
        try:
            with (folder / "METADATA").open("rb") as stream:
                data = stream.read(MAX_METADATA_BYTES)
        except OSError as error:
            raise InstallationError(
                f"The build backend of {self._name} made metadata that cannot be read: {error}"
            ) from None
        self._check_release(data)
        return folder, data

    def _check_release(self, metadata: bytes) -> None:
        says = parse_core_metadata(metadata)
        if isinstance(self._source, VerifiedFile):
            if (says.project, says.version) != (self._source.project, self._source.version):
                raise VerificationError(
                    f"{self._source.filename} builds {says.name} {says.version}: another release."
                )
        elif says.project != (self._project or says.project):
            raise InstallationError(
                f"Requested {self._name} has inconsistent name: expected "
                f"{self._project!r}, but metadata has {says.name!r}"
            )

    @property
    def _cache(self) -> WheelCache | None:
        """The cache for this source; None for a folder, which may change at any time."""
        return None if isinstance(self._source, UserDirectory) else self._settings.cache

    @property
    def _what_digest(self) -> str:
        return _digest_of(self._what)

    @property
    def _what(self) -> list[object]:
        """Everything that decides what is built, except what is installed for the build."""
        source, settings = self._source, self._settings
        return [
            "" if isinstance(source, UserDirectory) else source.sha256,
            source.subdirectory if isinstance(source, UserFile) else "",
            settings.tag,
            settings.isolated,
            sorted(self._config_settings.items()),
        ]

    def _key(self, digests: Collection[Sha256]) -> str:
        """The digest of everything that decides what is built."""
        return _digest_of([*self._what, sorted(digests)])

    def _find(self, digests: Collection[Sha256] | None) -> BuiltWheel | None:
        """The wheel that was built from these ingredients before, if the cache has it."""
        if self._cache is None or digests is None:
            return None
        return self._cache.find(self._key(digests), self._source)

    def _ingredients(self) -> Collection[Sha256] | None:
        """The digests of what is installed for the build; None if something has no digest."""
        if self._settings.isolated:
            return self._digests
        environment = self._settings.fingerprint()
        return None if environment is None else [environment]

    def _keep_answer(self) -> None:
        """Keep what the backend asked for, so that the next run can find the wheel without it."""
        if self._cache is not None and self._settings.isolated:
            static = _digest_of(sorted(self._static))
            self._cache.keep_answer(self._what_digest, static, list(self._asked))


def _digest_of(ingredients: object) -> str:
    return hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()
