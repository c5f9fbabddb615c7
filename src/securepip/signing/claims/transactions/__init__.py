"""Transactions: what a project's maintainers sign and hand in to the repository (PEP 480).

Rule: a transaction is hostile until it is checked. Its metadata is read first, up to a limit, and
must carry the signatures that the project's delegation asks for. Only then are its files read, each
up to its signed length.
"""
