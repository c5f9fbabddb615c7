"""Signs with offline keys that are never on the server, by means of files that people carry.

Rule: the server prepares and collects, and holds no offline key. A key holder's machine signs, and
needs no network. It shows what changes, and does not believe what the bundle says of itself: it
verifies the current state from the first root on, compares the proposal with that state, and
remembers what it signed before.
"""
