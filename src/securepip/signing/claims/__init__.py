"""Projects that sign for themselves (PEP 480): who they are, and which keys speak for them.

Rule: ``claimed`` and ``recently-claimed`` hold delegations and no targets. A project is claimed
when one of the two delegates its two folders, terminating, to the role ``project.<name>``; from
then on no other role can say anything about it, the bins included.
"""
