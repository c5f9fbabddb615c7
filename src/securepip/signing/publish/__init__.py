"""Everyday work with the online key: one module for each command of ``securepip repo``.

``accounted`` makes the check that precedes every use of an offline key. ``claims`` and ``offline``
use it too.
"""
