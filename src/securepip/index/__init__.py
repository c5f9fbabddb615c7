"""The verified view of trusted repositories: pages, metadata and files that proved themselves."""

from securepip.index.types import Index, VerifiedFile

__all__ = ["Index", "VerifiedFile"]
