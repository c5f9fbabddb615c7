"""Processes of the target's interpreter: they describe it, and run securepip's own pip on it.

Starting an interpreter and loading pip takes longer than installing a small wheel. So one process
does both, and it is started before the rest of securepip is imported.
"""
