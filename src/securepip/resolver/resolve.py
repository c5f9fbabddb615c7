"""Resolves what the user asks for into a plan of what to install.

Rule: if everything is installed already and no upgrade is asked for, the index is not used. If
there is nothing to install, the search is not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securepip.resolver.search.satisfied import plan_of_nothing

if TYPE_CHECKING:
    from securepip.index.types import Index
    from securepip.resolver.environment.target import TargetEnvironment
    from securepip.resolver.options import FetchDirect, ResolveOptions, SdistMetadata
    from securepip.resolver.plan import Plan
    from securepip.resolver.requirements.types import ResolveInput


def resolve(
    requirements: ResolveInput,
    environment: TargetEnvironment,
    index: Index,
    options: ResolveOptions,
    sdist_metadata: SdistMetadata | None = None,
    fetch_direct: FetchDirect | None = None,
) -> Plan:
    """Choose what to install.

    Args:
        requirements: What the user asks for.
        environment: The target.
        index: The verified index. It is not used if installed distributions satisfy all
            requirements and no upgrade is asked for.
        options: The command line's options. Those of requirements files are added.
        sdist_metadata: Builds the metadata of folders, and of source distributions that do not
            state it. None refuses those.
        fetch_direct: Fetches files from direct URLs. None refuses those.

    Raises:
        UnknownProjectError: No trusted repository has a project that is needed.
        ResolutionError: There is no solution; a source distribution would have to be built, and
            cannot be; or a project that the user names could only be installed in an older release,
            because nobody signs something that the newest requires.
        VerificationError: What the index serves is not what was signed, a signed page offers a
            file of another project, or a file has none of the hashes that the user gave.
        SecurepipError: Something could not be fetched or built.
    """
    options = requirements.options(options)
    offered = None
    if options.upgrade:
        from securepip.resolver.candidates.offered import Offered

        offered = Offered(requirements, environment, index, options)
    is_newest = offered.is_newest if offered else None
    plan = plan_of_nothing(requirements, environment, options, is_newest)
    if plan is not None:
        return plan
    from securepip.resolver.search.solve import solve

    return solve(requirements, environment, index, options, sdist_metadata, fetch_direct, offered)
