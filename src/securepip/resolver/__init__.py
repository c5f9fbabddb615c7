"""Requirements → plan: `packaging` and `resolvelib` over the verified index."""

from securepip.resolver.environment import (
    InstalledDistribution,
    TargetEnvironment,
    find_interpreter,
    probe,
)
from securepip.resolver.explain import UnknownProjectError
from securepip.resolver.options import ResolveOptions, SdistMetadata
from securepip.resolver.plan import Plan, PlannedFile, SatisfiedRequirement
from securepip.resolver.requirements import (
    ResolveInput,
    UserRequirement,
    parse_requirement,
)
from securepip.resolver.requirements_file import read_requirements
from securepip.resolver.resolve import resolve

__all__ = [
    "InstalledDistribution",
    "Plan",
    "PlannedFile",
    "ResolveInput",
    "ResolveOptions",
    "SatisfiedRequirement",
    "SdistMetadata",
    "TargetEnvironment",
    "UnknownProjectError",
    "UserRequirement",
    "find_interpreter",
    "parse_requirement",
    "probe",
    "read_requirements",
    "resolve",
]
