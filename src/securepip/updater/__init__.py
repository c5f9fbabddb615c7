"""One TUF session per repository: python-tuf decides, this room brings it the bytes in time."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from securepip.updater.session import Session

__all__ = ["Session"]


def __getattr__(name: str) -> object:
    """Import the session when it is asked for: with it comes what verifies signatures."""
    if name == "Session":
        from securepip.updater.session import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
