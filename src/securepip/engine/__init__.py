"""Repositories on engines that exist: object stores and databases, for one machine or for many.

Rule: none of it is imported for a repository in a folder. ``opened`` decides, by the address.
"""
