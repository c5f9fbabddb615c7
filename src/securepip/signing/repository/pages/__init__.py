"""The files that a repository serves beside its metadata: project pages and distributions.

``contents`` reads and writes them, ``edits`` decides what a new page may change, ``batch`` makes
many changes current, and ``plain`` keeps the view for clients that do not verify.
"""
