"""Reads and writes lock files (``pylock.toml``, PEP 751).

Rule: a lock says which files to install, never that they may be trusted. A file that it names must
be one that a trusted repository signed, whatever address the lock gives for it.
"""

from securepip.lock.read import Locked, LockedFile, is_lock_file, read_locks
from securepip.lock.write import is_lock_path, make_lock

__all__ = ["Locked", "LockedFile", "is_lock_file", "is_lock_path", "make_lock", "read_locks"]
