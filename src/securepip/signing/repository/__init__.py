"""A repository on disk, and the one way to change it.

``repository.Repository`` opens, reads and publishes. ``roles`` reads and verifies signed roles,
``current`` holds the current state, and ``commit`` signs the next one. ``pages`` are the project
pages and distributions. ``state`` remembers what was signed, in its ledger and its log.
"""
