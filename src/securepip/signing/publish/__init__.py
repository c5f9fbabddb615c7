"""Everyday work with the online key: one module for each command of ``securepip repo``."""
