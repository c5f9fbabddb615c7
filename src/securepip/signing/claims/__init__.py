"""Projects that sign for themselves (PEP 480), and the keys that sign for each of them.

Rule: the roles ``claimed`` and ``recently-claimed`` delegate, and sign no targets themselves. A
project is claimed when one of them delegates the project's two folders to the role
``project.<name>``. That delegation is terminating: no other role, not even a bin, can sign targets
of the project from then on.
"""
