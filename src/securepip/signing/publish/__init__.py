"""Everyday work with the online key: one module for each command of ``securepip repo``.

``accounted`` is the check before any offline key signs; the rooms above use it too.
"""
