"""Private keys: where they are, who may sign with them, and the keys of a project's maintainer.

``ring`` finds a signer for a public key, and ``encrypted`` is the form of its file. ``maintainer``
keeps the keys of one person. ``memory`` is what a machine with offline keys knows of the past.
"""
