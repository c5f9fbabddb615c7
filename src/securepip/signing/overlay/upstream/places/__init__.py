"""The kinds of sources: an index behind http, an index on disk, and find-links.

Each implements ``Source`` (see ``upstream.interface``).
"""
