"""Reading an index that does not sign: where pip here looks, and what is offered there.

Rule: everything read here is hostile until it has been judged file by file, and nothing of it is
published with credentials. What cannot be published is a ``LeftOut`` with its reason, never
dropped in silence.
"""
