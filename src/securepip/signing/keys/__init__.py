"""Private keys: where they are, who may sign with them, and the keys of a project's maintainer.

``ring`` finds a signer for a public key. ``maintainer`` keeps the keys of one person.
"""
