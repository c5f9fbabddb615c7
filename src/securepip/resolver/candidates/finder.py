"""Makes candidates of installed distributions and of offered files.

Rule: each file, each installed distribution, and each of these with a set of extras is one object
for the whole resolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.utils import NormalizedName

from securepip.resolver.candidates.graph import (
    BaseCandidate,
    ExtrasCandidate,
    FileCandidate,
    InstalledCandidate,
    SpecifierRequirement,
)
from securepip.resolver.candidates.hashes import HashRules
from securepip.resolver.candidates.metadata import (
    InvalidMetadataError,
    MetadataReader,
    plannable,
)
from securepip.resolver.candidates.narration import Narrator
from securepip.resolver.candidates.ranking import OfferedFile
from securepip.resolver.environment.target import InstalledDistribution


class CandidateFinder:
    """Makes and remembers the candidates of one resolution.

    Args:
        hashes: The hashes that the user gave.
        metadata: Reads the metadata of files.
        narrator: Logs what is looked at.
    """

    def __init__(
        self,
        hashes: HashRules,
        metadata: MetadataReader,
        narrator: Narrator,
    ) -> None:
        self._hashes = hashes
        self._metadata = metadata
        self._narrator = narrator
        self._of_file: dict[OfferedFile, FileCandidate] = {}
        self._unusable: dict[OfferedFile, InvalidMetadataError] = {}
        self._of_installed: dict[NormalizedName, InstalledCandidate] = {}
        self._of_extras: dict[tuple[BaseCandidate, frozenset[NormalizedName]], ExtrasCandidate] = {}

    @property
    def installed(self) -> Iterable[InstalledCandidate]:
        """The candidates of installed distributions, in the order in which they were made."""
        return self._of_installed.values()

    def installed_candidate(
        self, distribution: InstalledDistribution, asked_by: SpecifierRequirement
    ) -> InstalledCandidate:
        """The candidate of an installed distribution."""
        project = distribution.project
        if project not in self._of_installed:
            self._of_installed[project] = InstalledCandidate(distribution, asked_by)
        return self._of_installed[project]

    def with_extras(
        self,
        base: BaseCandidate,
        extras: frozenset[NormalizedName],
        asked_by: SpecifierRequirement,
    ) -> ExtrasCandidate:
        """The candidate ``base`` with extras."""
        key = (base, extras)
        if key not in self._of_extras:
            self._of_extras[key] = ExtrasCandidate(base, extras, asked_by)
        return self._of_extras[key]

    def found_candidate(
        self, files: Sequence[OfferedFile], at: int, asked_by: SpecifierRequirement
    ) -> FileCandidate:
        """The candidate of a file.

        Args:
            files: The file, and those that would be tried before and after it.
            at: The index of the file.
            asked_by: The requirement that it is made for.

        Raises:
            InvalidMetadataError, VerificationError, ResolutionError: As ``MetadataReader.read`` and
                ``HashRules.check``.
        """
        offered, project = files[at], asked_by.project
        if offered in self._unusable:
            raise self._unusable[offered]
        if offered not in self._of_file:
            self._narrator.found(offered, asked_by)
            file = plannable(offered)
            self._hashes.check(project, file, asked_by)
            self._metadata.announce_next(project, files, at)
            try:
                raw, metadata = self._metadata.read(project, offered)
            except InvalidMetadataError as error:
                self._unusable[offered] = error
                self._narrator.unusable(offered, asked_by, error)
                raise
            self._of_file[offered] = FileCandidate(
                project,
                offered.version,
                file,
                raw,
                metadata,
                asked_by,
                config_settings=self._metadata.settings_for(project),
            )
        return self._of_file[offered]
