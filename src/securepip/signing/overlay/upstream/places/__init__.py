"""The kinds of places that offer files: an index behind http, an index on disk, find-links.

Each is a ``Source`` (see ``upstream.interface``).
"""
