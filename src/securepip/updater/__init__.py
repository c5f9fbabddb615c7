"""One TUF session per repository: python-tuf decides, this room brings it the bytes in time."""

from securepip.updater.session import Session

__all__ = ["Session"]
