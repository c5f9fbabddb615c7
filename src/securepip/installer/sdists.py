"""Source distributions as the resolver and the hand-off need them: metadata and wheels, verified.

Rule: what a build needs is resolved over the same verified index and installed through the same
hand-off as everything else, its own source distributions included. There is one way, for the
metadata that a resolution asks for and for the wheel that is installed: pip's own builds would
fetch build requirements by themselves, and ``--require-hashes`` does not reach them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.errors import InstallationError
from securepip.formats.digests import Sha256
from securepip.formats.distribution import WHEEL_SUFFIX
from securepip.formats.page import PageFile
from securepip.index.types import AnyFile, Index, VerifiedFile
from securepip.installer import handoff
from securepip.installer.build import BuildSettings, BuiltWheel, build_wheel, prepare_metadata
from securepip.resolver import (
    ConfigSettings,
    Plan,
    ResolveInput,
    ResolveOptions,
    TargetEnvironment,
    parse_requirement,
    probe,
    resolve,
)

_log = logging.getLogger(__name__)


class SdistBuilder:
    """Builds verified source distributions for one target.

    Args:
        index: Where the source distributions, and what their builds need, come from.
        environment: The target.
        cache: The folder of built wheels.
    """

    def __init__(self, index: Index, environment: TargetEnvironment, cache: Path) -> None:
        self._index = index
        self._settings = BuildSettings(
            python=environment.python,
            tag=str(environment.tags[0]),
            install=self._install,
            cache=cache,
        )
        self._building: list[str] = []

    def __call__(
        self,
        project: NormalizedName | None,
        file: AnyFile,
        config_settings: ConfigSettings | None = None,
    ) -> bytes:
        """The METADATA of the wheel that ``file`` would become; see ``SdistMetadata``.

        Raises:
            SecurepipError: It could not be fetched, verified or built.
        """
        if project is None or not isinstance(file, PageFile):
            raise InstallationError(f"{file.filename} is the user's own and cannot be built yet.")
        (sdist,) = self._index.fetch([(project, file)])
        with self._build_of(sdist):
            return prepare_metadata(sdist, self._settings)

    def wheels(self, plan: Plan, files: Sequence[VerifiedFile]) -> list[handoff.HandOff]:
        """What is handed to pip for the plan: its wheels, and those built from its sdists.

        Args:
            plan: What is to be installed.
            files: Its verified files, in its order.

        Raises:
            SecurepipError: One could not be built; nothing was installed.
        """
        return [
            handoff.HandOff(planned, self._wheel(file))
            for planned, file in zip(plan.install, files, strict=True)
        ]

    def _wheel(self, file: VerifiedFile) -> VerifiedFile | BuiltWheel:
        if file.filename.endswith(WHEEL_SUFFIX):
            return file
        _log.info("Building wheel for %s (%s)", file.project, file.filename)
        with self._build_of(file):
            return build_wheel(file, self._settings)

    @contextmanager
    def _build_of(self, sdist: VerifiedFile) -> Iterator[None]:
        """Stop a project that needs itself, over any number of steps, to be built."""
        if sdist.filename in self._building:
            chain = " → ".join([*self._building, sdist.filename])
            raise InstallationError(
                f"{sdist.filename} cannot be built: it needs itself ({chain})",
                remedy="Choose a version that offers a wheel.",
            )
        self._building.append(sdist.filename)
        try:
            yield
        finally:
            self._building.pop()

    def _install(self, python: Path, requirements: Sequence[str]) -> set[Sha256]:
        """Put build requirements into a build environment; see ``InstallVerified``."""
        environment = probe(str(python))
        wanted = ResolveInput(tuple(parse_requirement(text) for text in requirements))
        plan = resolve(wanted, environment, self._index, ResolveOptions(), self)
        if not plan.install:
            return set()
        files = self._index.fetch(plan.signed)
        handoff.install(
            self.wheels(plan, files),
            python,
            plan.satisfied,
            handoff.InstallOptions(compile=False),
        )
        return {file.sha256 for file in files}
