"""Requirements → plan: `packaging` and `resolvelib` over the verified index."""

from securepip.resolver.environment import (
    InstalledDistribution,
    TargetEnvironment,
    find_interpreter,
    probe,
)
from securepip.resolver.explain import UnknownProjectError
from securepip.resolver.options import (
    ConfigSettings,
    FormatControl,
    ReleaseControl,
    ResolveOptions,
    SdistMetadata,
)
from securepip.resolver.plan import Plan, PlannedFile, SatisfiedRequirement
from securepip.resolver.requirements import (
    FileOptions,
    ResolveInput,
    UserLink,
    UserRequirement,
    parse_requirement,
)
from securepip.resolver.requirements_file import read_requirements
from securepip.resolver.resolve import resolve

__all__ = [
    "ConfigSettings",
    "FileOptions",
    "FormatControl",
    "InstalledDistribution",
    "Plan",
    "PlannedFile",
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
    "parse_requirement",
    "probe",
    "read_requirements",
    "resolve",
]
