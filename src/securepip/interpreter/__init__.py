"""Processes of the target's interpreter: what it says of itself, and our own pip on it.

Starting an interpreter and loading pip takes longer than installing a small wheel. So one process
does all of it, and is started before the rest of securepip is imported.
"""
