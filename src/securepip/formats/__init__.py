"""What pages, paths, digests and core metadata look like, for both sides.

A leaf: every room may import it and it imports none. Everything here is parsing and writing of
hostile or about-to-be-published bytes; nothing here decides whom to believe.
"""
