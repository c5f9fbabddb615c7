"""Requirements → plan: `packaging` and `resolvelib` over the verified index."""

from securepip.resolver.environment import (
    InstalledDistribution,
    TargetEnvironment,
    find_interpreter,
    probe,
)
from securepip.resolver.explain import UnknownProjectError
from securepip.resolver.links import UserLink
from securepip.resolver.options import (
    ConfigSettings,
    FetchDirect,
    FormatControl,
    ReleaseControl,
    ResolveOptions,
    SdistMetadata,
)
from securepip.resolver.plan import Plan, PlannedFile, SatisfiedRequirement
from securepip.resolver.requirements import (
    FileOptions,
    ResolveInput,
    UserRequirement,
    parse_editable,
    parse_requirement,
)
from securepip.resolver.requirements_file import ReadUrl, read_requirements
from securepip.resolver.resolve import resolve

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
    "find_interpreter",
    "parse_editable",
    "parse_requirement",
    "probe",
    "read_requirements",
    "resolve",
]
