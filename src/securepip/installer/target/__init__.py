"""Byte-compiles for the target's interpreter, and checks that the target may be installed to."""
