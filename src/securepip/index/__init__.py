"""The verified view of trusted repositories: pages, metadata and files that proved themselves."""

from securepip.index.store import Store
from securepip.index.types import Index, VerifiedFile
from securepip.index.verified import VerifiedIndex, untrusted

__all__ = ["Index", "Store", "VerifiedFile", "VerifiedIndex", "untrusted"]
