"""The signing side: what makes, changes and serves a repository.

Offline keys make the frame (root, targets, bins, claimed) once. Daily work needs the online key
alone. Each room may import the rooms above it in this list:

- ``keys``: private keys, where they are, and a maintainer's own.
- ``repository``: what is on disk, and the one way to change it.
- ``publish``: everyday work with the online key: create, add, remove, refresh, status, gc, serve.
- ``uploads``: what people's tools upload, published in batches.
- ``overlay``: signing for an index that does not sign (PEP 458).
- ``claims``: projects that sign for themselves (PEP 480).
- ``offline``: ceremonies, rotation, recovery and audit, which need the offline keys.

Rule: what is signed is first written under names that no client reads yet. It becomes current when
``timestamp.json`` is replaced.
"""
