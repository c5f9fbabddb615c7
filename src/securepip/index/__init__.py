"""The verified view of trusted repositories: project pages, core metadata and distributions."""

from typing import TYPE_CHECKING

from securepip.index.deferred import DeferredIndex
from securepip.index.store import Store
from securepip.index.types import AnyFile, Index, UserDirectory, UserFile, VerifiedFile

if TYPE_CHECKING:
    from securepip.index.verified import VerifiedIndex, untrusted

__all__ = [
    "AnyFile",
    "DeferredIndex",
    "Index",
    "Store",
    "UserDirectory",
    "UserFile",
    "VerifiedFile",
    "VerifiedIndex",
    "untrusted",
]


def __getattr__(name: str) -> object:
    """Import the index on first use: it imports the libraries for network and signatures."""
    if name in ("VerifiedIndex", "untrusted"):
        from securepip.index import verified

        return getattr(verified, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
