"""What a project's maintainers sign and hand in, and what the repository makes of it (PEP 480).

Rule: a transaction is hostile until it was checked. Its metadata comes first, is short, and must
carry the signatures that the project's delegation asks for; only then are its files read, each up
to the length that was signed for it.
"""
