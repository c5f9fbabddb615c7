"""pip plugin mode: ``pip install`` itself is verified, in an environment where that is enabled.

``shim`` is what runs inside pip; ``loader`` and ``start`` bring it there; ``environment`` puts all
of it into an environment, takes it out again, and tries it.
"""

from securepip.plugin.environment import (
    LIMITS,
    Environment,
    Status,
    disable,
    enable,
    find_environment,
    status,
)
from securepip.plugin.shim import SWITCH

__all__ = [
    "LIMITS",
    "SWITCH",
    "Environment",
    "Status",
    "disable",
    "enable",
    "find_environment",
    "status",
]
