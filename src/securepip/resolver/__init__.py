"""From requirements to a plan: ``packaging`` and ``resolvelib`` over the verified index.

``environment`` describes the target, and ``requirements`` parses what the user asks for. On these
two builds ``candidates`` (what could be installed), and on that ``search`` (which chooses). Imports
go in that direction only.
"""

from typing import TYPE_CHECKING

from securepip.resolver.environment.target import (
    InstalledDistribution,
    TargetEnvironment,
    probe,
)
from securepip.resolver.options import (
    ConfigSettings,
    FetchDirect,
    FormatControl,
    ReleaseControl,
    ResolveOptions,
    SdistMetadata,
)
from securepip.resolver.plan import Plan, PlannedFile, SatisfiedRequirement
from securepip.resolver.requirements.files import ReadUrl, read_requirements
from securepip.resolver.requirements.links import UserLink
from securepip.resolver.requirements.parse import parse_editable, parse_requirement
from securepip.resolver.requirements.types import FileOptions, ResolveInput, UserRequirement
from securepip.resolver.resolve import resolve

if TYPE_CHECKING:
    from securepip.resolver.search.explain import UnknownProjectError

__all__ = [
    "ConfigSettings",
    "FetchDirect",
    "FileOptions",
    "FormatControl",
    "InstalledDistribution",
    "Plan",
    "PlannedFile",
    "ReadUrl",
    "ReleaseControl",
    "ResolveInput",
    "ResolveOptions",
    "SatisfiedRequirement",
    "SdistMetadata",
    "TargetEnvironment",
    "UnknownProjectError",
    "UserLink",
    "UserRequirement",
    "parse_editable",
    "parse_requirement",
    "probe",
    "read_requirements",
    "resolve",
]


def __getattr__(name: str) -> object:
    """Import the search on first use: if everything is installed, there is none."""
    if name == "UnknownProjectError":
        from securepip.resolver.search.explain import UnknownProjectError

        return UnknownProjectError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
