"""Changes the code of the rooms that decide, one place at a time: does a test notice?

``python -m tests.mutation`` runs it; `docs/audit.md` says what its figures mean.

mutmut brings the engine and most of the changes. Its own runner does not fit here: it leaves out
what has a decorator (each property and context manager), and it never takes out a check.
"""
