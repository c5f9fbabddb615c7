"""Repositories in object stores and databases, for one machine or for many.

Rule: nothing of it is imported for a repository in a folder, except ``opened``, which decides by
the address.
"""
