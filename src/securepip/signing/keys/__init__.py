"""Private keys: where they are kept, how they are loaded, and what they have signed.

``ring`` finds the signer for a public key, and ``encrypted`` defines the form of its file.
``maintainer`` keeps the keys of one person. ``memory`` remembers what a machine with offline keys
has signed and seen. ``canonical`` makes the bytes that are signed.
"""
