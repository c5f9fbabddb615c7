"""Reads an index that does not sign: where pip on this machine looks, and what is offered there.

Rule: everything that is read here is hostile until it has been judged file by file. Nothing is
published with credentials. A file that cannot be published becomes a ``LeftOut`` with a reason, and
is never dropped silently.
"""
