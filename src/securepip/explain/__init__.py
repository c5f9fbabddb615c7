"""Explains why a file is trusted: each link from the root to its bytes, and what was not checked.

Rule: this package decides nothing. The look-up has verified everything before. Signatures are
counted again only to say whose they are.
"""

from securepip.explain.chain import explain
from securepip.explain.types import Claim, Explanation, Link, Signature

__all__ = ["Claim", "Explanation", "Link", "Signature", "explain"]
