"""The formats of pages, paths, digests and core metadata, for the client and the signing side.

Everything here parses bytes that may be hostile, or writes bytes that will be published. Nothing
here decides whom to trust.
"""
