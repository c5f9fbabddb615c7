"""Signing with offline keys that are never on the server, by way of files that people carry.

Rule: the server prepares and collects, and holds no offline key. A key holder's machine signs, and
needs no network. It says what changes, and believes nothing that the bundle says of itself: it
verifies the current state from the first root on, compares, and remembers what it signed before.
"""
