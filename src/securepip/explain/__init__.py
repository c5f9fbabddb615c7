"""Why a file may be believed: each link from the root to its bytes, and what nobody has checked.

Rule: this room decides nothing. What it says was verified when it was looked up; signatures are
counted again, only to say whose they are.
"""

from securepip.explain.chain import explain
from securepip.explain.types import Claim, Explanation, Link, Signature

__all__ = ["Claim", "Explanation", "Link", "Signature", "explain"]
