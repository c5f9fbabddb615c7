"""Lock files (PEP 751): ``pylock.toml`` in and out.

Rule: a lock says which files are wanted; it never says that they are to be trusted. What it names
must be what a trusted repository signed, wherever the lock says that it is.
"""

from securepip.lock.read import Locked, LockedFile, is_lock_file, read_locks
from securepip.lock.write import is_lock_path, make_lock

__all__ = ["Locked", "LockedFile", "is_lock_file", "is_lock_path", "make_lock", "read_locks"]
