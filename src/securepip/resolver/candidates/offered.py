"""What is available for the user's requirements.

Rule: this module imports nothing of the search, because an upgrade that finds nothing newer needs
no search.
"""

from __future__ import annotations

import logging

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.index.types import Index
from securepip.resolver.candidates.catalogue import Catalogue
from securepip.resolver.candidates.hashes import HashRules
from securepip.resolver.candidates.ranking import FileRanking
from securepip.resolver.environment.markers import MarkerRules
from securepip.resolver.environment.target import TargetEnvironment
from securepip.resolver.options import ResolveOptions
from securepip.resolver.requirements.types import ResolveInput, UserRequirement

_log = logging.getLogger(__name__)


class Offered:
    """The requirements that apply to the target, and what is available for them.

    It logs which requirements do not apply.

    Args:
        requirements: What the user asks for.
        environment: The target.
        index: The verified index.
        options: How to choose, with the options of requirements files.

    Attributes:
        markers: Evaluates markers in the target.
        wanted: The requirements that apply.
        limits: The constraints that apply.
        hashes: The hashes that the user gave.
        ranking: Decides which files fit the target, and ranks them.
        catalogue: What is available for each project.
    """

    def __init__(
        self,
        requirements: ResolveInput,
        environment: TargetEnvironment,
        index: Index,
        options: ResolveOptions,
    ) -> None:
        self.markers = MarkerRules(environment)
        self.wanted = [one for one in requirements.requirements if self._is_meant(one)]
        self.limits = [one for one in requirements.constraints if self.markers.apply(one.marker)]
        self.hashes = HashRules(
            self.wanted,
            self.limits,
            required=options.require_hashes,
            fetch=lambda project, file: index.fetch([(project, file)])[0],
        )
        self.ranking = FileRanking(environment, options)
        self.catalogue = Catalogue(environment, index, self.ranking, self.hashes, options)

    def is_newest(self, project: NormalizedName, limit: SpecifierSet, version: Version) -> bool:
        """Whether a known project has no release within a limit that is newer than a version.

        The pages of all projects that the user names are fetched at once.

        Args:
            project: The project.
            limit: The versions that are admitted.
            version: The version to compare with.
        """
        self.catalogue.announce_pages(one.project for one in self.wanted if one.project is not None)
        files = self.catalogue.matching(project, limit)
        return files[0].version <= version if files else self.catalogue.knows(project)

    def _is_meant(self, one: UserRequirement) -> bool:
        if self.markers.apply(one.marker):
            return True
        _log.info(
            "Ignoring %s: markers '%s' don't match your environment",
            one.requirement.name if one.requirement else one.text,
            one.marker,
        )
        return False
