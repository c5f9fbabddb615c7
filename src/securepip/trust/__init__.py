"""Which repositories this machine trusts: their roots, their locations, their projects (TAP 4)."""

from securepip.trust.bootstrap import find_root, parse_root
from securepip.trust.first_use import FirstUse, FirstUseRules
from securepip.trust.location import parse_location, same_index
from securepip.trust.store import Assignment, Trust, TrustedRepository, TrustStore, check_name

__all__ = [
    "Assignment",
    "FirstUse",
    "FirstUseRules",
    "Trust",
    "TrustStore",
    "TrustedRepository",
    "check_name",
    "find_root",
    "parse_location",
    "parse_root",
    "same_index",
]
