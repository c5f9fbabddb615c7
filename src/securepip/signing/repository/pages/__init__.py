"""What a repository serves beside its metadata: project pages and distributions.

``contents`` puts files in their places, ``edits`` says what a new page changes and what it may
not, ``plain`` shows clients that do not verify what is signed.
"""
