"""Mutation testing: changes the code of the rooms that decide, one place at a time.

``python -m tests.mutation`` runs it; `docs/audit.md` says what its figures mean.

mutmut supplies the engine and most of the changes. Its own runner leaves out functions that have a
decorator, and never takes out a check.
"""
