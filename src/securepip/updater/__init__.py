"""One TUF session per repository: python-tuf decides what is trusted, this room fetches for it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from securepip.updater.session import Session

__all__ = ["Session"]


def __getattr__(name: str) -> object:
    """Import the session on first use: it imports python-tuf, which takes time."""
    if name == "Session":
        from securepip.updater.session import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
