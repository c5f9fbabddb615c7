"""A repository on disk, and the one way to change it.

``repository.Repository`` opens, reads and publishes. ``roles`` reads signed roles back, ``commit``
signs them, ``ledger`` and ``log`` remember what was signed.
"""
