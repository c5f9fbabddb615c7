"""The signing side: what makes, changes and serves a repository.

Offline keys sign the frame (the roles root, targets, bins and claimed) once. Daily work needs only
the online key. Each package may import the packages above it in this list:

- ``keys``: private keys, where they are, and a maintainer's own.
- ``repository``: what is on disk, and the one way to change it.
- ``publish``: everyday work with the online key: create, add, remove, refresh, status, gc, serve.
- ``uploads``: what people's tools upload, published in batches.
- ``overlay``: signing for an index that does not sign (PEP 458).
- ``claims``: projects that sign for themselves (PEP 480).
- ``offline``: ceremonies, rotation, recovery and audit, which need the offline keys.

Rule: signed files are first written under names that no client reads yet. They become current when
``timestamp.json`` is replaced.
"""
