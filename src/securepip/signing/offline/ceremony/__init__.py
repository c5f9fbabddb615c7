"""Signing with offline keys that are never on the server, by way of files that people carry.

Rule: the server prepares and collects, and holds no offline key; a key holder's machine signs, and
needs no network. Who signs is shown what changes, by a comparison with what is current that his
own machine has verified from the first root on: never by what the bundle says of itself.
"""
