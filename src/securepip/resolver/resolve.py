"""The one verb of this room: from what the user asks for to what is to be installed.

Rule: nothing is asked of the index when everything is installed already and no upgrade is asked
for; and nothing that searches is imported when there is nothing to install.
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
    """Choose what is to be installed.

    Args:
        requirements: What the user asks for.
        environment: Where it is to be installed.
        index: The verified index. Not touched when what is installed meets all requirements and
            no upgrade is asked for.
        options: How to choose, by the command line; what files say is added.
        sdist_metadata: Builds the metadata of folders, and of source distributions that do not
            say it.
        fetch_direct: Fetches what is named by address and hash; without it that is refused.

    Raises:
        UnknownProjectError: A trusted repository lacks a project that is needed.
        ResolutionError: There is no solution, or a source distribution would have to be built; or
            a project that the user names would come in an older release because something that
            the newest requires is signed by nobody.
        VerificationError: What the index serves is not what was signed, a signed page offers a
            file of another project, or a file has another hash than the user named.
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
