"""A repository on disk, and the one way to change it.

``repository.Repository`` opens, reads and publishes. ``current`` is the state that counts, read by
way of ``roles``; ``commit`` signs the next one; ``pages`` are the files that it is about;
``ledger`` and ``log`` remember what was signed.
"""
